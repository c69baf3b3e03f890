import { type Clock, type Logger, TopologyConflictError } from '@melange/core';
import type { QueueAttributes, Sqs } from '../client/sqs.ts';
import type { SqsQueueOptions } from '../options.ts';
import { changedPolicy, nameOf, topicsAllowedBy } from './queue-policy.ts';
import type { Topics } from './topics.ts';

/** By then somebody who read a policy has written it, too; longer than a request takes. */
const writersSettleMs = 100;

/** What is known of a queue that exists. */
export interface QueueDetails {
  readonly url: string;
  readonly arn: string;
  readonly attributes: QueueAttributes;
}

/** What binding a queue needs. */
export interface BindSettings {
  readonly sqs: Sqs;
  readonly topics: Topics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Asks SQS for the queue once more. */
  read(): Promise<QueueDetails>;
}

/** Subscribes the queue to its topics, ends what is to be removed, and says what stays that is not declared any more. */
export async function bind(
  settings: BindSettings,
  name: string,
  details: QueueDetails,
  options: SqsQueueOptions,
): Promise<void> {
  const { filter, replaceFilter = false } = options;
  const { topics, logger } = settings;
  const declared = options.topics ?? [];
  const removed = options.removeTopics ?? [];
  const before = topicsAllowedBy(details.attributes.Policy).map(nameOf);
  for (const topic of removed) await topics.unsubscribe(topics.arnBeside(details.arn, topic), details.arn);
  const topicArns = await Promise.all(declared.map((topic) => topics.declare(topic)));
  if (topicArns.length > 0 || removed.length > 0)
    await allow(settings, name, details, topicArns, (arn) => removed.includes(nameOf(arn)));
  const kept = new Set<string>();
  let keepsAll = false;
  for (const topicArn of topicArns) {
    const more = await topics.subscribe(topicArn, details.arn, filter, replaceFilter);
    if (more === 'all') keepsAll = true;
    else for (const manifest of more) kept.add(manifest);
  }
  // A declaration that is silent about topics asks for none to go.
  const keptTopics = (options.topics === undefined ? [] : before).filter(
    (topic) => !declared.includes(topic) && !removed.includes(topic),
  );
  if (keptTopics.length === 0 && kept.size === 0 && !keepsAll) return;
  logger.warn('A queue keeps what its declaration does not name any more.', {
    queue: name,
    ...(keptTopics.length > 0 && { topics: keptTopics.sort(), toRemoveTopics: 'removeTopics' }),
    ...((keepsAll || kept.size > 0) && {
      manifests: keepsAll ? 'all' : [...kept].sort(),
      toRemoveManifests: 'replaceFilter',
    }),
  });
}

/** Lets the topics send to the queue, those of other declarations and of other processes too, but for those that are removed. */
async function allow(
  { sqs, clock, read }: BindSettings,
  name: string,
  found: QueueDetails,
  topicArns: readonly string[],
  isRemoved: (topicArn: string) => boolean,
): Promise<void> {
  let details = found;
  for (let attempt = 1; attempt <= 6; attempt += 1) {
    const Policy = changedPolicy(details.attributes.Policy, details.arn, topicArns, isRemoved);
    if (Policy === undefined) return;
    if (attempt === 6) break;
    await sqs.setAttributes(details.url, { Policy });
    // SQS compares nothing on writing: whoever read the policy before this change may be writing over it just now.
    // Their answer is awaited before it is read again.
    const pauseMs = writersSettleMs * (1 + Math.random() / 2);
    await new Promise<void>((resolve) => clock.schedule(resolve, pauseMs));
    details = await read();
  }
  throw new TopologyConflictError(
    `The policy of queue "${name}" is changed by somebody else again and again: declare it from one place.`,
  );
}
