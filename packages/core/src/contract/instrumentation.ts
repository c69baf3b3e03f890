import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import type { Message } from './message.ts';

/** What subscribers of `tracing:melange.publish:*` see: messages on their way to one destination. */
export interface PublishTrace {
  /** Name of the backend. */
  readonly backend: string;
  /** Name of the queue or topic. */
  readonly destination: string;
  /** What the destination is. */
  readonly kind: 'queue' | 'topic';
  /** What is published, in order. */
  readonly messages: readonly Message[];
}

/** What subscribers of `tracing:melange.receive:*` see: one delivery, from arrival until it is settled. */
export interface ReceiveTrace {
  /** Queue that it came from. */
  readonly queue: string;
  /** The message as it was received. */
  readonly message: Message;
  /** 1 the first time. */
  readonly attempt: number;
}

/** What subscribers of `tracing:melange.process:*` see: one consumer's run. */
export interface ProcessTrace {
  /** Queue that the message came from. */
  readonly queue: string;
  /** The message as it was received. */
  readonly message: Message;
  /** Name of the consumer. */
  readonly consumer: string;
  /** 1 the first time. */
  readonly attempt: number;
}

/** What subscribers of `tracing:melange.settle:*` see: how a delivery ended. */
export interface SettleTrace {
  /** Queue that the message came from. */
  readonly queue: string;
  /** The message as it was received. */
  readonly message: Message;
  /** `kind` of the `Outcome`. */
  readonly outcome: string;
}

/** Node's tracing channels, `tracing:<name>:start|end|asyncStart|asyncEnd|error`; nothing is built while nobody listens. */
export const channels: {
  readonly publish: TracingChannel<PublishTrace>;
  readonly receive: TracingChannel<ReceiveTrace>;
  readonly process: TracingChannel<ProcessTrace>;
  readonly settle: TracingChannel<SettleTrace>;
} = {
  publish: tracingChannel('melange.publish'),
  receive: tracingChannel('melange.receive'),
  process: tracingChannel('melange.process'),
  settle: tracingChannel('melange.settle'),
};

/** Runs `work` inside the channel when somebody listens, else directly. */
export function traced<Context extends object, Result>(
  channel: TracingChannel<Context>,
  context: () => Context,
  work: () => Promise<Result>,
): Promise<Result> {
  return isObserved(channel) ? channel.tracePromise(work, context()) : work();
}

/** Whether anybody listens: where nobody does, not even the closures that `traced` takes need to be made. */
export function isObserved(channel: TracingChannel<never>): boolean {
  return channel.hasSubscribers;
}
