import type { AbortScope } from './abort-scope.ts';
import type { Delivery } from './backend.ts';
import type { ClaimKeeper } from './claim-keeper.ts';
import type { ConsumeContext, Consumer } from './consumer.ts';
import { deduplicationKey } from './deduplication-cache.ts';
import { DeliveryAbortedError, MelangeError, Reject, type RetryLater } from './errors.ts';
import { channels, traced } from './instrumentation.ts';
import type { Message } from './message.ts';
import type { Middleware } from './middleware.ts';
import type { RetryPolicy } from './retry-policy.ts';
import type { SerializerRegistry } from './serializer-registry.ts';

/** What becomes of a message. */
export type Outcome =
  | {
      readonly kind: 'acknowledge';
      readonly because: 'processed' | 'unhandled' | 'undecodable' | 'rejected' | 'always-ack';
    }
  | { readonly kind: 'acknowledged-early' }
  | { readonly kind: 'retry'; readonly delayMs: number }
  | {
      readonly kind: 'dead-letter';
      readonly reason: string;
      readonly error: unknown;
      readonly consumer: string | undefined;
    };

/** What processing needs to know besides the message. */
export interface ProcessingRules {
  readonly queue: string;
  /** Whether dead-lettering is possible. */
  readonly hasDeadLetterQueue: boolean;
  readonly consumers: readonly Consumer[];
  readonly serializers: SerializerRegistry;
  /** `undefined` when nothing is deduplicated. */
  readonly claims: ClaimKeeper | undefined;
  readonly retry: RetryPolicy;
  readonly middleware: readonly Middleware[];
  readonly earlyAck: boolean;
  readonly alwaysAck: boolean;
  readonly unhandled: 'acknowledge' | 'dead-letter' | 'retry';
  /** 0 to 1, for jitter. */
  readonly random: () => number;
  /** Every error, with the consumer it came from. Must not throw. */
  readonly report: (error: unknown, consumer: string | undefined) => void;
  /** Called for a consumer that the cache knows to be done. */
  readonly onDuplicate: (consumer: string) => void;
}

/** One delivery under way. */
export interface Work {
  readonly delivery: Delivery;
  /** The broker's attempts plus those made here while the message stayed in its lane. */
  readonly attempt: number;
  readonly scope: AbortScope;
}

interface Failure {
  readonly error: unknown;
  readonly consumer: string | undefined;
}

/**
 * One message from decode to outcome: the heart of Melange, in the order of its table of outcomes.
 * Never rejects for what a message, serializer, consumer or cache does.
 */
export async function processMessage(work: Work, rules: ProcessingRules): Promise<Outcome> {
  if (!rules.earlyAck) return decide(work, rules);
  await work.delivery.acknowledge();
  await decide(work, rules);
  return { kind: 'acknowledged-early' };
}

async function decide(work: Work, rules: ProcessingRules): Promise<Outcome> {
  const { message } = work.delivery;

  let value: unknown;
  try {
    value = await decode(message, rules.serializers);
  } catch (error) {
    rules.report(error, undefined);
    if (rules.hasDeadLetterQueue)
      return { kind: 'dead-letter', reason: 'undecodable', error, consumer: undefined };
    return { kind: 'acknowledge', because: 'undecodable' };
  }

  let accepted = 0;
  let rejection: Failure | undefined;
  let failure: Failure | undefined;
  for (const consumer of rules.consumers) {
    let error: unknown;
    try {
      if (!consumer.accepts(value, message)) continue;
      accepted += 1;
      error = await runOnce(consumer, value, work, rules);
    } catch (thrown) {
      accepted += 1;
      error = thrown;
    }
    if (error === undefined) continue;
    rules.report(error, consumer.name);
    if (MelangeError.is(error, 'REJECTED')) rejection ??= { error, consumer: consumer.name };
    else if (failure === undefined || saysNothingOfTheMessage(failure.error)) {
      failure = { error, consumer: consumer.name };
    }
  }

  if (accepted === 0) return unhandled(work, rules);
  if (rules.alwaysAck) return { kind: 'acknowledge', because: 'always-ack' };
  if (rejection !== undefined) return rejected(rejection, rules);
  if (failure !== undefined) return retried(failure, work, rules);
  return { kind: 'acknowledge', because: 'processed' };
}

function decode(message: Message, serializers: SerializerRegistry): unknown {
  const { content, manifest, serializerId } = message;
  // A tombstone has nothing to decode: it reaches the consumers as null.
  return content === null ? null : serializers.deserialize({ content, manifest, serializerId });
}

function unhandled(work: Work, rules: ProcessingRules): Outcome {
  if (rules.unhandled === 'acknowledge') return { kind: 'acknowledge', because: 'unhandled' };
  const error = new Reject(`No consumer accepts the manifest "${work.delivery.message.manifest ?? ''}"`);
  rules.report(error, undefined);
  if (rules.unhandled === 'retry') return retried({ error, consumer: undefined }, work, rules);
  if (rules.hasDeadLetterQueue)
    return { kind: 'dead-letter', reason: 'unhandled', error, consumer: undefined };
  return { kind: 'acknowledge', because: 'unhandled' };
}

