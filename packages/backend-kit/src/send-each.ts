import type { BatchAnswer } from './driver.ts';

/** A batch for a broker that takes each message by a request of its own: all at once, begun in their order. Never rejects. */
export async function sendEach<Item>(
  batch: readonly Item[],
  send: (item: Item) => Promise<unknown>,
): Promise<BatchAnswer> {
  const answers = await Promise.allSettled(batch.map(send));
  if (answers.every(({ status }) => status === 'fulfilled')) return undefined;
  return answers.map((answer) => (answer.status === 'rejected' ? answer.reason : undefined));
}
