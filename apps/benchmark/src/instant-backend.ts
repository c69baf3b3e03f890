import { memoryCapabilities } from '@melange/backend-memory';
import type {
  Delivery,
  Health,
  Message,
  MessagingBackend,
  SubscribeOptions,
  Subscription,
} from '@melange/core';

/** Delivers the same messages again and again, as fast as they are acknowledged: what is left is the dispatcher's cost. */
export class InstantBackend implements MessagingBackend<typeof memoryCapabilities> {
  readonly name = 'instant';
  readonly capabilities: typeof memoryCapabilities = memoryCapabilities;
  readonly #messages: readonly Message[];
  #next = 0;

  /** @param messages each with an id of its own at every delivery. */
  constructor(messages: readonly Message[]) {
    this.#messages = messages;
  }

  async subscribe(
    _queue: string,
    { maxInFlight }: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    let isOpen = true;
    let unsettled = 0;
    let isDue = false;
    let end = (): void => undefined;
    let settled = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const pump = (): void => {
      isDue = false;
      while (isOpen && unsettled < maxInFlight) {
        unsettled += 1;
        receive(new InstantDelivery(this.#nextMessage(), onSettled));
      }
    };
    const onSettled = (): void => {
      unsettled -= 1;
      if (unsettled === 0) settled();
      if (isDue) return;
      isDue = true;
      setImmediate(pump);
    };
    setImmediate(pump);
    return {
      ended,
      async close() {
        isOpen = false;
        end();
        if (unsettled > 0)
          await new Promise<void>((resolve) => {
            settled = resolve;
          });
      },
    };
  }

  #nextMessage(): Message {
    const message = this.#messages[this.#next % this.#messages.length] as Message;
    this.#next += 1;
    return { ...message, id: `message-${this.#next}` };
  }

  async describeQueue() {
    return { exists: true, depth: 0, deadLetterQueue: undefined };
  }
  async health(): Promise<Health> {
    return { status: 'healthy' };
  }
  async declareTopic(): Promise<void> {}
  async declareQueue(): Promise<void> {}
  async publishToQueue(): Promise<void> {}
  async publishToTopic(): Promise<void> {}
  async deleteQueue(): Promise<void> {}
  async deleteTopic(): Promise<void> {}
  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}

const done = Promise.resolve();

class InstantDelivery implements Delivery {
  readonly message: Message;
  readonly attempt = 1;
  readonly #onSettled: () => void;

  constructor(message: Message, onSettled: () => void) {
    this.message = message;
    this.#onSettled = onSettled;
  }

  get signal(): AbortSignal {
    return new AbortController().signal;
  }

  acknowledge(): Promise<void> {
    this.#onSettled();
    return done;
  }

  retry(): Promise<void> {
    return this.acknowledge();
  }

  deadLetter(): Promise<void> {
    return this.acknowledge();
  }

  release(): Promise<void> {
    return this.acknowledge();
  }
}
