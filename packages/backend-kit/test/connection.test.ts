import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { MelangeError } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { Away, last, messageOf, pass, scripted, watched } from './support/scripted-driver.ts';

/** A backend that is connected. */
async function connected(options: { readonly forgetsTopology?: boolean } = {}) {
  const { backend, script } = scripted({ connects: true, ...options });
  const declare = backend.declareTopic('t');
  await settled();
  last(script.connects).resolve();
  await declare;
  return { backend, script };
}

describe('a connection', () => {
  it('is made on first use, once for all that wait for it', async () => {
    const { backend, script } = scripted({ connects: true });
    expect(script.connects).toEqual([]);
    void backend.declareTopic('t');
    void backend.publishToQueue('q', [messageOf('a')]);
    await settled();
    expect(script.connects).toHaveLength(1);
    expect(script.declared).toEqual([]);
    expect(script.sent).toEqual([]);
    last(script.connects).resolve();
    await settled();
    expect(script.declared).toEqual(['topic t']);
    expect(script.sent).toHaveLength(1);
  });

  it('tells its address as that of the backend; without one there is none', () => {
    expect(scripted({ connects: true }).backend.address).toBe('host:1');
    expect(scripted({ connects: false }).backend.address).toBeUndefined();
  });

  it('that cannot be made at first is told at once, with the address and without a cause that may hold credentials', async () => {
    const { backend, script } = scripted({ connects: true });
    const declare = watched(backend.declareTopic('t'));
    await settled();
    last(script.connects).reject(new Away('refused'));
    await settled();
    expect(declare.outcome).toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: 'scripted at host:1 cannot be reached: refused.',
    });
    expect(declare.outcome).not.toHaveProperty('cause');
    expect((await backend.health()).status).toBe('degraded');
  });

  it('that is not answered is given up after its time', async () => {
    const { backend, script } = scripted({ connects: true });
    const declare = watched(backend.declareTopic('t'));
    await pass(script, 5_000);
    expect(declare.outcome).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
  });

  it('that is there again is told to the channel of reconnects, and the first one is not', async () => {
    const told: unknown[] = [];
    const tell = (event: unknown): void => void told.push(event);
    subscribe('melange.reconnect', tell);
    const { script } = await connected();
    expect(told).toEqual([]);
    script.context?.connectionLost('reset');
    await pass(script, 100);
    expect(told).toEqual([]);
    last(script.connects).resolve();
    await settled();
    expect(told).toEqual([{ backend: 'scripted' }]);
    unsubscribe('melange.reconnect', tell);
  });

  it('that was lost is made again with growing pauses, one log line at each end', async () => {
    const { backend, script } = await connected();
    script.context?.connectionLost('reset');
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('reset'),
    });
    await pass(script, 99);
    expect(script.connects).toHaveLength(1);
    await pass(script, 1);
    expect(script.connects).toHaveLength(2);
    last(script.connects).reject(new Away('refused'));
    await pass(script, 200);
    expect(script.connects).toHaveLength(3);
    last(script.connects).resolve();
    await settled();
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(script.lines).toEqual([
      'warn trouble being connected',
      'info recovered from trouble being connected',
    ]);
  });

  it('that is away for 30 s is unhealthy', async () => {
    const { backend, script } = await connected();
    script.context?.connectionLost('reset');
    for (let second = 0; second < 30; second += 1) {
      await pass(script, 1_000);
      last(script.connects).reject(new Away('refused'));
    }
    expect((await backend.health()).status).toBe('unhealthy');
  });

  it('that is not made in time is a trouble at once, and none when it is made after all', async () => {
    const { backend, script } = scripted({ connects: true });
    const declare = watched(backend.declareTopic('t'));
    await pass(script, 5_000);
    expect(declare.outcome).toMatchObject({ code: 'BROKER_UNAVAILABLE' });
    expect((await backend.health()).status).toBe('degraded');
    last(script.connects).resolve();
    await settled();
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('is waited for by a publish, up to its deadline', async () => {
    const { backend, script } = await connected();
    script.context?.connectionLost('reset');
    const early = watched(backend.publishToQueue('q', [messageOf('a')], { deadlineMs: 50 }));
    const late = watched(backend.publishToQueue('other', [messageOf('b')], { deadlineMs: 5_000 }));
    await pass(script, 50);
    expect(early.outcome).toMatchObject({ code: 'PUBLISH_FAILED' });
    await pass(script, 50);
    last(script.connects).resolve();
    await settled();
    expect(script.sent.map(({ argument }) => argument[0]?.id)).toEqual(['b']);
    last(script.sent).resolve(undefined);
    await settled();
    expect(late.outcome).toBe('resolved');
  });

  it('declares again what the broker forgot, before anybody publishes', async () => {
    const { backend, script } = await connected({ forgetsTopology: true });
    await backend.declareQueue('q');
    await backend.declareQueue('gone');
    await backend.deleteQueue('gone');
    script.declared.length = 0;
    script.context?.connectionLost('reset');
    void backend.publishToQueue('q', [messageOf('a')]);
    await pass(script, 100);
    last(script.connects).resolve();
    await settled();
    expect(script.declared).toEqual(['topic t', 'queue q']);
    expect(script.sent).toHaveLength(1);
  });

  it('declares again every declaration of a queue, without the topics that a later one removed', async () => {
    const { backend, script } = await connected({ forgetsTopology: true });
    await backend.declareQueue('q', { topics: ['a', 'b'] });
    await backend.declareQueue('q', { topics: ['a', 'b'] });
    await backend.declareQueue('q', { topics: ['c'], removeTopics: ['a'] });
    await backend.declareQueue('r', { topics: ['a'], filter: ['One'] });
    await backend.declareQueue('r', { topics: ['a'], filter: ['Two'], replaceFilter: true });
    script.declared.length = 0;
    script.context?.connectionLost('reset');
    await pass(script, 100);
    last(script.connects).resolve();
    await settled();
    expect(script.declared).toEqual(['topic t', 'queue q b', 'queue q c', 'queue r', 'queue r a']);
  });

  it('is kept though the broker refuses to declare something again; one that is lost meanwhile is not', async () => {
    const { backend, script } = await connected({ forgetsTopology: true });
    for (const name of ['q', 'other']) await backend.declareQueue(name);
    script.declared.length = 0;
    script.refused.set('q', new MelangeError('TOPOLOGY_CONFLICT', 'exists with other settings'));
    script.context?.connectionLost('reset');
    await pass(script, 100);
    last(script.connects).resolve();
    await settled();
    expect(script.declared).toEqual(['topic t', 'queue other']);
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(script.lines).toContain('warn cannot declare a queue or topic again');
    script.refused.set('q', new Away('gone again'));
    script.context?.connectionLost('reset');
    await pass(script, 100);
    last(script.connects).resolve();
    await settled();
    expect((await backend.health()).status).toBe('degraded');
    await pass(script, 200);
    expect(script.connects).toHaveLength(4);
  });

  it('of its own is made for sending, and lost and made again by itself', async () => {
    const { backend, script } = scripted({ connects: true, connectsToSend: true });
    void backend.publishToQueue('q', [messageOf('a')]);
    await settled();
    expect(script.connects).toEqual([]);
    last(script.connectsToSend).resolve();
    await settled();
    expect(script.sent).toHaveLength(1);
    last(script.sent).resolve(undefined);
    const declare = watched(backend.declareTopic('t'));
    await settled();
    last(script.connects).resolve();
    await settled();
    expect(declare.outcome).toBe('resolved');
    script.context?.connectionLost('reset', script.sending);
    expect((await backend.health()).detail).toContain('being connected for publishing');
    await pass(script, 100);
    expect([script.connects.length, script.connectsToSend.length]).toEqual([1, 2]);
    last(script.connectsToSend).resolve();
    await settled();
    expect(await backend.health()).toEqual({ status: 'healthy' });
    script.context?.connectionLost('reset');
    await pass(script, 100);
    expect([script.connects.length, script.connectsToSend.length]).toEqual([2, 2]);
    script.context?.connectionLost('reset', script.sending);
    const close = watched(backend.close());
    await pass(script, 10_000);
    expect(close.outcome).toBe('resolved');
    expect([script.connects.length, script.connectsToSend.length]).toEqual([2, 2]);
  });

  it('declares nothing again where the broker keeps it', async () => {
    const { script } = await connected();
    script.declared.length = 0;
    script.context?.connectionLost('reset');
    await pass(script, 100);
    last(script.connects).resolve();
    await settled();
    expect(script.declared).toEqual([]);
  });

  it('is not made again after the close', async () => {
    const { backend, script } = await connected();
    script.context?.connectionLost('reset');
    await settled();
    const close = watched(backend.close());
    await pass(script, 10_000);
    expect(close.outcome).toBe('resolved');
    expect(script.connects).toHaveLength(1);
    expect(script.clock.pending).toBe(0);
  });
});

