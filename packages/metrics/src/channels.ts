import { channel, tracingChannel } from 'node:diagnostics_channel';
import type {
  ConsumeTrace,
  ErrorTrace,
  ProcessTrace,
  PublishTrace,
  ReceiveTrace,
  ReconnectEvent,
  SettleTrace,
} from '@melange/core';

/** What the core's tracing channels tell of. */
export interface Traces {
  /** A queue that is consumed, until it has ended. */
  readonly consume: ConsumeTrace;
  /** Messages on their way to one destination. */
  readonly publish: PublishTrace;
  /** A delivery, from arrival until it is settled. */
  readonly receive: ReceiveTrace;
  /** A consumer's run. */
  readonly process: ProcessTrace;
  /** How a delivery ends. */
  readonly settle: SettleTrace;
}

/** What the core's plain channels tell of. */
export interface Events {
  /** A run that was spared. */
  readonly duplicate: ProcessTrace;
  /** An error that `onException` is told. */
  readonly error: ErrorTrace;
  /** A connection that is there again. */
  readonly reconnect: ReconnectEvent;
}

/** How work ended, as Node's tracing channels add it to a trace. */
export interface Ended {
  /** Its result, where it succeeded. */
  readonly result?: unknown;
  /** What it threw, where it failed. */
  readonly error?: unknown;
}

/** What is done when traced work starts and ends. */
export interface TraceHandlers<Trace> {
  /** Called before the work. */
  readonly start: (trace: Trace) => void;
  /** Called once, also for work that threw before it answered a promise. */
  readonly end: (trace: Trace & Ended) => void;
}

/** Whether it failed: what was thrown may be `undefined`. */
export function hasFailed(trace: object): trace is { readonly error: unknown } {
  return 'error' in trace;
}

/** Listens to a tracing channel of the core until the function that it answers is called. */
export function onTrace<Name extends keyof Traces>(
  name: Name,
  { start, end }: TraceHandlers<Traces[Name]>,
): () => void {
  const channels = tracingChannel(`melange.${name}`);
  const handlers = {
    start: (trace: unknown) => start(trace as Traces[Name]),
    // What throws before it answers a promise has no `asyncEnd`.
    error: (trace: unknown) => end(trace as Traces[Name] & Ended),
    asyncEnd: (trace: object) => {
      if (!hasFailed(trace)) end(trace as Traces[Name] & Ended);
    },
  };
  channels.subscribe(handlers as never);
  return () => void channels.unsubscribe(handlers as never);
}

/** Listens to a plain channel of the core until the function that it answers is called. */
export function onEvent<Name extends keyof Events>(
  name: Name,
  listener: (event: Events[Name]) => void,
): () => void {
  const events = channel(`melange.${name}`);
  const handler = (event: unknown): void => listener(event as Events[Name]);
  events.subscribe(handler);
  return () => void events.unsubscribe(handler);
}
