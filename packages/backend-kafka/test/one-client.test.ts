import { readdir, readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const source = new URL('../src/', import.meta.url);

test('kafkajs is known to one folder only, and that folder by its client only: another client could take its place', async () => {
  const files = (await readdir(source, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const imports = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(new URL(file, source), 'utf8');
      return { file, from: [...text.matchAll(/(?:from|import\() ?'([^']+)'/g)].map(([, name = '']) => name) };
    }),
  );
  const outside = imports.filter(({ file }) => !file.startsWith('client/kafkajs/'));
  const inside = imports.filter(({ file }) => file.startsWith('client/kafkajs/'));
  expect(inside.flatMap(({ from }) => from)).toContain('kafkajs');
  expect(outside.filter(({ from }) => from.some((name) => name.startsWith('kafkajs')))).toEqual([]);
  const around = outside
    .flatMap(({ from }) => from)
    .filter((name) => name.includes('/kafkajs/') && name !== './client/kafkajs/client.ts');
  expect(around).toEqual([]);
  // What every client offers is said without kafkajs, and without this adapter.
  const contract = outside.find(({ file }) => file === 'client/contract.ts');
  expect(contract?.from).toEqual([]);
});
