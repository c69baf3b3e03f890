import type { Clock } from '../contract/clock.ts';
import type { Consumer } from '../contract/consumer.ts';
import { channels, type ProcessTrace, traced } from '../contract/instrumentation.ts';
import type { MaybePromise } from '../contract/maybe-promise.ts';
import type { Middleware } from '../contract/middleware.ts';
import { limitTime } from './limit-time.ts';
import { Run } from './run.ts';
import type { Work } from './work.ts';

/** The part of `ProcessingRules` that each run of a consumer depends on. */
export interface RunRules {
  readonly queue: string;
  readonly middleware: readonly Middleware[];
  /** Time after which the signal of a run is aborted, in ms; `undefined` for never. */
  readonly handlerTimeoutMs: number | undefined;
  readonly clock: Clock;
}

/** Runs the consumer, and throws what it throws. Returns a promise only where there is something to wait for. */
export function runConsumer(
  consumer: Consumer,
  message: unknown,
  work: Work,
  rules: RunRules,
): MaybePromise<void> {
  const run = new Run(work, consumer, message, rules.queue);
  const { handlerTimeoutMs } = rules;
  if (handlerTimeoutMs === undefined) return surrounded(run, consumer, work, rules);
  return limitTime(run, handlerTimeoutMs, rules.clock, () => surrounded(run, consumer, work, rules));
}

/** Runs the consumer inside of its middleware and the trace of the run. */
function surrounded(run: Run, consumer: Consumer, work: Work, rules: RunRules): MaybePromise<void> {
  const { message } = run;
  if (rules.middleware.length === 0 && !channels.process.hasSubscribers)
    return consumer.process(message, run);
  let next = async (): Promise<void> => consumer.process(message, run);
  for (let index = rules.middleware.length - 1; index >= 0; index -= 1) {
    const middleware = rules.middleware[index] as Middleware;
    const inner = next;
    next = () => middleware(run, inner);
  }
  const { delivery, attempt } = work;
  const { queue } = rules;
  const { message: received } = delivery;
  const trace: ProcessTrace = { delivery, queue, message: received, consumer: consumer.name, attempt };
  return traced(channels.process, trace, next);
}
