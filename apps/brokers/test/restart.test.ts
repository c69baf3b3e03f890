import { describe, expect, it } from 'vitest';
import { canStartHere, startRedis } from '../src/index.ts';
import { hasEnded, tryAgain } from '../src/processes.ts';
import { brokers } from '../src/table.ts';
import { speaker } from './support.ts';

/** `/proc/<pid>/stat` of a process in that state, with that number of threads. */
const statusOf = (state: string, threads: number): string =>
  `77 (name ) Z 1) ${state} 1 77 77 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 ${threads} 0 31415 0 0`;

describe('a process', () => {
  it.each([
    ['is gone', '', true],
    ['is dead', statusOf('X', 1), true],
    ['waits for its parent to notice its end', statusOf('Z', 1), true],
    ['still has its ports by threads that outlive its first one', statusOf('Z', 3), false],
    ['runs', statusOf('R', 1), false],
  ])('that %s', (_, status, ended) => {
    expect(hasEnded(status)).toBe(ended);
  });
});

it('an action that fails for too long rejects with its last reason', async () => {
  let tries = 0;
  const act = async (): Promise<void> => {
    tries += 1;
    throw new Error(`reason ${tries}`);
  };
  await expect(tryAgain(act, 20, 1)).rejects.toThrow(/^reason \d+$/);
  expect(tries).toBeGreaterThan(1);
});

describe.skipIf(!canStartHere('redis'))('a Redis of its own (skipped where none can be started)', () => {
  it('comes back where its port is taken at first', { timeout: 60_000 }, async () => {
    const own = await startRedis({ settings: { appendonly: 'yes' } });
    try {
      await own.end('SIGKILL');
      // Takes connections and says nothing: the first start ends while it is asked.
      const other = await speaker(own.port);
      const started = own.start();
      await Promise.race([other.connected(2), started]);
      await other.close();
      await expect(started).resolves.toBeUndefined();
      expect(await brokers.get('redis')?.answers(own.url)).toBe(true);
    } finally {
      await own.stop();
    }
  });
});
