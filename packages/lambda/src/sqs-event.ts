import { MelangeError } from '@melange/core';

/** An event of an SQS event source, as far as it is looked at. */
export interface SqsEvent {
  /** The messages of the batch, in the order in which they were received. */
  readonly Records: readonly SqsEventRecord[];
}

/** A message as Lambda hands it over. */
export interface SqsEventRecord {
  /** Id that SQS gave. */
  readonly messageId: string;
  /** Settles this receive of the message. */
  readonly receiptHandle: string;
  /** Body of the message. */
  readonly body: string;
  /** Attributes of SQS, such as `ApproximateReceiveCount`. */
  readonly attributes: SqsEventSystemAttributes;
  /** Attributes of the sender, by name. */
  readonly messageAttributes: Readonly<Record<string, SqsEventAttribute>>;
  /** ARN of the queue. */
  readonly eventSourceARN: string;
}

/** The attributes of SQS that are looked at. */
export interface SqsEventSystemAttributes {
  /** How often SQS has handed the message out, this time included. */
  readonly ApproximateReceiveCount?: string | undefined;
  /** The group whose order a FIFO queue keeps. */
  readonly MessageGroupId?: string | undefined;
}

/** An attribute of a message. */
export interface SqsEventAttribute {
  /** Such as `String`. */
  readonly dataType: string;
  /** Text, or a number's digits. */
  readonly stringValue?: string | undefined;
  /** Bytes as base64. */
  readonly binaryValue?: string | undefined;
}

/** The response to Lambda: the messages that are to come again, by the ids that SQS gave them. */
export interface SqsBatchResponse {
  /** None when all are done. */
  readonly batchItemFailures: { readonly itemIdentifier: string }[];
}

/** A message under the names of the API of SQS. */
export interface SqsReceivedMessage {
  readonly MessageId: string;
  readonly ReceiptHandle: string;
  readonly Body: string;
  readonly Attributes: Readonly<Partial<Record<string, string>>>;
  readonly MessageAttributes: Readonly<Record<string, SqsReceivedAttribute>>;
}

interface SqsReceivedAttribute {
  readonly DataType: string;
  readonly StringValue?: string;
  readonly BinaryValue?: Uint8Array;
}

/** The message as a receive would have brought it. */
export function receivedOf(record: SqsEventRecord): SqsReceivedMessage {
  const attributes = Object.entries(record.messageAttributes ?? {}).map(
    ([name, { dataType, stringValue, binaryValue }]): [string, SqsReceivedAttribute] => [
      name,
      typeof binaryValue === 'string'
        ? { DataType: dataType, BinaryValue: Buffer.from(binaryValue, 'base64') }
        : { DataType: dataType, StringValue: stringValue ?? '' },
    ],
  );
  return {
    MessageId: record.messageId,
    ReceiptHandle: record.receiptHandle,
    Body: record.body,
    Attributes: { ...record.attributes },
    MessageAttributes: Object.fromEntries(attributes),
  };
}

/**
 * The messages of the event.
 *
 * @throws MelangeError `CONFIGURATION` when it is no event of SQS, or one of another queue: to settle those would need
 * that queue's address.
 */
export function recordsOf(event: SqsEvent, queue: string): readonly SqsEventRecord[] {
  const records: readonly SqsEventRecord[] | undefined = event?.Records;
  if (!Array.isArray(records))
    throw new MelangeError(
      'CONFIGURATION',
      `"${queue}": the event is none of SQS. Use \`kafkaHandler\` for Kafka.`,
    );
  const other = records.find((record) => nameOf(record?.eventSourceARN) !== queue);
  if (other === undefined) return records;
  const arn = String(other.eventSourceARN);
  throw new MelangeError(
    'CONFIGURATION',
    `The handler of "${queue}" was given an event of ${arn}: map each queue to its own handler.`,
  );
}

function nameOf(arn: string | undefined): string | undefined {
  return typeof arn === 'string' ? arn.slice(arn.lastIndexOf(':') + 1) : undefined;
}
