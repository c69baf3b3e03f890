import { type BackendClass, type DriverContext, defineBackend } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';
import { checkDelayMs } from '@melange/core/adapter';
import { sqsCapabilities } from './capabilities.ts';
import { addressOf } from './client/address.ts';
import { maxQueueBytes } from './client/batch.ts';
import type { Sns } from './client/sns.ts';
import { Sqs } from './client/sqs.ts';
import { Consuming } from './consume/consuming.ts';
import { DeadLetters } from './consume/dead-letters.ts';
import type { ReceivedElsewhere } from './consume/received-elsewhere.ts';
import { explain } from './errors.ts';
import type { SqsBackendOptions, SqsQueueOptions } from './options.ts';
import { Publishing } from './publish.ts';
import { queueNames, topicNames } from './topology/names.ts';
import { Queues } from './topology/queues.ts';
import { Topics } from './topology/topics.ts';

/** Longest time that a timer of Node keeps, in ms. */
const maxTimerMs = 2_147_483_647;

/** What `SqsBackend` can do besides `MessagingBackend`. */
export interface SqsMethods {
  /**
   * Reads and settles messages of the queue that somebody else received for this process, as AWS Lambda does. Asks SQS
   * nothing before there is something to settle.
   */
  receivedElsewhere(queue: string): ReceivedElsewhere;
}

/**
 * Amazon SQS and SNS, through the AWS SDK. Publishing with a delay rejects with MelangeError `UNSUPPORTED` above 900,000 ms,
 * and for any delay of a FIFO queue.
 *
 * @throws MelangeError `CONFIGURATION` when an option is out of its range.
 */
export const SqsBackend: BackendClass<
  SqsBackendOptions,
  typeof sqsCapabilities,
  SqsQueueOptions,
  SqsMethods
> = defineBackend({ name: 'sqs', capabilities: sqsCapabilities, driver, methods });
/** As `new SqsBackend()` makes it. */
export type SqsBackend = InstanceType<typeof SqsBackend>;

function driver(options: SqsBackendOptions, context: DriverContext) {
  assertOptions(options);
  const { clock, logger } = context;
  const { wireFormat = 'melange' } = options;
  const sqs = new Sqs(options);
  let loading: Promise<Sns> | undefined;
  const sns = (): Promise<Sns> => {
    loading ??= import('./client/sns.ts').then((client) => new client.Sns(options));
    return loading;
  };
  const topics = new Topics(sns);
  const mayChange = options.topology !== 'look-up';
  const queues = new Queues({ sqs, topics, mayChange, logger, clock });
  const underWay = new Set<Promise<unknown>>();
  const consuming = new Consuming({
    sqs,
    queues,
    context,
    deadLetters: new DeadLetters(context, wireFormat),
    visibilityTimeoutSeconds: options.visibilityTimeoutSeconds ?? 30,
    waitTimeSeconds: options.waitTimeSeconds ?? 20,
    emptyAfterSeconds: options.emptyAfterSeconds ?? 1,
    maxReceives: options.maxReceives,
    acknowledgeLingerMs: options.acknowledgeLingerMs ?? 20,
    untilIdle(work) {
      underWay.add(work);
      const over = (): void => void underWay.delete(work);
      work.then(over, over);
      return work;
    },
  });
  const address = addressOf(options.client);
  return {
    names: queueNames,
    topicNames,
    ...(address !== undefined && { address }),
    topology: queues,
    publishing: new Publishing({
      sqs,
      sns,
      queues,
      topics,
      wireFormat,
      lingerMs: options.publishLingerMs ?? 3,
      maxTopicBytes: options.maxTopicMessageBytes ?? 262_144,
    }),
    consuming,
    explain,
    close(): void {
      void loading?.then((client) => client.close());
      // A receive cannot be taken back: cut off, it would still be given a message, and hide it from everybody. So it
      // stays open, without keeping the process, and what it brings goes back at once.
      sqs.unrefReceives();
      void Promise.allSettled(underWay).then(() => sqs.close());
    },
  };
}

function methods({ consuming }: ReturnType<typeof driver>): SqsMethods {
  return { receivedElsewhere: (queue) => consuming.receivedElsewhere(queue) };
}

/** @throws MelangeError `CONFIGURATION` */
function assertOptions(options: SqsBackendOptions): void {
  const between = (name: keyof SqsBackendOptions, min: number, max: number): void => {
    const value = options[name];
    if (value === undefined) return;
    if (Number.isInteger(value) && Number(value) >= min && Number(value) <= max) return;
    const text = `${name} must be a whole number from ${min} to ${max}, not ${String(value)}.`;
    throw new MelangeError('CONFIGURATION', text);
  };
  between('visibilityTimeoutSeconds', 2, 43_200);
  between('waitTimeSeconds', 0, 20);
  between('emptyAfterSeconds', 0, 20);
  between('maxReceives', 1, 1_000);
  between('maxTopicMessageBytes', 1, maxQueueBytes);
  for (const name of ['publishLingerMs', 'acknowledgeLingerMs'] as const)
    checkDelayMs(name, options[name] ?? 0);
  for (const name of ['publishTimeoutMs', 'connectTimeoutMs', 'requestTimeoutMs'] as const)
    between(name, 1, maxTimerMs);
}
