import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

interface Outcome {
  readonly name: string;
  readonly kind: string;
  readonly outcome: string;
  readonly milliseconds: number;
}

const megabyte = 1024 * 1024;

/** With the compiler of the tests in it; the buffers of the content come besides. */
const heapMegabytes = 128;

test('hostile content of 4 MiB is read or refused in a heap of 128 MiB, and within seconds', {
  timeout: 120_000,
}, async () => {
  const script = fileURLToPath(new URL('support/read-hostile.ts', import.meta.url));
  const parameters = [`--max-old-space-size=${heapMegabytes}`, '--import', 'tsx', script];
  const { stdout } = await promisify(execFile)(process.execPath, parameters);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Outcome | { readonly largest: number });
  const outcomes = lines.filter((line) => 'name' in line);
  expect(outcomes.length).toBeGreaterThan(30);
  const wrong = outcomes.filter(({ outcome, milliseconds }) => {
    return (outcome !== 'read' && outcome !== 'refused') || milliseconds > 3_000;
  });
  expect(wrong).toEqual([]);
  const [memory] = lines.filter((line) => 'largest' in line);
  expect(memory?.largest).toBeLessThan(512 * megabyte);
  // What is within the limits is read.
  const allowed = outcomes.filter(({ name }) => name.startsWith('as many'));
  expect(new Set(allowed.map(({ outcome }) => outcome))).toEqual(new Set(['read']));
});
