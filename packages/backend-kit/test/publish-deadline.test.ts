import { MelangeError, PublishError } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import {
  Away,
  Full,
  last,
  messageOf,
  pass,
  type Script,
  scripted,
  watched,
} from './support/scripted-driver.ts';

const ids = (script: Script): string[][] => script.sent.map(({ argument }) => argument.map(({ id }) => id));
const messages = (...names: string[]) => names.map((name) => messageOf(name));

function failuresOf(error: unknown): Record<string, unknown> {
  expect(error).toBeInstanceOf(PublishError);
  return Object.fromEntries((error as PublishError).failures.map((one) => [one.messageId, one.error]));
}

describe('the deadline of a publish', () => {
  it('ends the wait between two tries, with the reason of the last one', async () => {
    const { backend, script } = scripted();
    const publish = watched(backend.publishToQueue('q', messages('a'), { deadlineMs: 150 }));
    await settled();
    last(script.sent).reject(new Away('full'));
    await pass(script, 100);
    last(script.sent).reject(new Away('still full'));
    await pass(script, 49);
    expect(publish.outcome).toBe('open');
    await pass(script, 1);
    const { a } = failuresOf(publish.outcome);
    expect(a).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
    expect(String(a)).toContain('still full');
    await pass(script, 10_000);
    expect(ids(script)).toHaveLength(2);
  });

  it('has the code that the driver gives its reason, for the messages of that batch alone', async () => {
    const { backend, script } = scripted();
    script.limits = { maxMessages: 1, maxBytes: 100, maxUnderWay: 3 };
    const full = watched(backend.publishToQueue('q', messages('a'), { deadlineMs: 50 }));
    const silent = watched(backend.publishToQueue('q', messages('b'), { deadlineMs: 50 }));
    const taken = watched(backend.publishToQueue('q', messages('c'), { deadlineMs: 50 }));
    await settled();
    script.sent[0]?.reject(new Full('no room'));
    script.sent[2]?.resolve(undefined);
    await pass(script, 50);
    expect(taken.outcome).toBe('resolved');
    expect(failuresOf(full.outcome).a).toMatchObject({
      code: 'QUEUE_FULL',
      message: 'Not confirmed within the deadline (no room).',
    });
    expect(failuresOf(silent.outcome).b).toMatchObject({
      code: 'PUBLISH_TIMEOUT',
      message: 'Not confirmed within the deadline.',
    });
  });

  it('tells the driver which messages of a batch nobody waits for any more', async () => {
    const { backend, script } = scripted();
    void backend.publishToQueue('q', messages('a'), { deadlineMs: 50 }).catch(() => undefined);
    void backend.publishToQueue('q', messages('b'));
    await pass(script, 50);
    expect(script.sent[0]?.argument.map(({ isSettled }) => isSettled)).toEqual([true, false]);
  });

  it('frees the destination of a driver that never answers, and tells it so', async () => {
    const { backend, script } = scripted();
    const publish = watched(backend.publishToQueue('q', messages('a'), { deadlineMs: 100 }));
    await settled();
    const next = watched(backend.publishToQueue('q', messages('b'), { deadlineMs: 1_000 }));
    await pass(script, 100);
    expect(failuresOf(publish.outcome).a).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
    expect(script.sent[0]?.signal?.aborted).toBe(true);
    await settled();
    expect(ids(script)).toEqual([['a'], ['b']]);
    last(script.sent).resolve(undefined);
    await settled();
    expect(next.outcome).toBe('resolved');
  });

  it('is each call’s own, also within one batch', async () => {
    const { backend, script } = scripted();
    const short = watched(backend.publishToQueue('q', messages('a'), { deadlineMs: 50 }));
    const long = watched(backend.publishToQueue('q', messages('b'), { deadlineMs: 500 }));
    await settled();
    expect(ids(script)).toEqual([['a', 'b']]);
    await pass(script, 50);
    expect(failuresOf(short.outcome).a).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
    expect(script.sent[0]?.signal?.aborted).toBe(false);
    last(script.sent).resolve(undefined);
    await settled();
    expect(long.outcome).toBe('resolved');
  });

  it('takes messages out that wait, and does not send them later', async () => {
    const { backend, script } = scripted();
    void backend.publishToQueue('q', messages('a'));
    await settled();
    const waiting = watched(backend.publishToQueue('q', messages('b'), { deadlineMs: 50 }));
    await pass(script, 50);
    expect(failuresOf(waiting.outcome).b).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
    last(script.sent).resolve(undefined);
    await settled();
    expect(ids(script)).toEqual([['a']]);
  });

  it('that nobody named is put off while the destination takes messages, and is not while it takes none', async () => {
    const { backend, script } = scripted({ publishTimeoutMs: 1_000 });
    script.limits = { maxMessages: 1, maxBytes: 100 };
    const calls = ['a', 'b', 'c', 'd'].map((id) => watched(backend.publishToQueue('q', messages(id))));
    for (const _ of ['a', 'b']) {
      await pass(script, 900);
      last(script.sent).resolve(undefined);
      await settled();
    }
    await pass(script, 999);
    expect(calls.map(({ outcome }) => outcome)).toEqual(['resolved', 'resolved', 'open', 'open']);
    await pass(script, 1);
    expect(failuresOf(calls[2]?.outcome).c).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
    expect(failuresOf(calls[3]?.outcome).d).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
  });

  it('leaves no timer behind', async () => {
    const { backend, script } = scripted();
    void backend.publishToQueue('q', messages('a'));
    await settled();
    last(script.sent).resolve(undefined);
    await settled();
    expect(script.clock.pending).toBe(0);
  });
});

