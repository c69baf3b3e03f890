import { fileURLToPath } from 'node:url';
import { build } from 'vitepress';
import { readPages } from '../markdown-page.ts';
import { stageApi } from './stage-api.ts';
import { stagePages } from './stage-pages.ts';

/** Folder of this app: what is staged is in `.site`, what is built in `dist`. */
const app = fileURLToPath(new URL('../..', import.meta.url));

await stagePages(await readPages(), `${app}.site`);
await stageApi(`${app}.site/api`);
// Fails on a dead link.
await build(app);
