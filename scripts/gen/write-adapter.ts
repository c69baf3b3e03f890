import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../apps/brokers/src/processes.ts';
import type { AdapterName } from './adapter-name.ts';

const templates = fileURLToPath(new URL('templates/', import.meta.url));
const formatter = fileURLToPath(new URL('../../node_modules/@biomejs/biome/bin/biome', import.meta.url));
const ending = '.template';

/** Writes the package, its changeset and its place in the root's package.json; resolves with the files. */
export async function writeAdapter(name: AdapterName, root: string): Promise<readonly string[]> {
  const values = { ...name, identifier: String(await nextIdentifier(root)) };
  const written = new Set<string>();
  // A role may bring a file of its own in place of one that every package has.
  for (const set of ['package', name.role]) {
    for (const entry of await readdir(join(templates, set), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const source = join(entry.parentPath, entry.name);
      const path = filled(relative(join(templates, set), source).slice(0, -ending.length), values);
      const target = join(root, 'packages', name.folder, path);
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, filled(await readFile(source, 'utf8'), values));
      written.add(relative(root, target));
    }
  }
  const changeset = `.changeset/${name.folder}.md`;
  await writeFile(
    join(root, changeset),
    `---\n'@melange/${name.folder}': minor\n---\n\nA new ${name.role}: ${name.technology}.\n`,
  );
  await addToRoot(name, root);
  await run(process.execPath, [formatter, 'format', '--write', `packages/${name.folder}`], { cwd: root });
  return [...[...written].sort(), changeset, 'package.json'];
}

function filled(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`a template asks for "${key}", which nobody knows`);
    return value;
  });
}

/** Packages are devDependencies of the root, so that tests and examples find them. */
async function addToRoot({ folder }: AdapterName, root: string): Promise<void> {
  const file = join(root, 'package.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as { devDependencies: Record<string, string> };
  manifest.devDependencies[`@melange/${folder}`] = 'workspace:*';
  const sorted = Object.entries(manifest.devDependencies).sort(([one], [other]) => (one < other ? -1 : 1));
  manifest.devDependencies = Object.fromEntries(sorted);
  await writeFile(file, `${JSON.stringify(manifest, null, 2)}\n`);
}

/** The lowest number on the wire that no serializer has; 2 is Python's pickle. */
async function nextIdentifier(root: string): Promise<number> {
  const taken = new Set([2]);
  for (const folder of await readdir(join(root, 'packages'))) {
    const file = join(root, 'packages', folder, 'src', `${folder.replace('serializer-', '')}-serializer.ts`);
    if (!folder.startsWith('serializer-') || !existsSync(file)) continue;
    taken.add(Number(/identifier = (\d+)/.exec(await readFile(file, 'utf8'))?.[1]));
  }
  let next = 1;
  while (taken.has(next)) next += 1;
  return next;
}
