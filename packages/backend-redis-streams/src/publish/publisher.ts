import type { Troubles } from '@melange/backend-kit';
import { MelangeError, type Message, PublishError, type PublishFailure } from '@melange/core';
import type { RedisStreamsConnection, ScriptParameter } from '../client/connection.ts';
import { isReply, translated } from '../errors.ts';
import { maxTimerMs } from '../options.ts';
import { type EntryFields, toEntry } from '../wire.ts';

/** Bounds of what goes to Redis in one script: others have their turn between two. */
const maxBatchMessages = 500;
const maxBatchBytes = 4_194_304;
const maxBatchArguments = 16_000;
/** A destination that failed and was not used since says nothing of today. */
const forgottenAfterMs = 60_000;

/** Where a batch goes. */
export interface Destination {
  readonly kind: 'queue' | 'topic';
  readonly name: string;
}

interface Outgoing {
  readonly id: string;
  /** Undefined for one that cannot be sent, whose failure is told already. */
  readonly fields: EntryFields | undefined;
  readonly bytes: number;
  /** Delay, or manifest. */
  readonly lead: ScriptParameter;
}

/** One call of `publish`, whose messages go in one batch or in several. */
interface Call {
  readonly messages: readonly Outgoing[];
  readonly deadline: number;
  readonly settle: (error?: unknown) => void;
  readonly failures: PublishFailure[];
  /** Index of the first message that is in no batch yet. */
  next: number;
  /** Index of the first message without an outcome: batches go one after the other. */
  done: number;
  isGivenUp: boolean;
}

/** Messages of one call that go together: from `first` up to, but not including, `end`. */
interface Part {
  readonly call: Call;
  readonly first: number;
  readonly end: number;
}

/** Sends to one destination, a batch at a time: in order, and all that is published meanwhile in the next one. */
export class RedisStreamsPublisher {
  readonly #connection: RedisStreamsConnection;
  readonly #troubles: Troubles;
  readonly #destination: Destination;
  readonly #subject: string;
  readonly #onIdle: () => void;
  /** Calls with messages that are in no batch yet, from `#head` on. */
  #waiting: Call[] = [];
  #head = 0;
  /** Calls without an outcome. */
  readonly #open = new Set<Call>();
  readonly #onDrained: (() => void)[] = [];
  #isSending = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  /** @param onIdle called whenever nothing is left to send. */
  constructor(
    connection: RedisStreamsConnection,
    troubles: Troubles,
    destination: Destination,
    onIdle: () => void,
  ) {
    this.#connection = connection;
    this.#troubles = troubles;
    this.#destination = destination;
    this.#subject = subjectOf(destination);
    this.#onIdle = onIdle;
  }

  /**
   * @param deadline of `performance.now()`.
   * @throws QueueNotFoundError, TopicNotFoundError, PublishError.
   */
  publish(messages: readonly Message[], delayMs: number, deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (error?: unknown): void => {
        if (error === undefined) resolve();
        else reject(error);
      };
      const failures: PublishFailure[] = [];
      // At once: its messages may be changed from now on.
      const outgoing = messages.map((message) => this.#encode(message, delayMs, failures));
      const call: Call = {
        messages: outgoing,
        deadline,
        settle,
        failures,
        next: 0,
        done: 0,
        isGivenUp: false,
      };
      this.#waiting.push(call);
      this.#open.add(call);
      if (deadline < this.#timerAt) this.#lookAt(deadline);
      this.#start();
    });
  }

