import type { Work } from './work.ts';

/** The place of one message in the order of its key. */
export interface Place {
  readonly id: string;
  /** Smaller is earlier. */
  readonly rank: number;
  /** The delivery in this process; `undefined` while the message is at the broker. */
  work: Work | undefined;
  /** When the broker delivers it again, by the monotonic clock. */
  dueAt: number;
  /** Number of its next attempt: the broker does not count the attempts that were made in this process. */
  attempt: number;
  previous: Place | undefined;
  next: Place | undefined;
}

/**
 * A message that is overdue for so many ms, and was overtaken by a later one of its key as long ago, is taken to be gone:
 * another process received it, or the queue was purged. Being overdue alone proves nothing: after an outage all are.
 * Time in which the window is full does not count, as the broker delivers nothing then.
 */
const goneAfterMs = 10_000;

/** The order of a key without deliveries in this process is forgotten so many ms after its last message was due. */
const forgottenAfterMs = 600_000;

/**
 * The order of the messages of a parked key: of those in this process and of those that were sent back to the broker.
 * They run in this order, whatever order the broker delivers them in.
 */
export class ParkedKey {
  /** By id of the message. Several places where the broker has several copies, as after a publish whose confirm was lost. */
  readonly #places = new Map<string, Place[]>();
  /** Places whose messages are in this process, in the order of arrival. */
  readonly #atHand = new Set<Place>();
  #first: Place | undefined;
  #last: Place | undefined;
  /** When a later message came although the first one was overdue, by the monotonic clock. */
  #overtakenAt: number | undefined;
  /** Messages that have not moved up, in this process and at the broker. */
  size = 0;
  /** Rounds of parking since its first message last changed. */
  rounds = 0;

  /** When the broker delivers the first message again, by the monotonic clock; `undefined` when it is in this process. */
  get firstDueAt(): number | undefined {
    return this.#first?.work === undefined ? this.#first?.dueAt : undefined;
  }

  /** Puts a delivery into its former place, else into the last one. Returns an older delivery of the message, if there was one. */
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

  /** The earliest place whose message is at the broker, or was lost. A place with a live delivery belongs to another copy. */
  #placeFor(id: string): Place | undefined {
    let earliest: Place | undefined;
    for (const place of this.#places.get(id) ?? []) {
      if (place.work?.isLost === false) continue;
      if (earliest === undefined || place.rank < earliest.rank) earliest = place;
    }
    return earliest;
  }

  /** Removes and returns the first message, if it is in this process. */
  moveUp(): Work | undefined {
    const first = this.#first;
    if (first?.work === undefined) return undefined;
    this.#unlink(first);
    this.#overtakenAt = undefined;
    this.rounds = 0;
    return first.work;
  }

  /** Puts messages that had moved up back to the front, in their order. */
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

  /** Deliveries that are in this process. */
  *[Symbol.iterator](): IterableIterator<Work> {
    for (const { work } of this.#atHand) if (work !== undefined) yield work;
  }

  /** Takes the places whose messages are in this process, in their order: the caller sends them back to the broker. */
  takeAtHand(): Place[] {
    const places = [...this.#atHand].sort((left, right) => left.rank - right.rank);
    this.#atHand.clear();
    return places;
  }

  /**
   * Removes the places of messages that will not be delivered here any more.
   *
   * @param isFull whether the window has no room for a message.
   */
  forgetGone(now: number, isFull: boolean): void {
    if (this.#atHand.size === 0 && this.#last !== undefined && this.#last.dueAt + forgottenAfterMs < now)
      this.#forgetAll();
    if (this.#atHand.size > 0) this.#seeOvertaken(now);
    if (isFull) this.#overtakenAt &&= now;
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
