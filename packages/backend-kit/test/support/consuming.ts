import type { Delivery, Subscription } from '@melange/core';
import { pass, type Script, type ScriptedOptions, scripted } from './scripted-driver.ts';

/** A subscription, and what it was handed. */
export interface Consuming {
  readonly script: Script;
  readonly backend: ReturnType<typeof scripted>['backend'];
  readonly subscription: Subscription;
  readonly deliveries: Delivery[];
}

/** A subscription whose first request for messages is under way. */
export async function consuming(
  options: Partial<ScriptedOptions> & {
    readonly maxInFlight?: number;
    readonly untilEmpty?: boolean;
    readonly receive?: (delivery: Delivery) => void;
  } = {},
): Promise<Consuming> {
  const { maxInFlight = 5, untilEmpty = false, receive, ...rest } = options;
  const { backend, script } = scripted(rest);
  const deliveries: Delivery[] = [];
  const subscription = await backend.subscribe('q', { maxInFlight, untilEmpty }, (delivery) => {
    deliveries.push(delivery);
    receive?.(delivery);
  });
  await pass(script, 0);
  return { script, backend, subscription, deliveries };
}

/** Ids of deliveries, in order. */
export const idsOf = (deliveries: readonly Delivery[]): string[] =>
  deliveries.map(({ message }) => message.id);
/** Ids of messages that the broker was told of, in order. */
export const idsIn = (batch: readonly { readonly message: { readonly id: string } }[]): string[] =>
  batch.map(({ message }) => message.id);
