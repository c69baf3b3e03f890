import { MelangeError, PublishError } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import {
  Away,
  last,
  Missing,
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

describe('a publish', () => {
  it('resolves only when the broker has taken every message', async () => {
    const { backend, script } = scripted();
    const publish = watched(backend.publishToQueue('q', messages('a', 'b', 'c', 'd')));
    await settled();
    expect(ids(script)).toEqual([['a', 'b', 'c']]);
    last(script.sent).resolve(undefined);
    await settled();
    expect(publish.outcome).toBe('open');
    expect(ids(script)).toEqual([['a', 'b', 'c'], ['d']]);
    last(script.sent).resolve(undefined);
    await settled();
    expect(publish.outcome).toBe('resolved');
  });

  it('shares its batch with the other publishes of the turn', async () => {
    const { backend, script } = scripted();
    void backend.publishToQueue('q', messages('a'));
    void backend.publishToQueue('q', messages('b'));
    await settled();
    expect(ids(script)).toEqual([['a', 'b']]);
  });

  it('resolves when the broker has taken its own message, where that is told before the answer for the batch', async () => {
    const { backend, script } = scripted();
    const [first, second, third] = ['a', 'b', 'c'].map((name) =>
      watched(backend.publishToQueue('q', messages(name), { deadlineMs: 50 })),
    );
    await settled();
    expect(ids(script)).toEqual([['a', 'b', 'c']]);
    script.sent[0]?.taken?.(1);
    await settled();
    expect([first, second, third].map((watch) => watch?.outcome)).toEqual(['open', 'resolved', 'open']);
    script.sent[0]?.resolve([undefined, undefined, new Away('busy')]);
    await pass(script, 50);
    expect(first?.outcome).toBe('resolved');
    expect(failuresOf(third?.outcome)).toMatchObject({ c: { code: 'PUBLISH_TIMEOUT' } });
    await pass(script, 1_000);
    expect(ids(script)).toEqual([['a', 'b', 'c']]);
  });

  it('that is told to be taken is no trouble any more when it resolves', async () => {
    const { backend, script } = scripted();
    const publish = backend.publishToQueue('q', messages('a'));
    await settled();
    last(script.sent).reject(new Away('busy'));
    await pass(script, 100);
    expect((await backend.health()).status).toBe('degraded');
    last(script.sent).taken?.(0);
    await publish;
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('is bounded by bytes, and a message that is larger goes alone', async () => {
    const { backend, script } = scripted();
    script.limits = { maxMessages: 10, maxBytes: 20 };
    void backend.publishToQueue('q', [
      messageOf('a', 'x'.repeat(10)),
      messageOf('b', 'x'.repeat(10)),
      messageOf('c', 'x'.repeat(50)),
    ]);
    await settled();
    expect(ids(script)).toEqual([['a']]);
    last(script.sent).resolve(undefined);
    await settled();
    last(script.sent).resolve(undefined);
    await settled();
    expect(ids(script)).toEqual([['a'], ['b'], ['c']]);
  });

  it('has one batch under way for each destination, and none waits for another destination', async () => {
    const { backend, script } = scripted();
    void backend.publishToQueue('q', messages('a'));
    await settled();
    void backend.publishToQueue('q', messages('b'));
    void backend.publishToQueue('other', messages('c'));
    void backend.publishToTopic('q', messages('d'));
    await settled();
    expect(ids(script)).toEqual([['a'], ['c'], ['d']]);
    script.sent[0]?.resolve(undefined);
    await settled();
    expect(ids(script)).toEqual([['a'], ['c'], ['d'], ['b']]);
  });

  it('waits for a batch to fill only while another one is under way', async () => {
    const { backend, script } = scripted();
    script.limits = { maxMessages: 3, maxBytes: 100, maxUnderWay: 5, lingerMs: 10 };
    void backend.publishToQueue('q', messages('a'));
    await settled();
    expect(ids(script)).toEqual([['a']]);
    void backend.publishToQueue('q', messages('b'));
    await settled();
    expect(ids(script)).toEqual([['a']]);
    void backend.publishToQueue('q', messages('c', 'd'));
    await settled();
    expect(ids(script)).toEqual([['a'], ['b', 'c', 'd']]);
    void backend.publishToQueue('q', messages('e'));
    await pass(script, 9);
    expect(ids(script)).toHaveLength(2);
    await pass(script, 1);
    expect(ids(script)).toEqual([['a'], ['b', 'c', 'd'], ['e']]);
  });

  it('writes the messages in the turn of the call, whatever their owner does later', async () => {
    const { backend, script } = scripted();
    const message = { ...messageOf('a', 'first') };
    void backend.publishToQueue('q', [message]);
    message.content = 'second';
    await settled();
    expect(script.sent[0]?.argument[0]?.encoded).toBe('a:first');
  });

  it('of no messages resolves without asking the broker', async () => {
    const { backend, script } = scripted();
    await backend.publishToQueue('q', []);
    expect(script.sent).toEqual([]);
  });

  it('passes the delay on', async () => {
    const { backend, script } = scripted();
    void backend.publishToQueue('q', messages('a'), { delayMs: 7 });
    await settled();
    expect(script.sent[0]?.argument[0]?.delayMs).toBe(7);
  });

  it.each([Number.NaN, -1, Number.POSITIVE_INFINITY])(
    'refuses a delay or a deadline of %s',
    async (value) => {
      const { backend, script } = scripted();
      await expect(backend.publishToQueue('q', messages('a'), { delayMs: value })).rejects.toMatchObject({
        code: 'CONFIGURATION',
      });
      await expect(backend.publishToTopic('t', messages('a'), { deadlineMs: value })).rejects.toMatchObject({
        code: 'CONFIGURATION',
      });
      expect(script.sent).toEqual([]);
    },
  );
});

describe('a batch that is not taken', () => {
  it('for now is sent again with the same ids, in order, with growing pauses', async () => {
    const { backend, script } = scripted();
    const publish = watched(backend.publishToQueue('q', messages('a', 'b')));
    await settled();
    last(script.sent).reject(new Away('full'));
    await pass(script, 99);
    expect(ids(script)).toHaveLength(1);
    await pass(script, 1);
    last(script.sent).reject(new Away('full'));
    await pass(script, 199);
    expect(ids(script)).toHaveLength(2);
    await pass(script, 1);
    last(script.sent).resolve(undefined);
    await settled();
    expect(ids(script)).toEqual([
      ['a', 'b'],
      ['a', 'b'],
      ['a', 'b'],
    ]);
    expect(publish.outcome).toBe('resolved');
  });

  it('in part is sent again in that part alone, and nothing of its destination overtakes it', async () => {
    const { backend, script } = scripted();
    const publish = watched(backend.publishToQueue('q', messages('a', 'b', 'c')));
    await settled();
    const later = watched(backend.publishToQueue('q', messages('d')));
    last(script.sent).resolve([undefined, new Away('busy'), undefined]);
    await pass(script, 100);
    expect(ids(script)).toEqual([['a', 'b', 'c'], ['b']]);
    expect(publish.outcome).toBe('open');
    last(script.sent).resolve(undefined);
    await settled();
    expect(publish.outcome).toBe('resolved');
    expect(ids(script)).toEqual([['a', 'b', 'c'], ['b'], ['d']]);
    last(script.sent).resolve(undefined);
    await settled();
    expect(later.outcome).toBe('resolved');
  });

  it('is sent again after those before it, and before anything new, where several are under way in order', async () => {
    const { backend, script } = scripted();
    script.limits = { maxMessages: 2, maxBytes: 100, maxUnderWay: 3, inOrder: true };
    const publish = watched(backend.publishToQueue('q', messages('a', 'b', 'c', 'd')));
    await settled();
    const [first, second] = script.sent;
    second?.reject(new Away('lost'));
    await settled();
    void backend.publishToQueue('q', messages('e'));
    await pass(script, 5_000);
    expect(ids(script)).toEqual([
      ['a', 'b'],
      ['c', 'd'],
    ]);
    first?.reject(new Away('lost'));
    await pass(script, 100);
    expect(ids(script).slice(2)).toEqual([['a', 'b']]);
    last(script.sent).resolve(undefined);
    await settled();
    expect(ids(script).slice(3)).toEqual([['c', 'd']]);
    expect(publish.outcome).toBe('open');
    last(script.sent).resolve(undefined);
    await settled();
    expect(publish.outcome).toBe('resolved');
    expect(ids(script).slice(4)).toEqual([['e']]);
  });

  it('for good fails, naming each message with its reason; the others are safe', async () => {
    const { backend, script } = scripted();
    const refused = new MelangeError('MESSAGE_TOO_LARGE', 'too large');
    const publish = watched(backend.publishToQueue('q', messages('a', 'b')));
    await settled();
    last(script.sent).resolve([refused, undefined]);
    await settled();
    expect(failuresOf(publish.outcome)).toEqual({ a: refused });
  });

  it('because the destination is missing says so, by what it is', async () => {
    const { backend, script } = scripted();
    const queue = watched(backend.publishToQueue('q', messages('a')));
    const topic = watched(backend.publishToTopic('t', messages('a')));
    await settled();
    for (const call of script.sent) call.reject(new Missing());
    await settled();
    expect(queue.outcome).toMatchObject({ code: 'QUEUE_NOT_FOUND', queue: 'q' });
    expect(topic.outcome).toMatchObject({ code: 'TOPIC_NOT_FOUND', topic: 't' });
  });

  it('by a fault of the adapter is not repeated', async () => {
    const { backend, script } = scripted();
    script.throwsAtOnce = new TypeError('undefined is not a function');
    const publish = watched(backend.publishToQueue('q', messages('a')));
    await settled();
    expect(String(failuresOf(publish.outcome).a)).toContain('undefined is not a function');
    script.throwsAtOnce = undefined;
    const next = watched(backend.publishToQueue('q', messages('b')));
    await settled();
    last(script.sent).resolve(undefined);
    await settled();
    expect(next.outcome).toBe('resolved');
  });

  it('because it cannot be written fails, and its neighbours go', async () => {
    const { backend, script } = scripted();
    const publish = watched(
      backend.publishToQueue('q', [{ ...messageOf('a'), content: null }, messageOf('b')]),
    );
    await settled();
    expect(ids(script)).toEqual([['b']]);
    last(script.sent).resolve(undefined);
    await settled();
    expect(failuresOf(publish.outcome)).toMatchObject({ a: { code: 'MESSAGE_INVALID' } });
  });
});
