import type { RetryCause } from '../contract/backend.ts';
import { checkDelayMs } from '../contract/check-number.ts';
import type { Consumer } from '../contract/consumer.ts';
import { publishDuplicate } from '../contract/instrumentation.ts';
import { isPromise } from '../contract/maybe-promise.ts';
import type { Message, MessageContent } from '../contract/message.ts';
import { shortened } from '../contract/shortened.ts';
import { DeliveryAbortedError, MelangeError, Reject } from '../errors.ts';
import type { SerializerRegistry } from '../messages/registry.ts';
import type { ClaimKeys } from './claim-keys.ts';
import type { ClaimAnswer, ClaimKeeper } from './claims.ts';
import type { Outcome } from './outcome.ts';
import type { RetryPolicy } from './retry.ts';
import type { RetryLater } from './retry-later.ts';
import type { Router } from './router.ts';
import { type RunRules, runConsumer } from './run-consumer.ts';
import type { Work } from './work.ts';

/** Everything that processing depends on besides the message. */
export interface ProcessingRules extends RunRules {
  /** `undefined` when the queue has none. */
  readonly deadLetterQueue: string | undefined;
  readonly router: Router;
  readonly serializers: SerializerRegistry;
  /** `undefined` without a deduplication cache. */
  readonly claims: ClaimKeeper | undefined;
  /** Of the queue. */
  readonly claimKeys: ClaimKeys;
  readonly retry: RetryPolicy;
  /** A message with more redeliveries is taken to end its process. */
  readonly maxRedeliveries: number;
  /** The same for attempts, where the broker counts every delivery as an attempt; else Infinity. */
  readonly maxAttemptsHandedOut: number;
  readonly earlyAck: boolean;
  readonly alwaysAck: boolean;
  readonly unhandled: 'acknowledge' | 'dead-letter' | 'retry';
  /** 0 to 1, for jitter. */
  readonly random: () => number;
  /** Called with every error that decides the outcome of a message. Must not throw. */
  readonly report: (error: unknown, consumer: string | undefined, work: Work) => void;
  /** Called when the cache did not answer a claim. Not logged for each message: the outage has a line. Must not throw. */
  readonly onUnclaimed: (error: unknown, consumer: string, work: Work) => void;
  /** Called for a consumer that the cache knows to be done. */
  readonly onDuplicate: (consumer: string) => void;
}

interface Failure {
  readonly error: unknown;
  readonly consumer: string | undefined;
}

/**
 * One message from decode to outcome: the heart of Melange, in the order of its table of outcomes.
 * Never rejects for what a message, serializer, consumer or cache does.
 */
export function processMessage(work: Work, rules: ProcessingRules): Promise<Outcome> {
  if (rules.earlyAck) return decideAcknowledged(work, rules);
  if (work.redeliveries > rules.maxRedeliveries || work.attempt > rules.maxAttemptsHandedOut)
    return Promise.resolve(crashed(work, rules));
  return decide(work, rules);
}

async function decideAcknowledged(work: Work, rules: ProcessingRules): Promise<Outcome> {
  await work.delivery.acknowledge();
  await decide(work, rules);
  return { kind: 'acknowledged-early' };
}

