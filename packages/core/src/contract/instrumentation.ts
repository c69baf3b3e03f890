import { channel, type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import type { Delivery, MessagingBackend } from './backend.ts';
import type { Health } from './health.ts';
import type { Message } from './message.ts';

/** Runs the work that a channel tells about. Must call `work` once and answer its promise. */
export type Around = <Result>(work: () => Promise<Result>) => Promise<Result>;

/** Trace of work that a subscriber may run inside of something of its own, such as an active span. */
export interface Surroundable {
  /**
   * Set by a subscriber of `start`: called in place of the work, and calls it. A subscriber that finds one set calls it
   * within its own. Default: none.
   */
  around?: Around | undefined;
}

/** Context of `tracing:melange.publish:*`: messages that are published to one destination. */
export interface PublishTrace extends Surroundable {
  /** Name of the backend. */
  readonly backend: string;
  /** Name of the queue or topic. */
  readonly destination: string;
  /** What the destination is. */
  readonly kind: 'queue' | 'topic';
  /**
   * What is published, in order. A subscriber of `start` may put a message with further headers in the place of one,
   * such as a trace context. Its other fields must stay.
   */
  readonly messages: Message[];
}

/** Context of `tracing:melange.receive:*`: one delivery, from the start of its attempt until it is settled. */
export interface ReceiveTrace extends Surroundable {
  /** Name of the backend. */
  readonly backend: string;
  /** The same object in the traces of its runs and of its settlement. A subscriber must not settle it. */
  readonly delivery: Delivery;
  /** Queue that it came from. */
  readonly queue: string;
  /** The message as it was received. */
  readonly message: Message;
  /** 1 the first time. */
  readonly attempt: number;
}

/** Context of `tracing:melange.process:*`: one run of a consumer. */
export interface ProcessTrace extends Surroundable {
  /** As in `ReceiveTrace`. */
  readonly delivery: Delivery;
  /** Queue that the message came from. */
  readonly queue: string;
  /** The message as it was received. */
  readonly message: Message;
  /** Name of the consumer. */
  readonly consumer: string;
  /** 1 the first time. */
  readonly attempt: number;
}

/** Context of `tracing:melange.settle:*`: the settlement of a delivery. */
export interface SettleTrace extends Surroundable {
  /** As in `ReceiveTrace`. */
  readonly delivery: Delivery;
  /** Queue that the message came from. */
  readonly queue: string;
  /** The message as it was received. */
  readonly message: Message;
  /** `acknowledge`, `acknowledged-early`, `retry`, `release` or `dead-letter`. */
  readonly outcome: string;
}

/** What subscribers of `tracing:melange.consume:*` see: a queue that is consumed, from the call until it has ended. */
export interface ConsumeTrace extends Surroundable {
  /** Name of the queue. */
  readonly queue: string;
  /** Where it is consumed from. A subscriber must not close it. */
  readonly backend: MessagingBackend;
  /** The dispatcher that consumes it. */
  readonly dispatcher: object & { health(): Promise<Health> };
  /** Messages received and not settled, as of now. */
  readonly inFlight: () => number;
}

/** What subscribers of `melange.error` see: each error that `onException` is told. */
export interface ErrorTrace {
  /** Queue that is consumed. */
  readonly queue: string;
  /** What was thrown. */
  readonly error: unknown;
  /** `undefined` when the error concerns no single message. */
  readonly delivery: Delivery | undefined;
  /** Name of the consumer that threw; `undefined` when none did. */
  readonly consumer: string | undefined;
}

/** What subscribers of `melange.reconnect` see: a connection to a broker that was lost, and is there again. */
export interface ReconnectEvent {
  /** Name of the backend. */
  readonly backend: string;
}

/**
 * Node's tracing channels, `tracing:<name>:start|end|asyncStart|asyncEnd|error`. A caller asks `hasSubscribers`
 * before it builds anything for each message.
 */
export const channels: {
  readonly consume: TracingChannel<ConsumeTrace>;
  readonly publish: TracingChannel<PublishTrace>;
  readonly receive: TracingChannel<ReceiveTrace>;
  readonly process: TracingChannel<ProcessTrace>;
  readonly settle: TracingChannel<SettleTrace>;
} = {
  consume: tracingChannel('melange.consume'),
  publish: tracingChannel('melange.publish'),
  receive: tracingChannel('melange.receive'),
  process: tracingChannel('melange.process'),
  settle: tracingChannel('melange.settle'),
};

/** Runs `work` inside the channel when somebody listens, else directly. */
export function traced<Trace extends Surroundable, Result>(
  channel: TracingChannel<Trace>,
  trace: Trace,
  work: () => Promise<Result>,
): Promise<Result> {
  if (!channel.hasSubscribers) return work();
  return channel.tracePromise(() => (trace.around === undefined ? work() : trace.around(work)), trace);
}

/** Tells of a run that was spared because the cache knew the consumer to be done with the message. */
export function publishDuplicate(trace: ProcessTrace): void {
  channel('melange.duplicate').publish(trace);
}

/** Tells of an error. */
export function publishError(trace: ErrorTrace): void {
  channel('melange.error').publish(trace);
}

/** Tells of a connection that was lost, and is there again. */
export function publishReconnect(event: ReconnectEvent): void {
  channel('melange.reconnect').publish(event);
}
