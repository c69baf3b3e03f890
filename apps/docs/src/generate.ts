import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSources, withGeneratedParts } from './generated-parts.ts';
import { readPages, root } from './markdown-page.ts';

const pages = await readPages();
const sources = await readSources(pages);
for (const { path, text } of pages) {
  const generated = withGeneratedParts(text, sources);
  if (generated === text) continue;
  await writeFile(join(root, path), generated);
  console.log(`wrote the generated parts of ${path}`);
}
