import type { DeadLetterOptions, Delivery, Message, RetryCause, RetryOptions } from '@melange/core';

/** What a delivery was told to do. */
export type Settlement =
  | { readonly kind: 'acknowledge' | 'release' }
  | { readonly kind: 'retry'; readonly delayMs: number; readonly because: RetryCause }
  | { readonly kind: 'dead-letter'; readonly options: DeadLetterOptions };

/** A delivery without a broker, which writes down its settlements. */
export class RecordingDelivery implements Delivery {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  readonly controller: AbortController = new AbortController();
  readonly settlements: Settlement[] = [];

  constructor(message: Partial<Message> = {}, attempt = 1, redeliveries = 0) {
    this.message = {
      id: 'message-1',
      content: '{"n":1}',
      manifest: 'json',
      serializerId: 1,
      key: undefined,
      headers: {},
      publishedAt: 0,
      ...message,
    };
    this.attempt = attempt;
    this.redeliveries = redeliveries;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }
  async acknowledge(): Promise<void> {
    this.settlements.push({ kind: 'acknowledge' });
  }
  async retry({ delayMs = 0, because = 'failed' }: RetryOptions = {}): Promise<void> {
    this.settlements.push({ kind: 'retry', delayMs, because });
  }
  async deadLetter(options: DeadLetterOptions): Promise<void> {
    this.settlements.push({ kind: 'dead-letter', options });
  }
  async release(): Promise<void> {
    this.settlements.push({ kind: 'release' });
  }
}
