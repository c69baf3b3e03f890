import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../src/markdown-page.ts';

const read = (path: string) => readFileSync(join(root, path), 'utf8');

test('docs/migrating-from-python.md says of every name of the Python library what became of it', () => {
  const [, table = ''] = read('docs/migrating-from-python.md').split('## Every name');
  const rows = [...table.matchAll(/^\| (`.*?) +\| (.*?) *\|$/gm)];
  for (const [row, , became] of rows) expect(became, row).toMatch(/\w{4}/);
  const told = rows.flatMap(([, names = '']) => [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  const listed = read('scripts/python-melange/names.txt').trim().split('\n');
  expect(told.toSorted()).toEqual(listed.toSorted());
});
