import { readRecord } from '@melange/backend-kafka/wire';
import { MelangeError, type QueueDescription } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import type { Arrival } from './arrival.ts';
import {
  bytesOf,
  earliestOf,
  headersOf,
  type KafkaBatchResponse,
  type KafkaEvent,
  type KafkaItemIdentifier,
  type Placed,
  recordsOf,
} from './kafka-event.ts';
import { type HandlerSettings, type LambdaHandlerOptions, settingsOf } from './options.ts';
import { processEvent, responseOf } from './process-event.ts';
import {
  type LambdaConsumers,
  type LambdaService,
  type QueueNameOf,
  type Source,
  sourceOf,
} from './source.ts';
import type { InvocationContext } from './time-limit.ts';

/** What is known of a queue is asked for again when it is older than this, in ms: a filter may have been widened. */
const knownForMs = 30_000;

interface KafkaArrival extends Arrival {
  readonly topic: string;
  readonly identifier: KafkaItemIdentifier;
}

/**
 * As `lambdaHandler`, for an event source of Kafka: MSK or a cluster of your own.
 *
 * A retry waits within the invocation, for Kafka knows no delay; where the time is too short the record is given back,
 * and its partition comes again from there, with attempts counted anew. The event source mapping must have
 * `ReportBatchItemFailures`.
 *
 * @param from a service of `defineService`, which is not started by it, or consumers.
 * @param queue name of the queue whose topic, or topics, are mapped to the function.
 * @throws MelangeError `CONFIGURATION` when the service has no such queue, or has it on another broker than Kafka.
 */
export function kafkaHandler<From extends LambdaService | LambdaConsumers>(
  from: From,
  queue: QueueNameOf<From>,
  options: LambdaHandlerOptions = {},
): (event: KafkaEvent, context: InvocationContext) => Promise<KafkaBatchResponse> {
  const settings = settingsOf(options);
  const source = sourceOf(from, queue);
  const { backend } = source;
  if (backend.name !== 'kafka') {
    const text = `"${queue}" is on ${backend.name}: \`kafkaHandler\` is for Kafka, \`lambdaHandler\` for SQS.`;
    throw new MelangeError('CONFIGURATION', text);
  }
  // Numbers that make no sense are told now, and not by the first event.
  source.dispatcherOn(backend);
  const describe = remembered(() => backend.describeQueue(queue));
  return (event, context) => handle(source, describe, event, context, settings);
}

async function handle(
  source: Source,
  describe: () => Promise<QueueDescription>,
  event: KafkaEvent,
  context: InvocationContext,
  settings: HandlerSettings,
): Promise<KafkaBatchResponse> {
  const { queue, backend } = source;
  const description = await describe();
  const arrivals = recordsOf(event, queue)
    .map((placed) => arrivalOf(placed, source, description))
    // What was published to the queue itself always arrives.
    .filter(
      ({ topic, message: { manifest = '' } }) =>
        topic === queue || description.filter?.includes(manifest) !== false,
    );
  const undone = await processEvent(
    source,
    {
      capabilities: backend.capabilities,
      arrivals,
      deadLetterQueue: async () => description.deadLetterQueue,
      // Lanes are kept here, by which those behind a record that is given back are, too.
      dispatcherOptions: { ordering: 'none' },
    },
    context,
    settings,
  );
  return responseOf(earliestOf(undone.map(({ identifier }) => identifier)), settings);
}

function arrivalOf(
  { place, record }: Placed,
  { queue, backend, ordering }: Source,
  { deadLetterQueue }: QueueDescription,
): KafkaArrival {
  const { topic, partition, offset, timestamp } = record;
  const { message, attempt, redeliveries } = readRecord({
    topic,
    partition,
    offset,
    timestamp,
    key: bytesOf(record.key),
    value: bytesOf(record.value),
    headers: headersOf(record),
  });
  const byKey = ordering === 'key' ? message.key : undefined;
  return {
    identifier: { partition: place, offset },
    topic,
    message,
    attempt,
    redeliveries,
    lane: ordering === 'queue' ? '' : byKey,
    group: place,
    retriesHere: true,
    acknowledge: () => undefined,
    async deadLetter(options) {
      const copy = deadLetterCopy(message, options, { queue, attempts: attempt, at: Date.now() });
      await backend.publishToQueue(deadLetterQueue as string, [copy]);
    },
    giveBack: async () => undefined,
  };
}

/** The answer, for a while. */
function remembered<Answer>(ask: () => Promise<Answer>): () => Promise<Answer> {
  let known: { readonly answer: Answer; readonly at: number } | undefined;
  return async () => {
    if (known !== undefined && performance.now() - known.at < knownForMs) return known.answer;
    const answer = await ask();
    known = { answer, at: performance.now() };
    return answer;
  };
}