  /** Resolves when every call has its outcome. */
  drained(): Promise<void> {
    if (this.#open.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onDrained.push(resolve));
  }

  #start(): void {
    if (this.#isSending) return;
    this.#isSending = true;
    // Not in this turn: what is published in it goes together.
    setImmediate(() => void this.#send());
  }

  async #send(): Promise<void> {
    const { kind, name } = this.#destination;
    const script = kind === 'queue' ? 'publishToQueue' : 'publishToTopic';
    for (;;) {
      const parameters: ScriptParameter[] = [name];
      const parts = this.#next(parameters);
      if (parts.length === 0) break;
      if (parameters.length === 1) {
        this.#settle(parts);
        continue;
      }
      let deadline = 0;
      for (const { call } of parts) deadline = Math.max(deadline, call.deadline);
      try {
        await this.#connection.run(script, parameters, deadline);
        this.#troubles.end(this.#subject);
        this.#settle(parts);
      } catch (error) {
        const why = translated(error, name);
        this.#judge(error, why);
        this.#settle(parts, why);
      }
    }
    this.#isSending = false;
    if (this.#open.size > 0) return;
    clearTimeout(this.#timer);
    this.#timerAt = Number.POSITIVE_INFINITY;
    this.#onIdle();
  }

  /** The next batch, whose arguments are added to `parameters`. Empty when there is nothing to send. */
  #next(parameters: ScriptParameter[]): readonly Part[] {
    const parts: Part[] = [];
    let [messages, bytes] = [0, 0];
    const isFull = (): boolean =>
      messages >= maxBatchMessages || bytes >= maxBatchBytes || parameters.length >= maxBatchArguments;
    while (this.#head < this.#waiting.length && !isFull()) {
      const call = this.#waiting[this.#head] as Call;
      const first = call.next;
      while (call.next < call.messages.length && !call.isGivenUp && !isFull()) {
        const one = call.messages[call.next] as Outgoing;
        if (one.fields !== undefined) {
          messages += 1;
          bytes += one.bytes;
          parameters.push(one.lead, one.fields.length);
          for (const field of one.fields) parameters.push(field);
        }
        call.next += 1;
      }
      if (call.next > first) parts.push({ call, first, end: call.next });
      if (call.next < call.messages.length && !call.isGivenUp) break;
      this.#head += 1;
    }
    // Not for each batch: to shorten a long list moves all of it.
    if (this.#head * 2 >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#head = 0;
    }
    return parts;
  }

  #encode(message: Message, delayMs: number, failures: PublishFailure[]): Outgoing {
    const { id, manifest = '' } = message;
    const lead = this.#destination.kind === 'queue' ? delayMs : manifest;
    try {
      const fields = toEntry(message);
      let bytes = 0;
      for (const field of fields) bytes += Buffer.byteLength(field);
      return { id, fields, bytes, lead };
    } catch (error) {
      failures.push({ messageId: id, error });
      return { id, fields: undefined, bytes: 0, lead };
    }
  }

  #settle(parts: readonly Part[], error?: unknown): void {
    for (const { call, first, end } of parts) {
      if (call.isGivenUp) continue;
      if (error !== undefined) failAll(call, first, end, error);
      call.done = end;
      if (end < call.messages.length) continue;
      this.#end(call);
    }
  }

  #end(call: Call): void {
    this.#open.delete(call);
    call.settle(this.#outcomeOf(call));
    if (this.#open.size === 0) for (const resolve of this.#onDrained.splice(0)) resolve();
  }

  #outcomeOf({ failures }: Call): unknown {
    if (failures.length === 0) return undefined;
    const missing = failures.find(({ error }) => isMissing(error));
    return missing?.error ?? new PublishError(this.#destination.name, failures);
  }

  /** What Redis refuses is a trouble of this destination; that Redis is away is one of all, and told elsewhere. */
  #judge(error: unknown, why: unknown): void {
    if (!isReply(error) || isMissing(why)) return;
    this.#troubles.begin(this.#subject, error.message);
    this.#troubles.rest(this.#subject, forgottenAfterMs);
  }

  #lookAt(deadline: number): void {
    clearTimeout(this.#timer);
    this.#timerAt = deadline;
    const waitMs = Math.min(Math.max(0, deadline - performance.now()), maxTimerMs);
    this.#timer = setTimeout(() => this.#giveUp(), waitMs);
  }

  /** One timer for all calls: one for each message costs more than the message. */
  #giveUp(): void {
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const call of this.#open) {
      if (call.deadline > now) {
        next = Math.min(next, call.deadline);
        continue;
      }
      call.isGivenUp = true;
      const error = new MelangeError('PUBLISH_TIMEOUT', 'Redis did not confirm the message in time.');
      failAll(call, call.done, call.messages.length, error);
      this.#end(call);
    }
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (next < this.#timerAt) this.#lookAt(next);
  }
}

function failAll({ messages, failures }: Call, first: number, end: number, error: unknown): void {
  for (const { id, fields } of messages.slice(first, end)) {
    if (fields !== undefined) failures.push({ messageId: id, error });
  }
}

function isMissing(error: unknown): boolean {
  return MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND');
}

function subjectOf({ kind, name }: Destination): string {
  return `publishing to ${kind} "${name}"`;
}
