import type { BatchAnswer, Outgoing } from '@melange/backend-kit';
import type { OutgoingMessage } from '../wire/outgoing-message.ts';
import type { Target } from '../wire/publish-frames.ts';

/** Messages that the kit sends together, from then on until the broker has answered each of them, over however many channels. */
export class Batch {
  /** Resolves with the errors of messages that were not taken, each in its place. */
  readonly answer: Promise<BatchAnswer>;
  readonly #messages: readonly Outgoing<OutgoingMessage>[];
  readonly #targetOf: (outgoing: Outgoing<OutgoingMessage>) => Target;
  readonly #taken: (place: number) => void;
  /** Places that are to be written, in order. */
  #unwritten: number[] | undefined;
  #returned: Set<number> | undefined;
  #errors: unknown[] | undefined;
  #left: number;
  #resolve: (answer: BatchAnswer) => void = () => undefined;

  constructor(
    messages: readonly Outgoing<OutgoingMessage>[],
    targetOf: (outgoing: Outgoing<OutgoingMessage>) => Target,
    taken: (place: number) => void,
  ) {
    this.#messages = messages;
    this.#targetOf = targetOf;
    this.#taken = taken;
    this.#left = messages.length;
    this.answer = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Shows what is to be written to `write`, in order, unless nobody waits for it any more; stops when that answers false, to go on from there. */
  write(write: (place: number, target: Target, message: OutgoingMessage) => boolean): void {
    const places = this.#unwritten ?? this.#messages.keys();
    this.#unwritten = undefined;
    let isStopped = false;
    for (const place of places) {
      const outgoing = this.#messages[place] as Outgoing<OutgoingMessage>;
      if (!isStopped && outgoing.isSettled) this.settle(place);
      else if (isStopped || !write(place, this.#targetOf(outgoing), outgoing.encoded)) {
        isStopped = true;
        this.writeAgain(place);
      }
    }
  }

  /** The channel of a message was lost before the broker answered. */
  writeAgain(place: number): void {
    this.#unwritten ??= [];
    this.#unwritten.push(place);
    this.#returned?.delete(place);
  }

  targetOf(place: number): Target {
    return this.#targetOf(this.#messages[place] as Outgoing<OutgoingMessage>);
  }

  messageOf(place: number): OutgoingMessage {
    return (this.#messages[place] as Outgoing<OutgoingMessage>).encoded;
  }

  /** The broker returned a message that arrived in no queue; its confirmation follows. False when it was returned before. */
  markReturned(place: number): boolean {
    this.#returned ??= new Set();
    if (this.#returned.has(place)) return false;
    this.#returned.add(place);
    return true;
  }

  isReturned(place: number): boolean {
    return this.#returned?.has(place) === true;
  }

  /** What became of a message. */
  settle(place: number, error?: unknown): void {
    if (error === undefined) this.#taken(place);
    else {
      this.#errors ??= new Array(this.#messages.length).fill(undefined);
      this.#errors[place] = error;
    }
    this.#left -= 1;
    if (this.#left === 0) this.#resolve(this.#errors);
  }
}
