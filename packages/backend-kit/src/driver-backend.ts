import {
  type BrowseOptions,
  type BrowsePage,
  type Capabilities,
  type Clock,
  type Delivery,
  type Health,
  type Logger,
  MelangeError,
  type Message,
  type MessagingBackend,
  type PublishOptions,
  type PublishToQueueOptions,
  type QueueDescription,
  QueueNotFoundError,
  type QueueOptions,
  type SubscribeOptions,
  type Subscription,
  systemClock,
} from '@melange/core';
import { unfailingLogger } from '@melange/core/adapter';
import { checkedBrowseOptions } from './browsing.ts';
import { checkExistingName, checkName, checkSubscribeOptions, type NameRules } from './checks.ts';
import { Connection, pause } from './connection.ts';
import { PullInflow } from './consume/pull-inflow.ts';
import { PushInflow } from './consume/push-inflow.ts';
import { KitSubscription } from './consume/subscription.ts';
import { Declared } from './declared.ts';
import type { BackendDefinition, BackendOptions } from './definition.ts';
import type { ConnectionDriver, Driver, Fault, PullContext, Received } from './driver.ts';
import { explainWith } from './explain.ts';
import { Troubles } from './health/troubles.ts';
import { DirectPublisher } from './publish/direct-publisher.ts';
import { Publisher } from './publish/publisher.ts';
import { Requests } from './requests.ts';

/** Freeing what the driver opened takes no longer, in ms. */
const maxCloseMs = 5_000;

/** A `MessagingBackend` on a driver. Adapters make theirs by `defineBackend`. */
export class DriverBackend<
  Settings extends BackendOptions,
  Features extends Capabilities,
  Options extends QueueOptions,
  Made extends Driver<Options, unknown, Received>,
