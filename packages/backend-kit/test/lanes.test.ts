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

/** What was sent: the lane, and the ids of its batch. */
const sent = (script: Script): readonly (readonly [lane: number | undefined, ids: string])[] =>
  script.sent.map(({ argument, destination }) => [destination?.lane, argument.map(({ id }) => id).join('')]);
/** Messages whose content names their lanes. */
const inLanes = (text: string) => text.split(' ').map((one) => messageOf(one.slice(0, -1), one.slice(-1)));

describe('a destination with lanes', () => {
  it('asks which there are before it sends anything, once, and keeps the order of what waited', async () => {
    const { backend, script } = scripted({ hasLanes: true });
    void backend.publishToQueue('q', inLanes('a0 b1 c0'));
    await settled();
    void backend.publishToQueue('q', inLanes('d0'));
    expect(sent(script)).toEqual([]);
    expect(script.foundLanes.map(({ argument }) => argument)).toEqual([{ kind: 'queue', name: 'q' }]);
    last(script.foundLanes).resolve();
    await settled();
    expect(script.foundLanes).toHaveLength(1);
    void backend.publishToQueue('q', inLanes('e1'));
    await settled();
    expect(sent(script)).toEqual([
      [0, 'ac'],
      [1, 'b'],
    ]);
    for (const call of script.sent) call.resolve(undefined);
    await settled();
    expect(sent(script).slice(2)).toEqual([
      [0, 'd'],
      [1, 'e'],
    ]);
  });

  const known = async () => {
    const scene = scripted({ hasLanes: true });
    const publish = watched(scene.backend.publishToQueue('q', inLanes('x0')));
    await settled();
    last(scene.script.foundLanes).resolve();
    await settled();
    return { ...scene, publish };
  };

  it('has one batch under way for each lane, and none waits for another one that is in trouble', async () => {
    const { backend, script } = await known();
    last(script.sent).reject(new Away('too few replicas'));
    await settled();
    const other = watched(backend.publishToQueue('q', inLanes('a1')));
    void backend.publishToQueue('q', inLanes('b0'));
    await settled();
    expect(sent(script)).toEqual([
      [0, 'x'],
      [1, 'a'],
    ]);
    last(script.sent).resolve(undefined);
    await settled();
    expect(other.outcome).toBe('resolved');
    await pass(script, 100);
    expect(sent(script).at(-1)).toEqual([0, 'x']);
    last(script.sent).resolve(undefined);
    await settled();
    expect(sent(script).at(-1)).toEqual([0, 'b']);
  });

  it('is in trouble until each of its lanes works', async () => {
    const { backend, script } = await known();
    last(script.sent).reject(new Away('too few replicas'));
    await settled();
    void backend.publishToQueue('q', inLanes('a1'));
    await settled();
    last(script.sent).resolve(undefined);
    await settled();
    expect((await backend.health()).status).toBe('degraded');
    await pass(script, 100);
    last(script.sent).resolve(undefined);
    await settled();
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(script.lines).toEqual([
      'warn trouble publishing to queue "q"',
      'info recovered from trouble publishing to queue "q"',
    ]);
  });

  it('whose lanes cannot be found is asked for again, up to the deadline of the messages', async () => {
    const { backend, script } = scripted({ hasLanes: true });
    const publish = watched(backend.publishToQueue('q', inLanes('a0'), { deadlineMs: 1_000 }));
    await settled();
    last(script.foundLanes).reject(new Away('no leader'));
    await pass(script, 100);
    expect(script.foundLanes).toHaveLength(2);
    await pass(script, 900);
    expect(publish.outcome).toMatchObject({
      failures: [{ messageId: 'a', error: { code: 'PUBLISH_TIMEOUT' } }],
    });
  });

  it('that does not exist is not found, and is asked for anew by the next publish', async () => {
    const { backend, script } = scripted({ hasLanes: true });
    const publish = watched(backend.publishToQueue('q', inLanes('a0')));
    await settled();
    last(script.foundLanes).reject(new Missing());
    await settled();
    expect(publish.outcome).toMatchObject({ code: 'QUEUE_NOT_FOUND' });
    void backend.publishToQueue('q', inLanes('b0'));
    await settled();
    expect(script.foundLanes).toHaveLength(2);
  });
});

describe('what a driver publishes by itself', () => {
  it('shares batches with the messages of applications, and is sent again', async () => {
    const { backend, script } = scripted();
    const copy = watched(
      script.context?.publish({ kind: 'queue', name: 'q' }, 'copy', 'c', 7) as Promise<void>,
    );
    void backend.publishToQueue('q', [messageOf('a')]);
    await settled();
    expect(sent(script)).toEqual([[undefined, 'copya']]);
    expect(last(script.sent).argument.map(({ delayMs }) => delayMs)).toEqual([7, 0]);
    last(script.sent).reject(new Away('reset'));
    await pass(script, 100);
    last(script.sent).resolve(undefined);
    await settled();
    expect(copy.outcome).toBe('resolved');
  });

  it('rejects with its own error', async () => {
    const { script } = scripted({ publishTimeoutMs: 1_000 });
    const copy = watched(script.context?.publish({ kind: 'topic', name: 't' }, 'copy', 'c') as Promise<void>);
    await pass(script, 1_000);
    expect(copy.outcome).toMatchObject({ code: 'PUBLISH_TIMEOUT' });
    const other = watched(
      script.context?.publish({ kind: 'topic', name: 'u' }, 'copy', 'c') as Promise<void>,
    );
    await settled();
    last(script.sent).reject(new Missing());
    await settled();
    expect(other.outcome).toMatchObject({ code: 'TOPIC_NOT_FOUND' });
  });
});
