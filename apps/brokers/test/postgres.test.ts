import pg from 'pg';
import { expect, test } from 'vitest';
import { canStartHere, startPostgres } from '../src/index.ts';
import { brokers } from '../src/table.ts';

async function ask(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query({ text: sql, rowMode: 'array' })).rows.flat();
  } finally {
    await client.end();
  }
}

test.skipIf(!canStartHere('postgres'))(
  'a restart keeps tables, a crash too; stopping ends it; it listens on this machine only (skipped where none can be started)',
  { timeout: 60_000 },
  async () => {
    const own = await startPostgres({ settings: { work_mem: '5MB' } });
    const answers = (url: string): Promise<boolean> | undefined => brokers.get('postgres')?.answers(url);
    try {
      expect(await ask(own.url, 'show work_mem')).toEqual(['5MB']);
      await ask(own.url, 'create table kept as select 7 as number');
      await own.end('SIGQUIT');
      expect(await answers(own.url)).toBe(false);
      await own.restart();
      expect(await ask(own.url, 'select number from kept')).toEqual([7]);
      expect(await answers(own.url.replace('127.0.0.1', '127.0.0.2'))).toBe(false);
      expect(await answers(own.url.replace('postgres@', 'stranger@'))).toBe(false);
    } finally {
      await own.stop();
    }
    expect(await answers(own.url)).toBe(false);
  },
);
