import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  type Capabilities,
  type MaybePromise,
  MelangeError,
  type MelangeErrorCode,
  type Message,
  type MessagingBackend,
  type QueueOptions,
} from '@melange/core';
import { type Behaviour, eventually, withDeadline } from '../behaviour.ts';
import { TcpProxy } from '../tcp-proxy.ts';
import { FaultLog } from './fault-log.ts';
import { Ledger } from './ledger.ts';
import { observed } from './observed.ts';
import { Receiver, type ReceiverOptions } from './receiver.ts';
import type { BackendFaults, BackendSuiteOptions, BackendUnderTest } from './suite-options.ts';

/** A backend, the proxy that it reaches its broker through, and what it logged. */
export interface ThroughProxy {
  readonly backend: MessagingBackend;
  readonly proxy: TcpProxy;
  readonly log: FaultLog;
}

/** A behaviour of a messaging backend. */
export type BackendBehaviour = Behaviour<BackendContext>;

/** What one behaviour works with: a fresh backend, names of its own, and the clearing up. */
export class BackendContext {
  readonly backend: MessagingBackend;
  readonly capabilities: Capabilities;
  readonly faults: BackendFaults | undefined;
  readonly patienceMs: number;
  readonly quietMs: number;
  /** For how long the broker gives a message to `backend`, in ms. */
  readonly leaseMs: number | undefined;
  /** The same for a backend through a proxy. */
  readonly leaseMsThroughProxy: number | undefined;
  /** What happened so far. */
  readonly ledger: Ledger = new Ledger();
  readonly #another: (() => MaybePromise<MessagingBackend>) | undefined;
  readonly #opened: MessagingBackend[] = [];
  readonly #queues = new Set<string>();
  readonly #topics = new Set<string>();
  readonly #proxies: TcpProxy[] = [];

  private constructor(options: BackendSuiteOptions, subject: BackendUnderTest) {
    this.backend = observed(subject.backend, this.ledger);
    this.#another = subject.another;
    this.capabilities = options.capabilities;
    this.faults = options.faults;
    this.patienceMs = options.patienceMs ?? 15_000;
    this.quietMs = options.quietMs ?? 150;
    this.leaseMs = options.leaseMs;
    this.leaseMsThroughProxy = options.faults?.leaseMs ?? options.leaseMs;
    this.#opened.push(this.backend);
  }

  static async open(options: BackendSuiteOptions): Promise<BackendContext> {
    return new BackendContext(options, await options.create());
  }

  get hasAnother(): boolean {
    return this.#another !== undefined;
  }