async function decide(work: Work, rules: ProcessingRules): Promise<Outcome> {
  const { message } = work.delivery;

  let value: unknown;
  try {
    // Here and below: only a promise is awaited, as each await costs a turn of the microtask queue.
    const decoded = decode(message, rules.serializers);
    value = isPromise(decoded) ? await decoded : decoded;
  } catch (error) {
    return undecodable(error, work, rules);
  }

  let accepted = 0;
  let rejection: Failure | undefined;
  let failure: Failure | undefined;
  const candidates = rules.router.candidatesFor(value);
  for (let index = 0; index < candidates.length; index += 1) {
    const consumer = candidates[index] as Consumer;
    // The broker delivers the message to another process, which runs this consumer: here its effect would be a second one.
    if (accepted > 0 && work.isLost) return { kind: 'release' };
    let error: unknown;
    try {
      if (!consumer.accepts(value, message)) continue;
      const { claims } = rules;
      if (claims === undefined) {
        const running = runConsumer(consumer, value, work, rules);
        if (running !== undefined) await running;
      } else error = await runOnce(consumer, value, work, rules, claims);
    } catch (thrown) {
      error = thrown ?? threwNothing();
    }
    accepted += 1;
    if (error === undefined) continue;
    // Its wait for the cache was ended: the consumers after it would wait as well.
    if (error === waitEnded) return { kind: 'release' };
    rules.report(error, consumer.name, work);
    if (MelangeError.is(error, 'REJECTED')) rejection ??= { error, consumer: consumer.name };
    else if (failure === undefined || causeOf(failure.error) !== 'failed') {
      failure = { error, consumer: consumer.name };
    }
  }

  if (accepted === 0) return unhandled(value, work, rules);
  if (rules.alwaysAck) return { kind: 'acknowledge', because: 'always-ack' };
  if (rejection !== undefined) return rejected(rejection, rules);
  if (failure !== undefined) return retried(failure, work, rules);
  return { kind: 'acknowledge', because: 'processed' };
}

function decode(message: Message, serializers: SerializerRegistry): unknown {
  // A tombstone has nothing to decode: it reaches the consumers as null.
  return message.content === null
    ? null
    : serializers.deserialize(message as Message & { content: MessageContent });
}

function crashed(work: Work, rules: ProcessingRules): Outcome {
  const { redeliveries, attempt, delivery } = work;
  const handedOut = Math.max(redeliveries + 1, attempt);
  const error = new MelangeError(
    'CRASHED',
    `Message ${delivery.message.id} was handed out ${handedOut} times without an outcome: it seems to end the process that handles it. It was not run again.`,
  );
  rules.report(error, undefined, work);
  if (rules.deadLetterQueue !== undefined)
    return { kind: 'dead-letter', reason: 'crashed', error, consumer: undefined };
  return { kind: 'retry', delayMs: rules.retry.longestDelayMs, because: 'not-run' };
}

function undecodable(error: unknown, work: Work, rules: ProcessingRules): Outcome {
  rules.report(error, undefined, work);
  if (rules.deadLetterQueue !== undefined)
    return { kind: 'dead-letter', reason: 'undecodable', error, consumer: undefined };
  return { kind: 'acknowledge', because: 'undecodable' };
}

function unhandled(value: unknown, work: Work, rules: ProcessingRules): Outcome {
  if (rules.unhandled === 'acknowledge') return { kind: 'acknowledge', because: 'unhandled' };
  const error = new Reject(unhandledText(value, work.delivery.message));
  rules.report(error, undefined, work);
  if (rules.unhandled === 'retry') return retried({ error, consumer: undefined }, work, rules);
  if (rules.deadLetterQueue !== undefined)
    return { kind: 'dead-letter', reason: 'unhandled', error, consumer: undefined };
  return { kind: 'acknowledge', because: 'unhandled' };
}

function unhandledText(value: unknown, { manifest = '' }: Message): string {
  const isPlain = typeof value === 'object' && value !== null && value.constructor === Object;
  const hint = isPlain ? ' (read as a plain object: the serializer was given no class for it)' : '';
  return `No consumer accepts the manifest "${shortened(manifest)}"${hint}`;
}

function rejected({ error, consumer }: Failure, rules: ProcessingRules): Outcome {
  if (rules.deadLetterQueue !== undefined)
    return { kind: 'dead-letter', reason: 'rejected', error, consumer };
  return { kind: 'acknowledge', because: 'rejected' };
}

function retried({ error, consumer }: Failure, work: Work, rules: ProcessingRules): Outcome {
  const { retry } = rules;
  const because = causeOf(error);
  if (because === 'deferred') return { kind: 'retry', delayMs: (error as RetryLater).delayMs, because };
  if (because === 'failed' && work.attempt >= retry.maxAttempts) {
    if (rules.deadLetterQueue !== undefined)
      return { kind: 'dead-letter', reason: 'attempts exhausted', error, consumer };
    return { kind: 'retry', delayMs: retry.longestDelayMs, because };
  }
  const delayMs = retry.delayMs(work.attempt, rules.random());
  return { kind: 'retry', delayMs: checkDelayMs("the retry policy's delay", delayMs), because };
}

