import { MelangeError, type Message, QueueNotFoundError, TopicNotFoundError } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../core/test/support/manual-clock.ts';
import {
  type BackendOptions,
  type Destination,
  type DirectPublishDriver,
  defineBackend,
} from '../src/index.ts';
import { messageOf } from './support/scripted-driver.ts';
import { Away, explain, Missing, Store, storeTopology } from './support/store.ts';

const clock = new ManualClock();

/** A backend whose broker takes each message as `put` says. */
function direct(put: DirectPublishDriver['put']) {
  const Direct = defineBackend({
    name: 'direct',
    capabilities: {
      delayedDelivery: true,
      orderingByKey: false,
      ordered: true,
      brokerSideFilters: true,
      replay: false,
      browse: false,
      queuesKeepTopicMessages: true,
      tombstones: true,
      durable: false,
      releaseKeepsAttempt: true,
      deliveriesOutliveConnections: true,
      exactDepth: true,
      fencedSettlements: true,
      tellsRedeliveries: true,
      maxMessageBytes: undefined,
    },
    driver: (_: BackendOptions, context) => ({
      names: { maxBytes: 20 },
      topology: storeTopology(new Store(clock), context),
      publishing: { put },
      consuming: { kind: 'pull' as const, open: () => Promise.reject(new Error('not in this test')) },
      explain,
      close: () => undefined,
    }),
  });
  return new Direct({ clock });
}

describe('publishing to a broker that takes messages in the turn of the call', () => {
  it('is done when the call returns, in order, without a timer, and makes no promise for a call', async () => {
    const puts: [string, Destination, number][] = [];
    const backend = direct(({ id }, destination, delayMs) => void puts.push([id, destination, delayMs]));
    const first = backend.publishToQueue('q', [messageOf('a'), messageOf('b')], { delayMs: 5 });
    const second = backend.publishToTopic('t', [messageOf('c')]);
    expect(puts).toEqual([
      ['a', { kind: 'queue', name: 'q' }, 5],
      ['b', { kind: 'queue', name: 'q' }, 5],
      ['c', { kind: 'topic', name: 't' }, 0],
    ]);
    expect(clock.pending).toBe(0);
    expect(second).toBe(first);
    await first;
  });

  it('offers each message, and rejects with those that were not taken, and why', async () => {
    const full = new MelangeError('QUEUE_FULL', 'full');
    const offered: string[] = [];
    const backend = direct(({ id }: Message) => {
      offered.push(id);
      if (id === 'b') throw full;
      if (id === 'c') throw new Away('later');
      if (id === 'd') throw new TypeError('a defect');
    });
    const publishing = backend.publishToQueue(
      'q',
      ['a', 'b', 'c', 'd', 'e'].map((id) => messageOf(id)),
    );
    await expect(publishing).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
      failures: [
        { messageId: 'b', error: full },
        { messageId: 'c', error: { code: 'BROKER_UNAVAILABLE' } },
        { messageId: 'd', error: { code: 'PUBLISH_FAILED' } },
      ],
    });
    expect(offered).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('rejects with the queue or the topic that does not exist', async () => {
    const backend = direct(() => {
      throw new Missing('no such thing');
    });
    await expect(backend.publishToQueue('q', [messageOf('a')])).rejects.toThrow(QueueNotFoundError);
    await expect(backend.publishToTopic('t', [messageOf('a')])).rejects.toThrow(TopicNotFoundError);
  });

  it('refuses a delay and a deadline that are no time, and everything once it is closed', async () => {
    const puts: string[] = [];
    const backend = direct(({ id }) => void puts.push(id));
    const message = [messageOf('a')];
    const refusal = { code: 'CONFIGURATION' };
    await expect(backend.publishToQueue('q', message, { delayMs: Number.NaN })).rejects.toMatchObject(
      refusal,
    );
    await expect(backend.publishToTopic('t', message, { deadlineMs: -1 })).rejects.toMatchObject(refusal);
    await backend.close();
    await expect(backend.publishToQueue('q', message)).rejects.toMatchObject({ code: 'CLOSED' });
    expect(puts).toEqual([]);
  });
});