describe('names', () => {
  it.each(['', 'x'.repeat(21)])(
    'that the broker does not take are refused before it is touched: "%s"',
    async (name) => {
      const { backend, script } = scripted({ connects: true });
      const refused = { code: 'CONFIGURATION' };
      await expect(backend.declareTopic(name)).rejects.toMatchObject(refused);
      await expect(backend.declareQueue(name)).rejects.toMatchObject(refused);
      await expect(backend.declareQueue('q', { topics: [name] })).rejects.toMatchObject(refused);
      await expect(backend.declareQueue('q', { deadLetterQueue: name })).rejects.toMatchObject(refused);
      expect(script.connects).toEqual([]);
    },
  );

  it('have room for what the adapter adds to them, unless they are only published to, described or deleted', async () => {
    const { backend, script } = scripted({ more: { names: { maxBytes: 20, longestSuffix: '.retry' } } });
    const name = 'x'.repeat(20);
    const refused = { code: 'CONFIGURATION' };
    await expect(backend.declareQueue(name)).rejects.toMatchObject(refused);
    await expect(backend.subscribe(name, { maxInFlight: 1 }, () => undefined)).rejects.toMatchObject(refused);
    void backend.publishToQueue(name, [messageOf('a')]);
    await settled();
    expect(script.sent).toHaveLength(1);
    expect(await backend.describeQueue(name)).toMatchObject({ exists: true });
    await backend.deleteQueue(name);
    await backend.deleteTopic(name);
    await expect(backend.describeQueue(`${name}x`)).rejects.toMatchObject(refused);
  });

  it('of a queue and its dead-letter queue differ', async () => {
    const { backend } = scripted();
    await expect(backend.declareQueue('q', { deadLetterQueue: 'q' })).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
  });
});
