import { readFile } from 'node:fs/promises';
import { dirname, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Broker } from './broker.ts';

const here = fileURLToPath(new URL('.', import.meta.url)).replace(/[\\/]$/, '');

/** What a test file that uses a broker has in its text, or in that of a file beside it that it imports. */
function marksOf({ name, variable }: Broker): RegExp {
  return new RegExp(`\\b${variable}\\b|canStartHere\\(\\s*'${name}'|\\bstart${name}\\b`, 'i');
}

/** Which of the brokers the test files ask for, by the names of their variables and of the functions that start one. */
export async function askedFor(files: readonly string[], brokers: readonly Broker[]): Promise<string[]> {
  const texts: string[] = [];
  const seen = new Set<string>();
  const read = async (file: string): Promise<void> => {
    // The sources here name every broker.
    if (seen.has(file) || file.startsWith(`${here}${sep}`)) return;
    seen.add(file);
    const text = await readFile(file, 'utf8').catch(() => '');
    texts.push(text);
    const imported = [...text.matchAll(/(?:from|import)\s*\(?\s*'(\.{1,2}\/[^']+)'/g)];
    await Promise.all(imported.map(([, path]) => read(resolve(dirname(file), path as string))));
  };
  await Promise.all(files.map(read));
  return brokers.filter((broker) => texts.some((text) => marksOf(broker).test(text))).map(({ name }) => name);
}
