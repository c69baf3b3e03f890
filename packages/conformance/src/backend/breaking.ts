import assert from 'node:assert/strict';
import { type Delivery, MelangeError } from '@melange/core';
import type { BackendContext } from './backend-context.ts';
import type { Receiver } from './receiver.ts';

/** `requires` of what breaks connections. */
export function needsFaults(context: BackendContext): string | undefined {
  return context.faults === undefined ? 'no connection to a broker that could break' : undefined;
}

/** Waits until each of them has come, however often. */
export async function arrivesAtLeastOnce(receiver: Receiver, ids: readonly string[]): Promise<void> {
  await receiver.until(
    () => {
      const seen = new Set(receiver.ids);
      return ids.every((id) => seen.has(id));
    },
    () => `${ids.length} messages (${new Set(receiver.ids).size} came)`,
  );
}

/** For receivers that do nothing else. */
export async function acknowledge(delivery: Delivery): Promise<void> {
  await delivery.acknowledge();
}

/** For receivers whose settlements an outage may fail: then the message comes again. */
export async function acknowledgeIfAnswered(delivery: Delivery): Promise<void> {
  try {
    await delivery.acknowledge();
  } catch (error) {
    assert.ok(MelangeError.is(error), `expected a MelangeError, got ${String(error)}`);
  }
}

/** `requires` of what is lost with its connection. */
export function needsLosableDeliveries({ capabilities }: BackendContext): string | undefined {
  return capabilities.deliveriesOutliveConnections
    ? 'a delivery stays ours when the connection breaks'
    : undefined;
}

/** `requires` of what outlives its connection. */
export function needsLastingDeliveries({ capabilities }: BackendContext): string | undefined {
  return capabilities.deliveriesOutliveConnections
    ? undefined
    : 'the broker takes deliveries back when the connection breaks';
}
