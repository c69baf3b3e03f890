import type { Work } from './work.ts';

/** The place of one message in the order of its key. */
export interface Place {
  readonly id: string;
  /** Smaller is earlier. */
  readonly rank: number;
  /** The delivery that is at hand; nothing while the message is at the broker. */
  work: Work | undefined;
  /** When the broker delivers it again, by the monotonic clock. */
  dueAt: number;
  /** Attempt that its next run is: the broker does not know of those that were made here. */
  attempt: number;
  previous: Place | undefined;
  next: Place | undefined;
}

/**
 * A message that is overdue for so many ms, and was overtaken by a later one of its key as long ago, is taken to be gone:
 * another process has it, or somebody purged the queue. Both, as after an outage all are overdue.
 */
const goneAfterMs = 10_000;

/** With nothing of the key at hand, its order is forgotten so many ms after the last of it was due. */
const forgottenAfterMs = 600_000;

/**
 * The order of a key whose messages do not all fit into the window: which of them come next, those at the broker
 * included. Whatever order the broker gives them back in, they run in this one.
 */
export class ParkedKey {
  /** By id of the message: several where the broker has it several times, as after the answer to a publish was lost. */
  readonly #places = new Map<string, Place[]>();
  /** Those whose messages are at hand, in the order in which they came. */
  readonly #atHand = new Set<Place>();
  #first: Place | undefined;
  #last: Place | undefined;
  /** When a later message came although the first one was overdue, by the monotonic clock. */
  #overtakenAt: number | undefined;
  /** Messages that have not moved up: at hand and at the broker. */
  size = 0;
  /** Rounds of parking since its first message last changed. */
  rounds = 0;

  /** When the first of them comes again, by the monotonic clock; nothing when it is at hand. */
  get firstDueAt(): number | undefined {
    return this.#first?.work === undefined ? this.#first?.dueAt : undefined;
  }

  /** A delivery takes its place: that which it had, else the last. Answers an older delivery of the message, if there was one. */
  arrive(work: Work, now: number): Work | undefined {
    const older = this.#put(work, now);
    this.#seeOvertaken(now);
    return older;
  }

  #put(work: Work, now: number): Work | undefined {
    const known = this.#placeFor(work.delivery.message.id);
    if (known === undefined) {
      this.#link(placeOf(work, (this.#last?.rank ?? 0) + 1, now), this.#last, undefined);
      return undefined;
    }
    const older = known.work;
    known.work = work;
    this.#atHand.add(known);
    work.attempt = Math.max(work.attempt, known.attempt);
    return older;
  }

  /** The earliest place whose delivery is at the broker, or was lost. A delivery that is still ours is another copy of the message. */
  #placeFor(id: string): Place | undefined {
    let earliest: Place | undefined;
    for (const place of this.#places.get(id) ?? []) {
      if (place.work?.isLost === false) continue;
      if (earliest === undefined || place.rank < earliest.rank) earliest = place;
    }
    return earliest;
  }

  /** The first message, if it is at hand: it leaves. */
  moveUp(): Work | undefined {
    const first = this.#first;
    if (first?.work === undefined) return undefined;
    this.#unlink(first);
    this.#overtakenAt = undefined;
    this.rounds = 0;
    return first.work;
  }

  /** Messages that had moved up are the first ones again, in their order. */
  putFirst(works: readonly Work[], now: number): void {
    this.#overtakenAt = undefined;
    const next = this.#first;
    let previous: Place | undefined;
    let rank = (next?.rank ?? 0) - works.length;
    for (const work of works) {
      const place = placeOf(work, rank, now);
      rank += 1;
      this.#link(place, previous, next);
      previous = place;
    }
  }

  /** Deliveries that are at hand. */
  *[Symbol.iterator](): IterableIterator<Work> {
    for (const { work } of this.#atHand) if (work !== undefined) yield work;
  }

  /** Places whose messages are at hand, in their order, which are sent back to the broker. */
  takeAtHand(): Place[] {
    const places = [...this.#atHand].sort((left, right) => left.rank - right.rank);
    this.#atHand.clear();
    return places;
  }

  /** Gives up the places of what will not come any more. */
  forgetGone(now: number): void {
    if (this.#atHand.size === 0 && this.#last !== undefined && this.#last.dueAt + forgottenAfterMs < now)
      this.#forgetAll();
    if (this.#atHand.size > 0) this.#seeOvertaken(now);
    if (this.#overtakenAt === undefined || this.#overtakenAt + goneAfterMs > now) return;
    for (let place = this.#first; place !== undefined; place = place.next)
      if (place.work === undefined && place.dueAt + goneAfterMs <= now) this.#unlink(place);
    this.#overtakenAt = undefined;
  }

  #seeOvertaken(now: number): void {
    const first = this.#first;
    if (first !== undefined && first.work === undefined && first.dueAt < now) this.#overtakenAt ??= now;
  }

  #forgetAll(): void {
    this.#places.clear();
    this.size = 0;
    this.#first = undefined;
    this.#last = undefined;
  }

  #link(place: Place, previous: Place | undefined, next: Place | undefined): void {
    place.previous = previous;
    place.next = next;
    if (previous === undefined) this.#first = place;
    else previous.next = place;
    if (next === undefined) this.#last = place;
    else next.previous = place;
    const copies = this.#places.get(place.id);
    if (copies === undefined) this.#places.set(place.id, [place]);
    else copies.push(place);
    this.size += 1;
    this.#atHand.add(place);
  }

  #unlink(place: Place): void {
    const { id, previous, next } = place;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next === undefined) this.#last = previous;
    else next.previous = previous;
    const others = (this.#places.get(id) ?? []).filter((copy) => copy !== place);
    if (others.length === 0) this.#places.delete(id);
    else this.#places.set(id, others);
    this.size -= 1;
    this.#atHand.delete(place);
  }
}

function placeOf(work: Work, rank: number, now: number): Place {
  const { attempt, delivery } = work;
  const { id } = delivery.message;
  return { id, rank, work, dueAt: now, attempt, previous: undefined, next: undefined };
}
