import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parsePage } from '../src/markdown-page.ts';
import { stagePages } from '../src/site/stage-pages.ts';

test('a page keeps its place, what it links to becomes a page, and a dead link stays for the build to fail on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'melange-site-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const links = [
    '[page](docs/operating.md#health)',
    '[folder of a page](packages/core)',
    '[source](packages/core/src/contract/backend.ts)',
    '[folder](packages/core/src)',
    '![picture](docs/data-flow.svg)',
    '[dead](docs/nowhere.md)',
    '[elsewhere](https://example.org/docs)',
  ];
  const pages = [
    parsePage('README.md', `# Home\n\n${links.join('\n')}\n`),
    parsePage('docs/operating.md', '# Operating\n\n[home](../README.md)\n'),
    parsePage('packages/core/README.md', '# Core\n'),
  ];
  await stagePages(pages, folder);
  const staged = (path: string) => readFile(join(folder, path), 'utf8');
  expect((await staged('index.md')).trim().split('\n').slice(2)).toEqual([
    '[page](/docs/operating.md#health)',
    '[folder of a page](/packages/core/index.md)',
    '[source](/packages/core/src/contract/backend.ts.md)',
    '[folder](/packages/core/src/)',
    '![picture](docs/data-flow.svg)',
    '[dead](docs/nowhere.md)',
    '[elsewhere](https://example.org/docs)',
  ]);
  expect(await staged('docs/operating.md')).toContain('[home](/index.md)');
  expect(await staged('packages/core/src/contract/backend.ts.md')).toContain(
    'export interface MessagingBackend',
  );
  expect(await staged('packages/core/src/index.md')).toContain('(/packages/core/src/errors.ts.md)');
  expect(await staged('docs/data-flow.svg')).toContain('<svg');
});