> implements MessagingBackend<Features>
{
  readonly name: string;
  readonly capabilities: Features;
  readonly address?: string;
  /** What the adapter's author wrote. */
  protected readonly driver: Made;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #publishTimeoutMs: number;
  readonly #topicNames: NameRules;
  readonly #troubles: Troubles;
  readonly #connection: Connection | undefined;
  /** For sending, where that has a connection of its own. */
  readonly #sending: Connection | undefined;
  readonly #requests: Requests;
  readonly #publisher: Publisher<unknown> | DirectPublisher;
  readonly #declared = new Declared<Options>();
  readonly #subscriptions = new Set<KitSubscription<Received>>();
  #closing: Promise<void> | undefined;

  constructor(definition: BackendDefinition<Settings, Features, Options, Made, object>, settings: Settings) {
    this.name = definition.name;
    this.capabilities = definition.capabilities;
    this.#clock = settings.clock ?? systemClock;
    this.#logger = unfailingLogger(settings.logger);
    this.#random = settings.random ?? Math.random;
    this.#publishTimeoutMs = settings.publishTimeoutMs ?? 30_000;
    const clock = this.#clock;
    this.#troubles = new Troubles({ logger: this.#logger, monotonicNow: () => clock.monotonicNow() });
    this.driver = definition.driver(settings, {
      logger: this.#logger,
      clock,
      troubles: this.#troubles,
      connectionLost: (reason, which) =>
        (which !== undefined && which === sendingOf(this.driver) ? this.#sending : this.#connection)?.lost(
          reason,
        ),
      publish: (destination, id, encoded, delayMs = 0) =>
        this.#publisher.publishEncoded(destination, id, encoded, {
          deadlineMs: this.#publishTimeoutMs,
          delayMs,
        }),
      ask: (subject, request) => this.#requests.ask(subject, request),
    });
    const shared = { name: this.name, clock, random: this.#random, explain: this.#explain };
    const { address, connection, names, publishing, topicNames = names, topology } = this.driver;
    if (address !== undefined) this.address = address;
    this.#topicNames = topicNames;
    if (connection !== undefined) {
      this.address = connection.address;
      this.#connection = new Connection({
        ...shared,
        driver: connection,
        logger: this.#logger,
        troubles: this.#troubles,
        onReconnected: async () => {
          if (topology.isForgottenByConnection !== true) return;
          await this.#declared.replay(topology, this.#explain, this.#logger);
        },
      });
    }
    const sending = sendingOf(this.driver);
    if (sending !== undefined) {
      this.#sending = new Connection({
        ...shared,
        purpose: 'publishing',
        driver: sending,
        logger: this.#logger,
        troubles: this.#troubles,
        onReconnected: async () => undefined,
      });
    }
    this.#requests = new Requests({
      ...shared,
      timeoutMs: settings.requestTimeoutMs ?? definition.requestTimeoutMs ?? 10_000,
      troubles: this.#troubles,
      acquire: () => this.#connection?.acquire(),
    });
    this.#publisher =
      'put' in publishing
        ? new DirectPublisher(publishing, this.#explain)
        : new Publisher({
            ...shared,
            driver: publishing,
            names: { queue: names, topic: topicNames },
            troubles: this.#troubles,
            ready: () => (this.#sending ?? this.#connection)?.ready(),
          });
  }

  async declareTopic(name: string): Promise<void> {
    this.#assertOpen();
    checkName('topic', name, this.#topicNames);
    await this.#requests.ask(name, () => this.driver.topology.declareTopic(name));
    this.#declared.topic(name);
  }

  async declareQueue(name: string, options: Options = {} as Options): Promise<void> {
    this.#assertOpen();
    const { names, topology } = this.driver;
    const { topics = [], removeTopics = [], deadLetterQueue } = options;
    checkName('queue', name, names);
    for (const topic of [...topics, ...removeTopics]) checkName('topic', topic, this.#topicNames);
    if (deadLetterQueue !== undefined) checkName('queue', deadLetterQueue, names);
    if (deadLetterQueue === name)
      throw new MelangeError('CONFIGURATION', `Queue "${name}" cannot dead-letter to itself.`);
    await this.#requests.ask(name, () => topology.declareQueue(name, options), topology.maxDeclareMs);
    this.#declared.queue(name, options);
  }

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishToQueueOptions<Features> = {} as PublishToQueueOptions<Features>,
  ): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    const { deadlineMs, delayMs = 0 } = options;
    const bounds = { deadlineMs, patienceMs: this.#publishTimeoutMs, delayMs };
    return this.#publisher.publish({ kind: 'queue', name: queue }, messages, bounds);
  }

  publishToTopic(topic: string, messages: readonly Message[], options: PublishOptions = {}): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    const bounds = { deadlineMs: options.deadlineMs, patienceMs: this.#publishTimeoutMs, delayMs: 0 };
    return this.#publisher.publish({ kind: 'topic', name: topic }, messages, bounds);
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    checkSubscribeOptions(options);
    checkName('queue', queue, this.driver.names);
    const { exists, deadLetterQueue } = await this.#requests.ask(queue, () => this.#findQueue(queue));
    if (!exists) throw new QueueNotFoundError(queue);
    this.#assertOpen();
    const subscription = new KitSubscription<Received>(
      {
        queue,
        deadLetterQueue,
        clock: this.#clock,
        logger: this.#logger,
        troubles: this.#troubles,
        random: this.#random,
        explain: this.#explain,
        settleTimeoutMs: this.#publishTimeoutMs,
      },
      options,
      receive,
    );
    this.#subscriptions.add(subscription);
    subscription.left.then(() => this.#subscriptions.delete(subscription));
    try {
      await this.#open(subscription, options);
    } catch (error) {
      subscription.end();
      throw error;
    }
    // Closed while it was opening: the close abandoned it.
    this.#assertOpen();
    return subscription;
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    this.#assertOpen();
    checkExistingName('queue', name, this.driver.names);
    const missing = { exists: false, depth: 0, deadLetterQueue: undefined };
    const answer = this.#requests.ask(name, async () => this.driver.topology.describeQueue(name));
    return unlessNotFound(answer, missing);
  }

  /** See `BrowsableBackend`: seen by the compiler where the capabilities say `browse`. */
  async browseQueue(queue: string, options: BrowseOptions = {}): Promise<BrowsePage> {
    this.#assertOpen();
    checkExistingName('queue', queue, this.driver.names);
    const checked = checkedBrowseOptions(options);
    const { browsing } = this.driver;
    if (browsing === undefined)
      throw new MelangeError('UNSUPPORTED', `The ${this.name} backend cannot browse queues.`);
    return this.#requests.ask(queue, async () => browsing.browse(queue, checked));
  }

  async deleteQueue(name: string): Promise<void> {
    this.#assertOpen();
    checkExistingName('queue', name, this.driver.names);
    this.#declared.forgetQueue(name);
    await unlessNotFound(
      this.#requests.ask(name, () => this.driver.topology.deleteQueue(name)),
      undefined,
    );
  }

  async deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    checkExistingName('topic', name, this.#topicNames);
    this.#declared.forgetTopic(name);
    await unlessNotFound(
      this.#requests.ask(name, () => this.driver.topology.deleteTopic(name)),
      undefined,
    );
  }

  async health(): Promise<Health> {
    if (this.#closing !== undefined) return { status: 'unhealthy', detail: 'closed' };
    return this.#troubles.health();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Intake first, so that nothing new begins; then the publishes that were called before, each up to its deadline; then the connection. */
  async #close(): Promise<void> {
    await Promise.all([...this.#subscriptions].map((subscription) => subscription.abandon()));
    await this.#publisher.idle();
    this.#requests.close();
    this.#connection?.close();
    this.#sending?.close();
    const closed = new AbortController();
    const closing = Promise.resolve()
      .then(() => this.driver.close())
      .catch((error: unknown) =>
        this.#logger.debug('closing was not answered', { backend: this.name, error }),
      );
    await Promise.race([closing, pause(this.#clock, maxCloseMs, closed.signal)]);
    closed.abort();
  }

  async #open(
    subscription: KitSubscription<Received>,
    { maxInFlight, untilEmpty = false }: SubscribeOptions,
  ): Promise<void> {
    const { queue } = subscription;
    const { consuming } = this.driver;
    const shared = {
      clock: this.#clock,
      troubles: this.#troubles,
      random: this.#random,
      explain: this.#explain,
      ready: this.#ready,
    };
    if (consuming.kind === 'push') {
      const inflow = new PushInflow(shared, subscription, consuming, maxInFlight);
      await this.#requests.ask(queue, () => inflow.open());
      subscription.start(inflow);
      return;
    }
    let inflow: PullInflow<Received> | undefined;
    const wake = (): void => inflow?.wake();
    const context: PullContext<Received> = {
      queue,
      maxInFlight,
      untilEmpty,
      wake,
      held: () => inflow?.held ?? [],
      takenBack: (batch, why) => subscription.takeBack(batch, why),
    };
    const source = await this.#requests.ask(queue, async () => consuming.open(context));
    inflow = new PullInflow(shared, subscription, source);
    subscription.start(inflow);
  }

  #findQueue(name: string): Promise<Pick<QueueDescription, 'exists' | 'deadLetterQueue'>> {
    const { topology } = this.driver;
    return topology.findQueue?.(name) ?? topology.describeQueue(name);
  }

  readonly #ready = (): Promise<void> | undefined => this.#connection?.ready();

  readonly #explain = (error: unknown): Fault =>
    explainWith((unknown) => this.driver.explain(unknown), error);

  #assertOpen(): void {
    if (this.#closing !== undefined) throw this.#closedError();
  }

  #closedError(): MelangeError {
    return new MelangeError('CLOSED', `The ${this.name} backend is closed.`);
  }
}

/** The connection for sending, where that has one of its own. */
function sendingOf({
  publishing,
}: Pick<Driver<QueueOptions, unknown, Received>, 'publishing'>): ConnectionDriver | undefined {
  return 'put' in publishing ? undefined : publishing.connection;
}

/** The answer, or another one where what was asked about does not exist. */
async function unlessNotFound<Answer>(answer: Promise<Answer>, missing: Answer): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    if (MelangeError.is(error, 'QUEUE_NOT_FOUND')) return missing;
    throw error;
  }
}
