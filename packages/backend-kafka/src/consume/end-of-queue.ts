import { QueueNotFoundError } from '@melange/core';
import type { KafkaClient } from '../client/index.ts';
import type { Assignment } from './assignment.ts';
import type { QueueIntake } from './queue-intake.ts';

const lookEveryMs = 50;

/** Ends the intakes that are to end when their queue is empty. */
export class EndOfQueue {
  readonly #queue: string;
  readonly #client: KafkaClient;
  readonly #intakes: readonly QueueIntake[];
  readonly #assignment: () => Assignment | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** @param intakes those of the queue, now and later. */
  constructor(
    queue: string,
    client: KafkaClient,
    intakes: readonly QueueIntake[],
    assignment: () => Assignment | undefined,
  ) {
    this.#queue = queue;
    this.#client = client;
    this.#intakes = intakes;
    this.#assignment = assignment;
  }

  /** Looks, again and again, until no such intake is open. */
  look(): void {
    this.#timer ??= setTimeout(async () => {
      const isEmpty = await this.#isEmpty().catch((error: unknown) => error as Error);
      this.#timer = undefined;
      const enders = this.#intakes.filter(({ untilEmpty, isOpen }) => untilEmpty && isOpen);
      if (isEmpty === true) for (const intake of enders) intake.empty();
      else if (isEmpty instanceof QueueNotFoundError) for (const intake of enders) intake.gone(isEmpty);
      else if (enders.length > 0) this.look();
    }, lookEveryMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  /** Whether the broker has nothing more for this process now. */
  async #isEmpty(): Promise<boolean> {
    const assignment = this.#assignment();
    if (assignment === undefined || assignment.isLost || assignment.buffered > 0) return false;
    for (const topic of new Set([...assignment.trackers.values()].map((tracker) => tracker.topic))) {
      const ranges = await this.#client.rangesOf(topic);
      if (ranges === undefined && topic === this.#queue) throw new QueueNotFoundError(topic);
      for (const [partition, { low, high }] of ranges ?? []) {
        const tracker = assignment.tracker(topic, partition);
        if (tracker !== undefined && Math.max(low, tracker.position) < high) return false;
      }
    }
    return assignment === this.#assignment() && assignment.buffered === 0;
  }
}
