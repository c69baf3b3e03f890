import type { SQSClientConfig } from '@aws-sdk/client-sqs';
import type { Logger, QueueOptions } from '@melange/core';

/** The part of the AWS SDK's settings that both clients, of SQS and of SNS, are made with. */
export type AwsClientSettings = Pick<
  SQSClientConfig,
  'region' | 'endpoint' | 'credentials' | 'profile' | 'useDualstackEndpoint' | 'useFipsEndpoint'
>;

/** How content becomes the body of a message that is published to a queue. */
export type SqsWireFormat = 'melange' | 'python-melange';

/** Settings of `SqsBackend`. */
export interface SqsBackendOptions {
  /**
   * Where and as whom: region, endpoint, credentials, as the AWS SDK takes them. Default: the SDK's own sources,
   * such as `AWS_REGION`, `AWS_ACCESS_KEY_ID` and the roles of containers and instances.
   */
  readonly client?: AwsClientSettings;
  /**
   * `declare` makes queues, topics, policies and subscriptions that are missing; `look-up` makes and changes
   * nothing, and what is missing or different is an error. Default: `declare`.
   */
  readonly topology?: 'declare' | 'look-up';
  /**
   * Body of what is published to queues: `melange` is the content itself, `python-melange` is what the Python
   * library reads, `{"Message": content}`. Both are always understood. Default: `melange`.
   */
  readonly wireFormat?: SqsWireFormat;
  /**
   * Seconds for which a received message belongs to its receiver; extended while it is unsettled. What a process
   * held that died comes again after so long. 2 to 43,200. Default: 30.
   */
  readonly visibilityTimeoutSeconds?: number;
  /** Seconds that a receive waits for a message: the longer, the fewer requests of an idle queue. 0 to 20. Default: 20. */
  readonly waitTimeSeconds?: number;
  /**
   * Seconds without a message after which a queue counts as empty where a subscription ends with it. 0 asks only some
   * of the servers of SQS and may end too early; it is enough for an emulator. 0 to 20. Default: 1.
   */
  readonly emptyAfterSeconds?: number;
  /** Most receives of one subscription at the same time. Default: one for each ten of `maxInFlight`, up to 10. */
  readonly maxReceives?: number;
  /** Longest wait of a publish for others to share its request, in ms. Default: 3. */
  readonly publishLingerMs?: number;
  /** Longest wait of an acknowledgement for others to share its request, in ms. Default: 20. */
  readonly acknowledgeLingerMs?: number;
  /** Longest wait for a publish to be taken, retries included, in ms; past it `PublishError`. Default: 30,000. */
  readonly publishTimeoutMs?: number;
  /** Longest wait for a connection, in ms. Default: 5,000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the answer to one request, in ms; a receive has its waiting time on top. Default: 10,000. */
  readonly requestTimeoutMs?: number;
  /** Most bytes of a message to a topic: SNS takes 262,144 unless the topic's `MaximumMessageSize` says more. Default: 262,144. */
  readonly maxTopicMessageBytes?: number;
  /** Told of trouble and recovery. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/** How a queue is made. A queue is FIFO when its name ends in `.fifo`; its topics and its dead-letter queue must be too. */
export interface SqsQueueOptions extends QueueOptions {
  /**
   * Receives after which SQS itself moves a message to the dead-letter queue, 1 to 1,000: a net, which Melange is not to
   * reach, as each receive counts, also of a message that was only given back. A queue that exists with less is
   * raised to this, or to the default when it has less than 100; with `topology: 'look-up'`, and without the right to
   * change it, that is a `TopologyConflictError`. Default: 1,000.
   */
  readonly maxReceiveCount?: number;
  /**
   * Further attributes of the queue, under SQS's names, such as `KmsMasterKeyId`, or a `MessageRetentionPeriod` other
   * than the 14 days that a queue and its dead-letter queue are made with. A queue that exists with other values is a
   * `TopologyConflictError`.
   */
  readonly attributes?: Readonly<Record<string, string>>;
}
