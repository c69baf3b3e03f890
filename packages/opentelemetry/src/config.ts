import type { DeduplicationCache } from '@melange/core';

/** How `MelangeInstrumentation` records. */
export interface MelangeInstrumentationConfig {
  /** Whether it records from the beginning. `registerInstrumentations` enables it in any case. Default: true. */
  readonly enabled?: boolean;
  /**
   * How the span of a consumer's run follows the span that published the message. `linked`: it begins a trace and links to
   * it, which is right for fan-out, long waits and sampling by trace. `child`: it is its child, so that a flow over several
   * services is one trace. Default: `linked`.
   */
  readonly processSpans?: 'linked' | 'child';
  /**
   * Whether each message of a batch gets a `create` span, so that it has a context of its own. Otherwise the messages of a
   * batch carry the context of its one `publish` span. A message published alone needs none. Default: true.
   */
  readonly createSpans?: boolean;
  /** Whether each delivery gets a `receive` span, from its arrival until it is settled, around its runs. Default: false. */
  readonly receiveSpans?: boolean;
  /** Whether each settlement gets a span: the time that the broker takes to confirm the outcome. Default: false. */
  readonly settleSpans?: boolean;
  /** Whether metrics are recorded, once there is a `MeterProvider`. Default: true. */
  readonly metrics?: boolean;
  /**
   * Lets one process of a fleet ask for the depth of a queue at a time: who takes the lease of a queue there asks the
   * broker, for as long as `queueDepthIntervalMs`. A cache of `@melange/dedup-redis`, for example. Default: none, so that every
   * process asks.
   */
  readonly queueDepthLease?: DeduplicationCache;
  /**
   * The broker is asked for the depth of each consumed queue at most once in this time, in ms, and only when metrics are
   * exported. Infinity: never. Default: 30,000.
   */
  readonly queueDepthIntervalMs?: number;
}
