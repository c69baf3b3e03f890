import { MessageHandler } from '@melange/nestjs';
import type { HandlerContext } from '@melange/service';
import { tested } from './application.ts';
import { OrderPlaced } from './messages.ts';

export const queue = 'orders';
export const order: OrderPlaced = new OrderPlaced({ id: '1' });

/** What handlers and what is around them noted, for the test to empty. */
export const seen: unknown[] = [];

/** What became of a message that an application with these providers was given. */
export interface MessageOutcome {
  readonly done: number | undefined;
  readonly retried: number | undefined;
  readonly deadLettered: number | undefined;
  /** What was thrown. */
  readonly errors: readonly string[];
}

export async function outcomes(metadata: Parameters<typeof tested>[0]): Promise<MessageOutcome> {
  await using t = await tested(metadata);
  await t.deliver(queue, order);
  const { acknowledged, retried, deadLettered } = t.counters().orders ?? {};
  const errors = t.errors().map(({ error }) => (error as Error).message);
  return { done: acknowledged, retried, deadLettered, errors };
}

export const done: MessageOutcome = { done: 1, retried: 0, deadLettered: 0, errors: [] };
export function retried(message: string): MessageOutcome {
  return { done: 0, retried: 1, deadLettered: 0, errors: [message] };
}
export function rejected(message: string): MessageOutcome {
  return { done: 0, retried: 0, deadLettered: 1, errors: [message] };
}

export class Failing {
  @MessageHandler(OrderPlaced, { queue })
  handle(): void {
    throw new Error('no ledger');
  }
}

export class Recording {
  @MessageHandler(OrderPlaced, { queue })
  handle(message: OrderPlaced, { attempt }: HandlerContext): void {
    seen.push('handled', message.id, attempt);
  }
}