function rejected({ error, consumer }: Failure, rules: ProcessingRules): Outcome {
  if (rules.hasDeadLetterQueue) return { kind: 'dead-letter', reason: 'rejected', error, consumer };
  return { kind: 'acknowledge', because: 'rejected' };
}

function retried({ error, consumer }: Failure, work: Work, rules: ProcessingRules): Outcome {
  const { retry } = rules;
  const exhausted = work.attempt >= retry.maxAttempts && !saysNothingOfTheMessage(error);
  if (exhausted && rules.hasDeadLetterQueue) {
    return { kind: 'dead-letter', reason: 'attempts exhausted', error, consumer };
  }
  if (exhausted) return { kind: 'retry', delayMs: retry.longestDelayMs };
  if (MelangeError.is(error, 'RETRY_LATER')) return { kind: 'retry', delayMs: (error as RetryLater).delayMs };
  return { kind: 'retry', delayMs: retry.delayMs(work.attempt, rules.random()) };
}

/** An outage of the cache, and a claim that a dead worker left behind, must not use up the message's attempts. */
function saysNothingOfTheMessage(error: unknown): boolean {
  return MelangeError.is(error, 'CACHE_UNAVAILABLE') || MelangeError.is(error, 'CLAIM_HELD');
}

/** Claim, process, confirm. Answers what went wrong, or `undefined` when the consumer is done with the message. */
async function runOnce(
  consumer: Consumer,
  value: unknown,
  work: Work,
  rules: ProcessingRules,
): Promise<unknown> {
  const { claims } = rules;
  if (claims === undefined) return failureOf(run(consumer, value, work, rules));

  const { id } = work.delivery.message;
  const key = deduplicationKey(consumer.name, id);
  const claim = await claims.claim(key).catch((error: unknown) => error as MelangeError);
  if (claim instanceof Error) {
    if (claims.onUnavailable === 'retry') return claim;
    rules.report(claim, consumer.name);
    return failureOf(run(consumer, value, work, rules));
  }
  if (claim.status === 'done') {
    rules.onDuplicate(consumer.name);
    return undefined;
  }
  if (claim.status === 'held') {
    return new MelangeError(
      'CLAIM_HELD',
      `Message ${id} is being processed elsewhere by "${consumer.name}".`,
    );
  }

  const lost = new DeliveryAbortedError(
    'lease-lost',
    `The claim of "${consumer.name}" on message ${id} was lost.`,
  );
  let isLost = false;
  const stopKeeping = claims.keep(claim, () => {
    isLost = true;
    work.scope.abort(lost);
  });
  const error = await failureOf(run(consumer, value, work, rules)).finally(stopKeeping);
  if (error !== undefined) {
    await claims.release(claim.token);
    if (!isLost) return error;
    // A late Reject is not its to give: somebody else may be at work on the message.
    if (error !== lost) rules.report(error, consumer.name);
    return lost;
  }
  try {
    return (await claims.confirm(claim.token)) ? undefined : lost;
  } catch (unconfirmed) {
    // The work is done, and trying again would surely do it twice: say so and go on.
    if (isLost) rules.report(lost, consumer.name);
    rules.report(unconfirmed, consumer.name);
    return undefined;
  }
}

async function failureOf(running: Promise<void>): Promise<unknown> {
  try {
    await running;
    return undefined;
  } catch (error) {
    return error ?? new Error('The consumer threw nothing (undefined or null).');
  }
}

function run(consumer: Consumer, message: unknown, work: Work, rules: ProcessingRules): Promise<void> {
  const context = new Context(work, consumer.name, message);
  let next = async (): Promise<void> => consumer.process(message, context);
  for (let index = rules.middleware.length - 1; index >= 0; index -= 1) {
    const middleware = rules.middleware[index] as Middleware;
    const inner = next;
    next = () => middleware(context, inner);
  }
  const { delivery, attempt } = work;
  return traced(
    channels.process,
    () => ({ queue: rules.queue, message: delivery.message, consumer: consumer.name, attempt }),
    next,
  );
}

class Context implements ConsumeContext {
  readonly consumer: string;
  readonly message: unknown;
  readonly messageId: string;
  readonly manifest: string | undefined;
  readonly attempt: number;
  readonly headers: Message['headers'];
  readonly key: string | undefined;
  readonly #scope: AbortScope;

  constructor({ delivery, attempt, scope }: Work, consumer: string, message: unknown) {
    this.consumer = consumer;
    this.message = message;
    this.messageId = delivery.message.id;
    this.manifest = delivery.message.manifest;
    this.attempt = attempt;
    this.headers = delivery.message.headers;
    this.key = delivery.message.key;
    this.#scope = scope;
  }

  get signal(): AbortSignal {
    return this.#scope.signal;
  }
}
