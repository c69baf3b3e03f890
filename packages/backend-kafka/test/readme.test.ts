import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { kafkaCapabilities } from '../src/index.ts';

test('the README says of each capability what the data say', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const rows = [...readme.matchAll(/^\| (`\w+`) +\| (true|false|\d+) +\|/gm)].map(([, name, value]) => [
    name,
    value,
  ]);
  expect(rows).toEqual(
    Object.entries(kafkaCapabilities).map(([name, value]) => [`\`${name}\``, String(value)]),
  );
});
