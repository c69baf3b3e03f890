import type { Delivery } from '@melange/core';

/** How a delivery ended. */
export type Settling = 'acknowledged' | 'retried' | 'dead-lettered' | 'released';

/** Lines of the account of a failure: the latest ones say most. */
const maxEvents = 40;

interface Counts {
  published: number;
  confirmed: number;
  refused: number;
  received: number;
  again: number;
  notSettled: number;
  readonly settled: Map<Settling, number>;
  readonly ids: Set<string>;
}

/** What one behaviour saw: what was published, confirmed, received and settled, for the message of its failure. */
export class Ledger {
  readonly #from = performance.now();
  readonly #byDestination = new Map<string, Counts>();
  readonly #events: string[] = [];
  #eventsLeftOut = 0;

  published(destination: string, count: number): void {
    this.#countsOf(destination).published += count;
    this.#note(`published ${count} to ${destination}`);
  }

  confirmed(destination: string, count: number): void {
    this.#countsOf(destination).confirmed += count;
    this.#note(`confirmed ${count} to ${destination}`);
  }

  refused(destination: string, count: number, error: unknown): void {
    this.#countsOf(destination).refused += count;
    this.#note(`refused ${count} to ${destination}: ${String(error)}`);
  }

  received(queue: string, { message, attempt, redeliveries = 0 }: Delivery): void {
    const counts = this.#countsOf(queue);
    counts.received += 1;
    if (counts.ids.has(message.id)) counts.again += 1;
    counts.ids.add(message.id);
    const from = redeliveries === 0 ? '' : `, redelivered ${redeliveries} times`;
    this.#note(`received ${message.id} from ${queue}, attempt ${attempt}${from}`);
  }

  settled(queue: string, { message }: Delivery, how: Settling): void {
    const { settled } = this.#countsOf(queue);
    settled.set(how, (settled.get(how) ?? 0) + 1);
    this.#note(`${how} ${message.id} of ${queue}`);
  }

  notSettled(queue: string, { message }: Delivery, how: Settling, error: unknown): void {
    this.#countsOf(queue).notSettled += 1;
    this.#note(`not ${how}: ${message.id} of ${queue}: ${String(error)}`);
  }

  /** In words; empty when nothing was published or received. */
  toString(): string {
    if (this.#byDestination.size === 0) return '';
    const lines = [...this.#byDestination].map(([destination, counts]) => `- ${destination}: ${sum(counts)}`);
    const head = this.#eventsLeftOut === 0 ? 'In order:' : `The last ${maxEvents}:`;
    return ['What the suite saw:', ...lines, head, ...this.#events].join('\n');
  }

  #note(event: string): void {
    this.#events.push(`${String(Math.round(performance.now() - this.#from)).padStart(7)} ms  ${event}`);
    if (this.#events.length <= maxEvents) return;
    this.#events.shift();
    this.#eventsLeftOut += 1;
  }

  #countsOf(destination: string): Counts {
    let counts = this.#byDestination.get(destination);
    if (counts === undefined) {
      counts = {
        published: 0,
        confirmed: 0,
        refused: 0,
        received: 0,
        again: 0,
        notSettled: 0,
        settled: new Map(),
        ids: new Set(),
      };
      this.#byDestination.set(destination, counts);
    }
    return counts;
  }
}

function sum({ published, confirmed, refused, received, again, notSettled, settled }: Counts): string {
  const ended = [...settled.values()].reduce((total, count) => total + count, 0);
  const unsettled = received - ended - notSettled;
  const parts = [
    `published ${published}, confirmed ${confirmed}${refused > 0 ? `, refused ${refused}` : ''}`,
    `received ${received}${again > 0 ? ` (${again} of them again)` : ''}`,
    ...[...settled].map(([how, count]) => `${how} ${count}`),
    ...(notSettled > 0 ? [`failed to settle ${notSettled}`] : []),
    `unsettled ${unsettled}`,
  ];
  return parts.join(', ');
}
