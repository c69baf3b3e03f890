import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withGeneratedParts } from './generated-parts.ts';
import { readPages, root } from './markdown-page.ts';
import { readInterfaces } from './options-table.ts';

const interfaces = await readInterfaces();
for (const { path, text } of await readPages()) {
  const generated = withGeneratedParts(text, interfaces);
  if (generated === text) continue;
  await writeFile(join(root, path), generated);
  console.log(`wrote the generated parts of ${path}`);
}
