import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import { apiEntries, apiReport } from '../api/reports.ts';
import { buildAll } from '../packaging/packages.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

beforeAll(() => buildAll());

describe('the public API', () => {
  it.each(apiEntries())('of $name is as its approved file says; `pnpm api` writes it anew', async (entry) => {
    expect(await apiReport(entry)).toBe(await readFile(entry.approved, 'utf8'));
  });
});
