import assert from 'node:assert/strict';
import type { Delivery, MessagingBackend } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import { type BackendBehaviour, type BackendContext, numbered } from './backend-context.ts';
import { needsFaults, needsLastingDeliveries } from './breaking.ts';
import type { Receiver } from './receiver.ts';

/** The broker gives a message for a time: whoever works longer keeps it, whoever falls silent loses it to another one. */
export const leases: readonly BackendBehaviour[] = behaviours<BackendContext>('leases', [
  {
    id: 'renewed',
    title: 'a delivery is ours for as long as its handler runs, beyond the end of several leases',
    timeoutMs: 60_000,
    requires: needsLeases,
    async run(context) {
      const queue = await context.queue();
      const { backend, leaseMs } = await leasing(context);
      await context.backend.publishToQueue(queue, numbered(3));
      const receiver = await context.receive(queue, {}, backend);
      const deliveries = await receiver.take(3);
      const signals = deliveries.map(({ signal }) => signal);
      await receiver.staysQuiet(leaseMs * 2.5, 'the deliveries are unsettled, and their handlers run');
      for (const signal of signals) assert.equal(signal.aborted, false, 'the delivery is still ours');
      for (const delivery of deliveries) await delivery.acknowledge();
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'older-delivery-is-lost',
    title:
      'a message that is handed to another one is lost to its first holder: aborted, and settled to no effect',
    timeoutMs: 90_000,
    requires: (context) => needsFaults(context) ?? needsLeases(context),
    async run(context) {
      const { speakAgain, older, newer, other } = await handedOverTwice(context, () => undefined);
      await context.eventually('the first holder is told', () => older.signal.aborted);
      speakAgain();
      await context.soon(older.acknowledge(), 'settling what was lost');
      await comesAgain(newer, other);
    },
  },
  {
    id: 'late-settlement',
    title: 'a settlement that reaches the broker when another one holds the message changes nothing',
    timeoutMs: 90_000,
    requires: (context) => needsFaults(context) ?? needsLeases(context) ?? needsFences(context),
    async run(context) {
      let settled: Promise<unknown> | undefined;
      const { speakAgain, newer, other } = await handedOverTwice(context, (delivery) => {
        settled = Promise.resolve(delivery.acknowledge());
        settled.catch(() => {});
      });
      speakAgain();
      await context.soon(Promise.allSettled([settled]), 'the late settlement');
      await comesAgain(newer, other);
    },
  },
]);

interface HandedOverTwice {
  /** The first holder's connection works again; it takes no further message. */
  readonly speakAgain: () => void;
  readonly older: Delivery;
  readonly newer: Delivery;
  readonly other: Receiver;
}

/** A message whose holder fell silent, so that the broker gave it to another one. */
async function handedOverTwice(
  context: BackendContext,
  whenSilent: (older: Delivery) => void,
): Promise<HandedOverTwice> {
  const queue = await context.queue();
  const { backend, proxy } = await context.throughProxy();
  await context.backend.publishToQueue(queue, numbered(1));
  const holder = await context.receive(queue, {}, backend);
  const older = await holder.next();
  assert.equal(older.signal.aborted, false);
  proxy.stall();
  whenSilent(older);
  const other = await context.receive(queue);
  const newer = await other.next();
  assert.equal(newer.message.id, older.message.id);
  const { releaseKeepsAttempt, tellsRedeliveries } = context.capabilities;
  if (releaseKeepsAttempt) assert.equal(newer.attempt, 1, 'no run failed');
  if (tellsRedeliveries) assert.ok((newer.redeliveries ?? 0) >= 1, 'it was handed out before');
  const speakAgain = (): void => {
    void holder.subscription.close();
    proxy.resume();
  };
  return { speakAgain, older, newer, other };
}

/** The newer delivery is the one that counts: given back, it comes again. */
async function comesAgain(newer: Delivery, other: Receiver): Promise<void> {
  assert.equal(newer.signal.aborted, false, 'the newer delivery is still ours');
  await newer.release();
  const again = await other.next();
  assert.equal(again.message.id, newer.message.id);
  await again.acknowledge();
}

/** A backend with leases of a known length: the proxy's are shorter where both are known. */
async function leasing(
  context: BackendContext,
): Promise<{ readonly backend: MessagingBackend; readonly leaseMs: number }> {
  const { leaseMs, leaseMsThroughProxy } = context;
  if (context.faults !== undefined && leaseMsThroughProxy !== undefined)
    return { backend: (await context.throughProxy()).backend, leaseMs: leaseMsThroughProxy };
  assert.ok(leaseMs !== undefined, 'a behaviour about leases says so in `requires`');
  return { backend: context.backend, leaseMs };
}

function needsLeases(context: BackendContext): string | undefined {
  const { leaseMs, leaseMsThroughProxy } = context;
  const isKnown = leaseMs !== undefined || leaseMsThroughProxy !== undefined;
  return (
    needsLastingDeliveries(context) ?? (isKnown ? undefined : 'the suite was not told how long a lease lasts')
  );
}

function needsFences({ capabilities }: BackendContext): string | undefined {
  return capabilities.fencedSettlements
    ? undefined
    : 'the broker takes a settlement by whoever held the message before';
}
