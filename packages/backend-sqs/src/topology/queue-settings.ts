import { type Logger, TopologyConflictError } from '@melange/core';
import type { QueueAttributes } from '../client/sqs.ts';
import type { SqsQueueOptions } from '../options.ts';
import { isFifo } from './names.ts';

/** As many receives as SQS can count before it moves a message itself. */
const defaultMaxReceiveCount = 1_000;

/** With fewer receives, releases and retries of a message that could still be processed use them up. */
const minMaxReceiveCount = 100;

/** As long as SQS can keep a message, in seconds: after its default of four days what nobody has processed is gone. */
const maxRetentionSeconds = 1_209_600;

/** The attributes that a queue is made with. */
export function attributesOf(
  name: string,
  options: SqsQueueOptions,
  deadLetterArn: string | undefined,
): Record<string, string> {
  return {
    MaximumMessageSize: '1048576',
    MessageRetentionPeriod: String(maxRetentionSeconds),
    ...(isFifo(name) && { FifoQueue: 'true' }),
    ...(deadLetterArn !== undefined && {
      RedrivePolicy: redrivePolicyOf(deadLetterArn, options.maxReceiveCount ?? defaultMaxReceiveCount),
    }),
    ...options.attributes,
  };
}

/** Name of the dead-letter queue in the redrive policy, which is of the same account and region. */
export function deadLetterQueueOf(attributes: QueueAttributes): string | undefined {
  return redriveOf(attributes)?.deadLetterTargetArn?.split(':').at(-1);
}

/** @throws TopologyConflictError when the queue exists with another dead-letter queue or other attributes. */
export function assertSame(name: string, attributes: QueueAttributes, options: SqsQueueOptions): void {
  const declared = deadLetterQueueOf(attributes);
  if (declared !== options.deadLetterQueue) {
    throw new TopologyConflictError(
      `Queue "${name}" exists with the dead-letter queue ${declared ?? '(none)'}, not ${options.deadLetterQueue ?? '(none)'}.`,
    );
  }
  for (const [attribute, value] of Object.entries(options.attributes ?? {})) {
    const present = attributes[attribute];
    if (present === value) continue;
    throw new TopologyConflictError(
      `Queue "${name}" exists with ${attribute} ${present ?? '(not set)'}, not ${value}.`,
    );
  }
}

/**
 * The redrive policy with which SQS leaves dead-lettering to Melange; `undefined` where it has one already. A queue made
 * by somebody else may move messages itself after a few receives, of which some were no attempts.
 */
export function raisedRedrivePolicy(
  attributes: QueueAttributes,
  options: SqsQueueOptions,
): { readonly policy: string; readonly present: number; readonly wanted: number } | undefined {
  const redrive = redriveOf(attributes);
  if (redrive?.deadLetterTargetArn === undefined) return undefined;
  const present = Number(redrive.maxReceiveCount);
  if (!(present < (options.maxReceiveCount ?? minMaxReceiveCount))) return undefined;
  const wanted = options.maxReceiveCount ?? defaultMaxReceiveCount;
  return { policy: redrivePolicyOf(redrive.deadLetterTargetArn, wanted), present, wanted };
}

/** What is wrong with a redrive policy that cannot be raised, and what to do. */
export function lowReceiveCount(
  name: string,
  present: number,
  wanted: number,
  cause?: unknown,
): TopologyConflictError {
  return new TopologyConflictError(
    `SQS moves messages of queue "${name}" to its dead-letter queue after ${present} receives, whatever the retry policy says: ` +
      `set maxReceiveCount of its redrive policy to ${wanted}, or declare it with maxReceiveCount: ${present} to leave it so.`,
    { cause },
  );
}

/** Says once for each declaration how long a queue that exists keeps messages, where that is less than it could. */
export function warnOfRetention(
  name: string,
  attributes: QueueAttributes,
  options: SqsQueueOptions,
  logger: Logger,
): void {
  const seconds = Number(attributes.MessageRetentionPeriod ?? maxRetentionSeconds);
  if (seconds >= maxRetentionSeconds || options.attributes?.MessageRetentionPeriod !== undefined) return;
  logger.warn(
    'SQS deletes messages of a queue before its longest retention: what is not processed by then is lost',
    {
      queue: name,
      MessageRetentionPeriod: seconds,
      longest: maxRetentionSeconds,
    },
  );
}

function redrivePolicyOf(deadLetterTargetArn: string, maxReceiveCount: number): string {
  return JSON.stringify({ deadLetterTargetArn, maxReceiveCount });
}

function redriveOf({
  RedrivePolicy,
}: QueueAttributes):
  | { readonly deadLetterTargetArn?: string; readonly maxReceiveCount?: number | string }
  | undefined {
  return RedrivePolicy === undefined || RedrivePolicy === '' ? undefined : JSON.parse(RedrivePolicy);
}
