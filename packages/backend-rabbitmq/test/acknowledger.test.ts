import type { Channel, Message } from 'amqplib';
import { describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../core/test/support/manual-clock.ts';
import { Acknowledger } from '../src/consume/acknowledger.ts';

/** A channel that notes what it is told. */
function noted(fail?: Error) {
  const clock = new ManualClock();
  const told: string[] = [];
  const note = (text: string): void => {
    if (fail !== undefined) throw fail;
    told.push(text);
  };
  const channel = {
    ack: ({ fields }: Message, multiple = false) =>
      note(`ack ${multiple ? 'up to ' : ''}${fields.deliveryTag}`),
    nack: ({ fields }: Message, multiple: boolean, requeue: boolean) =>
      note(`${requeue ? 'give back' : 'reject'} ${multiple ? 'up to ' : ''}${fields.deliveryTag}`),
  };
  return { told, clock, acknowledger: new Acknowledger(channel as unknown as Channel, clock) };
}

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

describe('acknowledgements', () => {
  test('of one turn are one frame for those without a gap, and one for each ahead of it', async () => {
    const { told, acknowledger } = noted();
    for (const tag of [3, 1, 2, 6, 5]) void acknowledger.acknowledge(tag);
    expect(told).toEqual([]);
    await nextTurn();
    expect(told).toEqual(['ack up to 3', 'ack 6', 'ack 5']);
  });

  test('never speak for what is open, nor twice for one', async () => {
    const { told, acknowledger } = noted();
    void acknowledger.acknowledge(2);
    await nextTurn();
    void acknowledger.acknowledge(3);
    await nextTurn();
    expect(told).toEqual(['ack 2', 'ack 3']);
    void acknowledger.acknowledge(1);
    await nextTurn();
    void acknowledger.acknowledge(4);
    await nextTurn();
    expect(told.slice(2)).toEqual(['ack up to 1', 'ack up to 4']);
  });

  test('pass over what was given back or rejected', async () => {
    const { told, acknowledger } = noted();
    acknowledger.giveBack(1);
    acknowledger.reject(3);
    expect(told).toEqual(['give back 1', 'reject 3']);
    void acknowledger.acknowledge(2);
    void acknowledger.acknowledge(4);
    await nextTurn();
    expect(told.slice(2)).toEqual(['ack up to 4']);
  });

  test('mean nothing on a channel that is gone; any other failure is told', () => {
    const gone = Object.assign(new Error('Channel closed'), { name: 'IllegalOperationError' });
    expect(() => noted(gone).acknowledger.giveBack(1)).not.toThrow();
    expect(() => noted(new Error('a fault of our own')).acknowledger.giveBack(1)).toThrow(
      'a fault of our own',
    );
  });
});

describe('while the channel drains', () => {
  function draining() {
    const scene = noted();
    let quiet = (): void => undefined;
    scene.acknowledger.drain(
      new Promise((resolve) => {
        quiet = resolve;
      }),
    );
    return { ...scene, quiet: () => quiet() };
  }

  test('nothing is told before it is quiet; then those without a gap are, and the others with the flush', async () => {
    const { told, clock, acknowledger, quiet } = draining();
    for (const tag of [1, 2, 4]) void acknowledger.acknowledge(tag);
    acknowledger.giveBack(6);
    await clock.advance(500);
    expect(told).toEqual([]);
    quiet();
    await settled();
    await clock.advance(20);
    expect(told).toEqual(['ack up to 2']);
    acknowledger.flush();
    expect(told).toEqual(['ack up to 2', 'ack 4', 'give back 6']);
    await clock.advance(5_000);
    expect(told).toHaveLength(3);
  });

  test('a handler that takes its time holds up the others for a second at most', async () => {
    const { told, clock, acknowledger, quiet } = draining();
    quiet();
    await settled();
    void acknowledger.acknowledge(2);
    await settled();
    await clock.advance(1_000);
    expect(told).toEqual([]);
    await clock.advance(20);
    expect(told).toEqual(['ack 2']);
  });
});
