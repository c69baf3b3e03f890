import type { ReplayPosition } from '@melange/core';
import type { Commit, KafkaClient } from '../client/index.ts';
import { describeFinished, finishedBeyond } from '../wire/finished-offsets.ts';
import { type QueueLayout, retryTopicOf } from './topology.ts';

/** What to commit so that a queue is read again from there. What was never settled stays before it. */
export async function commitsToRewind(
  client: KafkaClient,
  queue: string,
  layout: QueueLayout,
  { to }: ReplayPosition,
): Promise<Commit[]> {
  // What waits in the retry topic waits on; what was retried comes again from where it was at first.
  const topics = layout.topics.filter((topic) => topic !== retryTopicOf(queue));
  const firstOf = async (topic: string): Promise<ReadonlyMap<number, number>> =>
    new Map([...((await client.rangesOf(topic)) ?? [])].map(([partition, { low }]) => [partition, low]));
  const targets = new Map<string, ReadonlyMap<number, number>>();
  for (const topic of topics)
    targets.set(
      topic,
      to === 'earliest' ? await firstOf(topic) : await client.offsetsAt(topic, to.getTime()),
    );
  const commits: Commit[] = [];
  for (const commit of await client.committedBy(queue, topics)) {
    const target = targets.get(commit.topic)?.get(commit.partition);
    const rewound = target === undefined ? undefined : rewind(commit, target);
    if (rewound !== undefined) commits.push(rewound);
  }
  return commits;
}

function rewind(commit: Commit, target: number): Commit | undefined {
  if (target < commit.offset) return { ...commit, offset: target, metadata: '' };
  const finished = [...finishedBeyond(commit.metadata, commit.offset)];
  const kept = finished.filter((offset) => offset < target);
  if (kept.length === finished.length) return undefined;
  return { ...commit, metadata: describeFinished(commit.offset, kept) };
}