  /** One more backend on the same broker. */
  async another(): Promise<MessagingBackend> {
    assert.ok(this.#another !== undefined, 'a behaviour that needs another backend says so in `requires`');
    const backend = observed(await this.#another(), this.ledger);
    this.#opened.push(backend);
    return backend;
  }

  /** A backend that reaches the broker through a proxy of its own. */
  async throughProxy(): Promise<ThroughProxy> {
    assert.ok(this.faults !== undefined, 'a behaviour that needs faults says so in `requires`');
    const proxy = await TcpProxy.start(this.faults.target);
    this.#proxies.push(proxy);
    const log = new FaultLog();
    const backend = observed(await this.faults.create(proxy.address, log), this.ledger);
    this.#opened.push(backend);
    return { backend, proxy, log };
  }

  /** A queue name that nobody else uses; removed afterwards, whether it was declared or not. */
  queueName(): string {
    const name = `conformance-${randomUUID()}`;
    this.#queues.add(name);
    return name;
  }

  /** A topic name that nobody else uses; removed afterwards. */
  topicName(): string {
    const name = `conformance-topic-${randomUUID()}`;
    this.#topics.add(name);
    return name;
  }

  /** Declares a queue of its own. */
  async queue(options?: QueueOptions): Promise<string> {
    const name = this.queueName();
    await this.backend.declareQueue(name, options);
    return name;
  }

  /** Declares a topic of its own. */
  async topic(): Promise<string> {
    const name = this.topicName();
    await this.backend.declareTopic(name);
    return name;
  }

  /** Subscribes and keeps what arrives. */
  receive(
    queue: string,
    options: ReceiverOptions = {},
    backend: MessagingBackend = this.backend,
  ): Promise<Receiver> {
    return Receiver.open(backend, queue, this.patienceMs, options);
  }

  /** Waits until the condition holds. */
  eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    return eventually(what, condition, this.patienceMs);
  }

  /** Bounds a promise by the suite's patience. */
  soon<Value>(promise: MaybePromise<Value>, what: string): Promise<Value> {
    return withDeadline(Promise.resolve(promise), this.patienceMs, what);
  }

  /** The queue holds nothing: by its description, and to a subscriber that asks for the rest. */
  async isEmpty(queue: string, backend: MessagingBackend = this.backend): Promise<void> {
    await this.eventually(
      `"${queue}" is empty`,
      async () => (await backend.describeQueue(queue)).depth === 0,
    );
    const rest = await this.receive(
      queue,
      { untilEmpty: true, handle: (left) => left.acknowledge() },
      backend,
    );
    await this.soon(rest.subscription.ended, `the untilEmpty subscription of "${queue}"`);
    assert.deepEqual(rest.ids, [], `"${queue}" should hold nothing more`);
  }

  /** Closes what was opened and removes what was declared. Rejects when a backend cannot be closed. */
  async close(): Promise<void> {
    for (const proxy of this.#proxies) proxy.resume();
    const janitor = this.#another === undefined ? this.backend : await this.#another();
    const closing = this.#opened.filter((backend) => backend !== janitor);
    const closed = await Promise.allSettled(
      closing.map((backend) => withDeadline(backend.close(), 20_000, 'Closing a backend')),
    );
    // A backend that the behaviour itself closed cannot clear up; its broker is then gone too, or the names are unique.
    for (const queue of this.#queues) await ignoreFailure(janitor.deleteQueue(queue));
    for (const topic of this.#topics) await ignoreFailure(janitor.deleteTopic(topic));
    await withDeadline(janitor.close(), 20_000, 'Closing a backend');
    for (const proxy of this.#proxies) await proxy[Symbol.asyncDispose]();
    for (const outcome of closed) if (outcome.status === 'rejected') throw outcome.reason;
  }
}

async function ignoreFailure(promise: Promise<void>): Promise<void> {
  try {
    await withDeadline(promise, 5_000, 'Clearing up');
  } catch {
    // Clearing up is a courtesy to a shared broker, not a behaviour.
  }
}

/** A message with an id of its own; fields as given, else unremarkable. */
export function message(content: Message['content'], fields: Partial<Message> = {}): Message {
  return {
    id: randomUUID(),
    content,
    manifest: 'ConformanceTest',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: Date.now(),
    ...fields,
  };
}

/** A received message as it compares with the one that was published: not every broker carries a content type. */
export function asPublished({ contentType: _, ...message }: Message): Message {
  return { ...message, headers: { ...message.headers } };
}

/** All ways in which messages get into the queue, which is bound to the topic. */
export function waysToPublish(
  backend: MessagingBackend,
  queue: string,
  topic: string,
): ((messages: readonly Message[]) => Promise<void>)[] {
  const ways = [
    (messages: readonly Message[]) => backend.publishToQueue(queue, messages),
    (messages: readonly Message[]) => backend.publishToTopic(topic, messages),
  ];
  if (backend.capabilities.delayedDelivery) {
    const delaying = backend as MessagingBackend<Capabilities & { delayedDelivery: true }>;
    ways.push((messages) => delaying.publishToQueue(queue, messages, { delayMs: 1 }));
  }
  return ways;
}

/** So many messages, numbered from 0 in their content. */
export function numbered(count: number, fields: Partial<Message> = {}): Message[] {
  return Array.from({ length: count }, (_, index) => message(String(index), fields));
}

/** Ids of messages, sorted: for comparing sets. */
export function sortedIds(messages: readonly Pick<Message, 'id'>[]): string[] {
  return messages.map(({ id }) => id).sort();
}

/** The promise rejects with a Melange error of this code. */
export async function rejectsWith(
  code: MelangeErrorCode,
  promise: MaybePromise<unknown>,
): Promise<MelangeError> {
  const error = await rejectsWithMelangeError(promise);
  assert.equal(error.code, code, `expected ${code}, got ${error.code}: ${error.message}`);
  return error;
}

/** The promise rejects with a Melange error, of whichever code. */
export async function rejectsWithMelangeError(promise: MaybePromise<unknown>): Promise<MelangeError> {
  let error: unknown;
  try {
    await promise;
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error !== undefined, 'expected a rejection');
  assert.ok(MelangeError.is(error), `expected a MelangeError, got ${String(error)}`);
  return error;
}

/** `requires` of a behaviour that looks at the broker from a second backend. */
export function needsAnother(context: BackendContext): string | undefined {
  return context.hasAnother ? undefined : 'the broker lives and dies with the backend';
}

/** `requires` of a behaviour that is about a capability. */
export function needsCapability(
  capability: keyof Capabilities,
  reason: string,
): (context: BackendContext) => string | undefined {
  return (context) => (context.capabilities[capability] === false ? reason : undefined);
}
