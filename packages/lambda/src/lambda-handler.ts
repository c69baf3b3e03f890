import { type DeadLetterOptions, MelangeError, type Message, type MessagingBackend } from '@melange/core';
import type { Again, Arrival } from './arrival.ts';
import { type HandlerSettings, type LambdaHandlerOptions, settingsOf } from './options.ts';
import { processEvent, responseOf } from './process-event.ts';
import {
  type LambdaConsumers,
  type LambdaService,
  type QueueNameOf,
  type Source,
  sourceOf,
} from './source.ts';
import {
  receivedOf,
  recordsOf,
  type SqsBatchResponse,
  type SqsEvent,
  type SqsReceivedMessage,
} from './sqs-event.ts';
import type { InvocationContext } from './time-limit.ts';

/** The part of `SqsBackend` that settles what Lambda received. */
interface SqsLike extends MessagingBackend {
  receivedElsewhere(queue: string): Receipts;
}

interface Receipts {
  readonly keepsOrder: boolean;
  deadLetterQueue(): Promise<string | undefined>;
  read(received: readonly SqsReceivedMessage[]): readonly Receipt[];
}

interface Receipt {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  readonly groupId: string | undefined;
  delete(): Promise<void>;
  giveBack(delayMs: number, next: Pick<Again, 'attempt' | 'redeliveries'>): Promise<void>;
  deadLetter(options: DeadLetterOptions): Promise<void>;
}

interface SqsArrival extends Arrival {
  /** Id that SQS gave. */
  readonly messageId: string;
}

/** What came in vain so often is deleted when it is done, and does not wait for the response: its neighbour may end the process. */
const deletedFromRedeliveries = 3;

/**
 * A handler for an event source of SQS: the queue's consumers process the batch as they would process the queue. Make
 * it once, outside of the handler, as `export const handler`.
 *
 * What is done is told to Lambda by its absence from the response; a retry is a change of the message's visibility and
 * an entry in the response; a dead letter is a copy that the dead-letter queue has taken. The event source mapping must have
 * `ReportBatchItemFailures`.
 *
 * @param from a service of `defineService`, which is not started by it, or consumers.
 * @param queue name of the queue that is mapped to the function.
 * @throws MelangeError `CONFIGURATION` when the service has no such queue, or has it on another broker than SQS. The
 * handler rejects with it for an event of another queue.
 */
export function lambdaHandler<From extends LambdaService | LambdaConsumers>(
  from: From,
  queue: QueueNameOf<From>,
  options: LambdaHandlerOptions = {},
): (event: SqsEvent, context: InvocationContext) => Promise<SqsBatchResponse> {
  const settings = settingsOf(options);
  const source = sourceOf(from, queue);
  const { backend } = source;
  if (!isSqs(backend)) {
    const text = `"${queue}" is on ${backend.name}: \`lambdaHandler\` is for SQS, \`kafkaHandler\` for Kafka.`;
    throw new MelangeError('CONFIGURATION', text);
  }
  // Numbers that make no sense are told now, and not by the first event.
  source.dispatcherOn(backend);
  const receipts = backend.receivedElsewhere(queue);
  return (event, context) => handle(source, backend, receipts, event, context, settings);
}

async function handle(
  source: Source,
  { capabilities }: SqsLike,
  receipts: Receipts,
  event: SqsEvent,
  context: InvocationContext,
  settings: HandlerSettings,
): Promise<SqsBatchResponse> {
  const records = recordsOf(event, source.queue);
  const read = receipts.read(records.map(receivedOf));
  const arrivals = read.map((receipt, index) =>
    arrivalOf(receipt, (records[index] as SqsEvent['Records'][number]).messageId, source.ordering),
  );
  const undone = await processEvent(
    source,
    {
      // Behind the first of a group, SQS counts what never ran: that is no sign of a crash.
      capabilities: { ...capabilities, releaseKeepsAttempt: receipts.keepsOrder },
      arrivals,
      deadLetterQueue: () => receipts.deadLetterQueue(),
      // Lanes are kept here: a dispatcher that keeps them would wait for retries instead of giving back.
      dispatcherOptions: { ordering: 'none' },
    },
    context,
    settings,
  );
  return responseOf(
    undone.map(({ messageId }) => messageId),
    settings,
  );
}

function arrivalOf(receipt: Receipt, messageId: string, ordering: Source['ordering']): SqsArrival {
  const { message, attempt, redeliveries, groupId } = receipt;
  const byKey = ordering === 'key' ? message.key : undefined;
  return {
    messageId,
    message,
    attempt,
    redeliveries,
    lane: ordering === 'queue' ? '' : (groupId ?? byKey),
    group: groupId,
    retriesHere: false,
    acknowledge: () => (redeliveries >= deletedFromRedeliveries ? receipt.delete() : undefined),
    deadLetter: (options) => receipt.deadLetter(options),
    giveBack: ({ delayMs, ...next }) => receipt.giveBack(delayMs, next),
  };
}

function isSqs(backend: MessagingBackend): backend is SqsLike {
  return backend.name === 'sqs' && typeof (backend as Partial<SqsLike>).receivedElsewhere === 'function';
}