describe('the health of publishing', () => {
  it('is degraded at once, unhealthy after 30 s, and names the destination; the log has one line each', async () => {
    const { backend, script } = scripted();
    void backend.publishToQueue('q', messages('a'), { deadlineMs: 100_000 }).catch(() => undefined);
    await settled();
    last(script.sent).reject(new Away('full'));
    await settled();
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('queue "q"'),
    });
    for (let second = 0; second < 31; second += 1) {
      await pass(script, 1_000);
      last(script.sent).reject(new Away('full'));
    }
    await settled();
    expect((await backend.health()).status).toBe('unhealthy');
    await pass(script, 5_000);
    last(script.sent).resolve(undefined);
    await settled();
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(script.lines.filter((line) => line.includes('publishing'))).toEqual([
      'warn trouble publishing to queue "q"',
      'info recovered from trouble publishing to queue "q"',
    ]);
  });

  it('remembers a destination that nobody publishes to any more for 60 s after its last publish failed', async () => {
    const { backend, script } = scripted();
    const fail = async (): Promise<void> => {
      const publish = watched(backend.publishToQueue('q', messages('a'), { deadlineMs: 500 }));
      await settled();
      last(script.sent).reject(new Away('full'));
      await pass(script, 500);
      expect(publish.outcome).toBeInstanceOf(PublishError);
    };
    await fail();
    await pass(script, 59_999);
    expect((await backend.health()).status).toBe('unhealthy');
    await fail();
    await pass(script, 59_999);
    expect(await backend.health()).toMatchObject({
      status: 'unhealthy',
      detail: expect.stringContaining('queue "q" for 121 s'),
    });
    await pass(script, 1);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('is degraded while a destination refuses whole batches, and not by what is wrong with one message', async () => {
    const { backend, script } = scripted();
    const publish = async (answer: (call: (typeof script.sent)[number]) => void): Promise<void> => {
      const publishing = watched(backend.publishToQueue('q', messages('a')));
      await settled();
      answer(last(script.sent));
      await settled();
      expect(publishing.outcome).not.toBe('open');
    };
    const refusal = new MelangeError('CONFIGURATION', 'not allowed');
    await publish((call) => call.resolve([refusal]));
    expect(await backend.health()).toEqual({ status: 'healthy' });
    await publish((call) => call.reject(refusal));
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('publishing to queue "q" for 0 s: not allowed'),
    });
    await publish((call) => call.resolve(undefined));
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('is degraded when a batch is not answered for 3 s', async () => {
    const { backend, script } = scripted();
    void backend.publishToTopic('t', messages('a'));
    await pass(script, 2_999);
    expect((await backend.health()).status).toBe('healthy');
    await pass(script, 1);
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('topic "t"'),
    });
  });
});

describe('closing', () => {
  it('waits for every publish that was called before, and refuses the later ones', async () => {
    const { backend, script } = scripted();
    const publish = watched(backend.publishToQueue('q', messages('a')));
    const close = watched(backend.close());
    await expect(backend.publishToQueue('q', messages('b'))).rejects.toMatchObject({ code: 'CLOSED' });
    await settled();
    expect(close.outcome).toBe('open');
    expect(script.isClosed).toBe(false);
    last(script.sent).resolve(undefined);
    await settled();
    expect(publish.outcome).toBe('resolved');
    expect(close.outcome).toBe('resolved');
    expect(script.isClosed).toBe(true);
  });

  it('waits no longer than the deadline of the publish', async () => {
    const { backend, script } = scripted();
    const publish = watched(backend.publishToQueue('q', messages('a'), { deadlineMs: 500 }));
    await settled();
    const close = watched(backend.close());
    await pass(script, 500);
    await settled();
    expect(failuresOf(publish.outcome).a).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
    expect(close.outcome).toBe('resolved');
  });

  it('twice is closing once', async () => {
    const { backend } = scripted();
    expect(backend.close()).toBe(backend.close());
    expect(await backend.health()).toEqual({ status: 'unhealthy', detail: 'closed' });
  });
});
