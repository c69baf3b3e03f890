import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import { type MessagingBackend, silentLogger } from '@melange/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Installed, install } from './support/installed.ts';
import { drain, fail, message, queues } from './support/letters.ts';
import { type Ended, json as jsonOf, type Running, run as runOf, start as startOf } from './support/run.ts';

const { RABBITMQ_URL, REDIS_URL } = process.env;

interface Redriven {
  readonly moved: number;
  readonly stopped?: string;
  readonly until: string;
}

const brokers = [
  {
    name: 'RabbitMQ, which cannot be browsed',
    url: RABBITMQ_URL,
    flag: '--rabbitmq',
    isFirst: true,
    open: () => new RabbitMqBackend({ url: RABBITMQ_URL as string, logger: silentLogger }),
  },
  {
    name: 'Redis Streams, which can',
    url: REDIS_URL,
    flag: '--redis',
    isFirst: false,
    open: () => new RedisStreamsBackend({ url: REDIS_URL as string, logger: silentLogger }),
  },
];

describe.each(brokers)('melange dead on $name', ({ url, flag, open, isFirst }) => {
  describe.skipIf(url === undefined)(url === undefined ? 'skipped without its URL' : 'as a process', () => {
    const broker = [flag, url as string];
    let backend: MessagingBackend;
    let installed: Installed;
    const run = (args: readonly string[], more: { readonly input?: string } = {}): Promise<Ended> =>
      runOf(args, { installed, ...more });
    const json = <Answer>(args: readonly string[]): Promise<Answer> => jsonOf(args, { installed });
    const start = (args: readonly string[]): Running => startOf(args, { installed });
    // What does not depend on whether the broker can be browsed is asked of one.
    const once = isFirst ? it : it.skip;
    beforeAll(async () => {
      backend = open();
      installed = await install();
    });
    afterAll(async () => {
      await backend.close();
      await installed[Symbol.asyncDispose]();
    });

    it('lists, groups and shows, by the name of the queue or of its dead-letter queue', async () => {
      const { queue, dead } = await queues(backend);
      await fail(backend, queue, [message('17'), message('18')]);
      const summary = await run(['dead', 'summarize', queue, ...broker]);
      expect(summary).toMatchObject({ code: 0, err: '' });
      expect(summary.out).toMatch(/^2 dead letters in \S+-dead, in 1 groups/);
      expect(summary.out).toContain('TypeError: order <n> has no total');
      const list = await json<{ letters: { id: string }[] }>(['dead', 'list', dead, '--id', '17', ...broker]);
      expect(list.letters.map(({ id }) => id)).toEqual(['17']);
      const shown = await run(['dead', 'show', queue, '17', ...broker]);
      expect(shown.code).toBe(0);
      expect(shown.out).toMatch(/^failed in +cli-/m);
      expect(shown.out).toContain('"order": "17"');
      const missing = await run(['dead', 'show', queue, '99', ...broker]);
      expect(missing).toMatchObject({ code: 4, out: '' });
      expect(missing.err).toMatch(/^error: No dead letter of ".+" has the id "99"\.\n$/);
    });

    it('changes nothing unless told --yes, and then moves back what is meant', async () => {
      const { queue, dead } = await queues(backend);
      await fail(backend, queue, [
        message('1'),
        message('2'),
        message('3', { headers: { tenant: 'other' } }),
      ]);
      const dry = await run(['dead', 'redrive', queue, '--header', 'tenant=acme', ...broker]);
      expect(dry.code).toBe(0);
      expect(dry.out).toContain(`would move 2 dead letters of ${dead}\n  2 to ${queue}`);
      expect(dry.err).toContain('--yes');
      expect(await drain(backend, queue)).toEqual([]);
      const args = ['dead', 'redrive', queue, '--header', 'tenant=acme', '--yes', ...broker];
      expect(await json<Redriven>(args)).toMatchObject({ dryRun: false, matched: 2, moved: 2, failed: 0 });
      expect((await drain(backend, queue)).map(({ id }) => id).sort()).toEqual(['1', '2']);
      const discarded = await run(['dead', 'discard', queue, ...broker]);
      expect(discarded.out).toContain('would discard 1');
      expect(await run(['dead', 'discard', queue, '--yes', ...broker])).toMatchObject({
        out: 'discarded 1\n',
      });
      expect(await drain(backend, dead)).toEqual([]);
    });

    once('carries letters by a file, which it never overwrites', async () => {
      const { queue, dead } = await queues(backend);
      const bytes = new Uint8Array([0, 255, 10]);
      await fail(backend, queue, [message('1', { content: bytes }), message('2')]);
      const file = join(installed.folder, `${dead}.ndjson`);
      const exported = await run(['dead', 'export', queue, '-o', file, ...broker]);
      expect(exported).toMatchObject({ code: 0, out: '' });
      expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(2);
      const again = await run(['dead', 'export', queue, '-o', file, ...broker]);
      expect(again.code).toBe(1);
      expect(again.err).toContain('EEXIST');
      const other = await queues(backend);
      const dry = await run(['dead', 'import', other.dead, file, ...broker]);
      expect(dry).toMatchObject({ code: 0, out: `would publish 2 messages to ${other.dead}\n` });
      expect(await drain(backend, other.dead)).toEqual([]);
      const input = await readFile(file, 'utf8');
      expect(await run(['dead', 'import', other.dead, '--yes', ...broker], { input })).toMatchObject({
        code: 0,
      });
      const carried = await drain(backend, other.dead);
      expect(carried.map(({ id }) => id).sort()).toEqual(['1', '2']);
      expect(carried.find(({ id }) => id === '1')?.content).toEqual(bytes);
      const broken = await run(['dead', 'import', other.dead, ...broker], { input: '{"id":"1"}' });
      expect(broken).toMatchObject({ code: 2, err: expect.stringMatching(/^error: Line 1 /) });
    });

    it('Ctrl-C in the middle of a redrive leaves each letter in exactly one place, and says how to go on', async () => {
      const { queue, dead } = await queues(backend);
      const ids = Array.from({ length: 80 }, (_, n) => `${n}`);
      await fail(
        backend,
        queue,
        ids.map((id) => message(id)),
      );
      const running = start(['dead', 'redrive', queue, '--rate', '20', '--yes', '--json', ...broker]);
      await expect
        .poll(async () => (await backend.describeQueue(queue)).depth, { timeout: 30_000 })
        .toBeGreaterThan(2);
      running.child.kill('SIGINT');
      const { code, out, err } = await running.ended;
      expect(code).toBe(130);
      const { moved, stopped, until } = JSON.parse(out) as Redriven;
      expect(stopped).toBe('aborted');
      expect(moved).toBeLessThan(80);
      expect(err).toContain(`--until ${until}`);
      const rest = await json<Redriven>(['dead', 'redrive', queue, '--until', until, '--yes', ...broker]);
      expect(moved + rest.moved).toBe(80);
      expect(await drain(backend, dead)).toEqual([]);
      expect((await drain(backend, queue)).map(({ id }) => id).sort()).toEqual([...ids].sort());
    });

    once('a canary that fails again ends the redrive', async () => {
      const { queue } = await queues(backend);
      await fail(backend, queue, [message('1'), message('2'), message('3')]);
      const subscription = await backend.subscribe(queue, { maxInFlight: 10 }, (delivery) => {
        void delivery.deadLetter({ reason: 'rejected', error: new Error('still broken') });
      });
      const args = ['dead', 'redrive', queue, '--first', '1', '--patience', '30s', '--yes', ...broker];
      const { code, out, err } = await run(args);
      expect([code, out]).toEqual([3, 'moved 1 of 1\n']);
      expect(err).toContain('A first letter failed again: the others stay.');
      await subscription.close();
      const { letters } = await json<{ letters: unknown[] }>(['dead', 'list', queue, ...broker]);
      expect(letters).toHaveLength(3);
    });

    once('contents that a terminal would obey are written out, and large ones are cut', async () => {
      const { queue } = await queues(backend);
      const hostile = 'a\u001b[2Jb\u0007\u009bc\u202ed';
      const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
      await fail(
        backend,
        queue,
        [
          message('1', { content: hostile, headers: { 'x\u001b': hostile } }),
          message('2', { content: 'x'.repeat(2_000_000) }),
          message('3', { content: deep }),
          message('4', { content: new Uint8Array([0, 1, 2, 27, 255]), serializerId: 77 }),
        ],
        () => new Error(`\u001b]0;owned\u0007 failed`),
      );
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
      const obeyed = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/;
      const shown = await run(['dead', 'show', queue, '1', ...broker]);
      expect(shown.out).toContain('a\\x1b[2Jb\\x07\\x9bc\\u202ed');
      const outputs = [
        shown,
        await run(['dead', 'show', queue, '1', '--json', ...broker]),
        await run(['dead', 'list', queue, ...broker]),
        await run(['dead', 'summarize', queue, ...broker]),
        await run(['dead', 'list', queue, '--json', ...broker]),
      ];
      for (const { code, out } of outputs) {
        expect(code).toBe(0);
        expect(out).not.toMatch(obeyed);
      }
      const large = await run(['dead', 'show', queue, '2', ...broker]);
      expect(large.out).toMatch(/… 1983616 characters more: --full\n$/);
      const nested = await run(['dead', 'show', queue, '3', ...broker]);
      expect(nested).toMatchObject({ code: 0, err: '' });
      expect(nested.out).toContain('[[[[');
      const binary = await run(['dead', 'show', queue, '4', ...broker]);
      expect(binary.out).toContain('00000000  00 01 02 1b ff');
    });
  });
});