/**
 * Only a run that failed counts as an attempt. An outage of the cache, a claim that a dead process left behind, and a
 * `RetryLater` do not.
 */
function causeOf(error: unknown): RetryCause {
  if (MelangeError.is(error, 'RETRY_LATER')) return 'deferred';
  const cause = MelangeError.is(error, 'DELIVERY_ABORTED') ? error.cause : error;
  if (MelangeError.is(cause, 'CACHE_UNAVAILABLE') || MelangeError.is(cause, 'CLAIM_HELD')) return 'not-run';
  return 'failed';
}

/** Returned by `runOnce` when its wait for the cache was ended. */
const waitEnded = Symbol('wait ended');

/**
 * Claim, process, confirm. Returns the error, `waitEnded`, or `undefined` when the consumer is done with the message.
 */
async function runOnce(
  consumer: Consumer,
  value: unknown,
  work: Work,
  rules: ProcessingRules,
  claims: ClaimKeeper,
): Promise<unknown> {
  const { id } = work.delivery.message;
  const key = rules.claimKeys.of(consumer, id);
  let claim: ClaimAnswer | undefined;
  try {
    const claiming = claims.claim(key);
    claim = isPromise(claiming) ? await claiming : claiming;
  } catch (unavailable) {
    rules.onUnclaimed(unavailable, consumer.name, work);
    if (claims.onUnavailable === 'process') return failureOf(consumer, value, work, rules);
    claim = await claims.claimOnceAnswered(key, work);
    if (claim === undefined) return waitEnded;
  }
  if (claim.status === 'done') {
    const { delivery, attempt } = work;
    rules.onDuplicate(consumer.name);
    const { queue } = rules;
    publishDuplicate({ delivery, queue, message: delivery.message, consumer: consumer.name, attempt });
    return undefined;
  }
  if (claim.status === 'held') {
    return claimHeld(consumer, id);
  }

  let lost: DeliveryAbortedError | undefined;
  const stopKeeping = claims.keep(claim, (unanswered) => {
    lost = claimLost(consumer, id, unanswered);
    work.abortRun(lost);
  });
  const error = await failureOf(consumer, value, work, rules);
  stopKeeping();
  if (error !== undefined) {
    await claims.release(claim.token);
    if (lost === undefined) return error;
    // After the claim was lost a `Reject` does not count: another process may be processing the message.
    if (error !== lost) rules.report(error, consumer.name, work);
    return lost;
  }
  try {
    const confirming = claims.confirm(claim.token);
    const isOurs = isPromise(confirming) ? await confirming : confirming;
    // Its run did not fail: that it was too late is no attempt.
    return isOurs ? undefined : claimLost(consumer, id, claimHeld(consumer, id));
  } catch (unconfirmed) {
    // The work is done, and a retry would repeat it: the error is reported, and the message acknowledged.
    if (lost !== undefined) rules.report(lost, consumer.name, work);
    rules.report(unconfirmed, consumer.name, work);
    return undefined;
  }
}

function claimHeld({ name }: Consumer, id: string): MelangeError {
  return new MelangeError('CLAIM_HELD', `Message ${id} is being processed elsewhere by "${name}".`);
}

/** Made when it is needed: an error with its stack costs more than the rest of a message's processing. */
function claimLost({ name }: Consumer, id: string, cause?: unknown): DeliveryAbortedError {
  return new DeliveryAbortedError('lease-lost', `The claim of "${name}" on message ${id} was lost.`, {
    cause,
  });
}

/** Runs the consumer. Returns what it threw, or `undefined` when it succeeded. */
async function failureOf(
  consumer: Consumer,
  message: unknown,
  work: Work,
  rules: ProcessingRules,
): Promise<unknown> {
  try {
    await runConsumer(consumer, message, work, rules);
    return undefined;
  } catch (error) {
    return error ?? threwNothing();
  }
}

function threwNothing(): Error {
  return new Error('The consumer threw nothing (undefined or null).');
}
