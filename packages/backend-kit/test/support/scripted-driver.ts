import type {
  Capabilities,
  Logger,
  Message,
  MessagingBackend,
  QueueDescription,
  QueueOptions,
} from '@melange/core';
import { ManualClock, settled } from '../../../core/test/support/manual-clock.ts';
import {
  type Again,
  type BackendOptions,
  type BatchAnswer,
  type BatchLimits,
  type ConnectionDriver,
  type Destination,
  type Driver,
  type DriverContext,
  defineBackend,
  type Fault,
  type Intake,
  type LaneDriver,
  type LeaseDriver,
  type Outgoing,
  type PullContext,
  type PullSource,
  type Received,
  type Renewal,
  type Take,
  type TopologyDriver,
} from '../../src/index.ts';

/** A call that a driver got, for the test to answer. */
export class Call<Argument, Answer> {
  readonly argument: Argument;
  readonly signal: AbortSignal | undefined;
  readonly answer: Promise<Answer>;
  resolve: (answer: Answer) => void = () => undefined;
  reject: (error: unknown) => void = () => undefined;

  constructor(argument: Argument, signal?: AbortSignal) {
    this.argument = argument;
    this.signal = signal;
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** The broker says that something does not exist. */
export class Missing extends Error {}
/** The broker cannot do it now. */
export class Away extends Error {}
/** The broker has no room now. */
export class Full extends Away {}

/** A message that the scripted broker hands out. */
export interface Scripted extends Received {
  readonly place: number;
}

/** What a test reads and answers. */
export class Script {
  readonly clock = new ManualClock();
  readonly lines: string[] = [];
  readonly logger: Logger;
  /** The lanes of each destination, once they were found: a message goes to the one that its content names. */
  readonly foundLanes: Call<Destination, void>[] = [];
  readonly sent: (Call<readonly Outgoing<string>[], BatchAnswer> & {
    readonly destination?: Destination;
    readonly taken?: (place: number) => void;
  })[] = [];
  readonly takes: Call<number, Take<Scripted>>[] = [];
  readonly acknowledged: Call<readonly Scripted[], BatchAnswer>[] = [];
  readonly retried: Call<{ readonly taken: Scripted; readonly again: Again }, void>[] = [];
  readonly deadLettered: Call<
    { readonly taken: Scripted; readonly queue: string; readonly copy: Message },
    void
  >[] = [];
  readonly released: Call<readonly Scripted[], void>[] = [];
  /** Acknowledgements that have no answer, and how many messages had gone back when an intake was stopped. */
  readonly finished: Call<Scripted, void>[] = [];
  readonly releasedAtStop: number[] = [];
  readonly renewed: Call<readonly Scripted[], readonly Scripted[] | Renewal<Scripted>>[] = [];
  readonly connects: Call<undefined, void>[] = [];
  readonly connectsToSend: Call<undefined, void>[] = [];
  readonly declared: string[] = [];
  /** Queues whose declaration fails, and how. */
  readonly refused = new Map<string, Error>();
  readonly opened: Call<Intake<Scripted>, void>[] = [];
  /** Messages whose lease the driver was told to be over. */
  readonly lost: Scripted[] = [];
  /** What a subscription reads of its queue. */
  description: QueueDescription = { exists: true, depth: 0, deadLetterQueue: 'dead' };
  limits: BatchLimits = { maxMessages: 3, maxBytes: 100 };
  /** The connection for sending, where it has one of its own. */
  readonly sending: ConnectionDriver = {
    address: 'host:1',
    timeoutMs: 5_000,
    connect: () => {
      const call = new Call<undefined, void>(undefined);
      this.connectsToSend.push(call);
      return call.answer;
    },
  };
  isClosed = false;
  context: DriverContext | undefined;
  wake: () => void = () => undefined;
  /** Called when a pull driver is asked. */
  onTake: () => void = () => undefined;
  /** What the kit gave the intake of a pull driver. */
  intake: PullContext<Scripted> | undefined;
  /** For each of `released`, whether handlers were running. */
  readonly wereRunning: boolean[] = [];
  /** Thrown by `send` before it makes a promise. */
  throwsAtOnce: unknown;
  #place = 0;

  constructor() {
    const write =
      (level: string) =>
      (message: string): void =>
        void this.lines.push(`${level} ${message}`);
    this.logger = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
  }

  /** A message for `takes`. */
  message(attempt = 1, redeliveries = 0): Scripted {
    this.#place += 1;
    return { message: messageOf(`m${this.#place}`), attempt, redeliveries, place: this.#place };
  }

  messages(count: number): readonly Scripted[] {
    return Array.from({ length: count }, () => this.message());
  }
}

/** A message to publish. */
export function messageOf(id: string, content = 'text'): Message {
  return { id, content, manifest: 'Test', serializerId: 1, key: undefined, headers: {}, publishedAt: 1 };
}

/** What the scripted broker is asked to be. */
export interface ScriptedOptions extends BackendOptions {
  readonly script: Script;
  readonly leaseMs?: number;
  readonly isPush?: boolean;
  /** Whether acknowledgements have no answer, and are on their way when the test says so. */
  readonly finishes?: boolean;
  /** Whether there is a connection to be made. */
  readonly connects?: boolean;
  /** Whether sending has a connection of its own. */
  readonly connectsToSend?: boolean;
  readonly forgetsTopology?: boolean;
  readonly maxTakes?: number;
  /** Whether destinations have lanes. */
  readonly hasLanes?: boolean;
  /** Further parts of the intake, of its leases, of the topology and of the driver. */
  readonly source?: Partial<Pick<PullSource<Scripted>, 'acknowledging' | 'lingerMs' | 'maxMessagesPerTake'>>;
  readonly maxPerRenewal?: number;
  readonly topology?: Partial<TopologyDriver<QueueOptions>>;
  readonly more?: Partial<Pick<Driver<QueueOptions, string, Scripted>, 'address' | 'names' | 'topicNames'>>;
  readonly checkDelay?: (destination: Destination, delayMs: number) => void;
}

const capabilities: Capabilities & { readonly delayedDelivery: true } = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: false,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: undefined,
};

/** A backend whose broker does what the test says, when the test says it, in time that the test lets pass. */
const ScriptedBackend = defineBackend({
  name: 'scripted',
  capabilities,
  driver(options: ScriptedOptions, context) {
    const {
      script,
      leaseMs,
      isPush = false,
      finishes = false,
      connects = false,
      connectsToSend = false,
      forgetsTopology = false,
      maxTakes = 1,
      hasLanes = false,
      maxPerRenewal,
      checkDelay,
    } = options;
    const known = new Set<string>();
    const lanes: LaneDriver<string> = {
      isKnown: ({ name }) => known.has(name),
      find: (destination) =>
        called(script.foundLanes, destination).then(() => {
          known.add(destination.name);
        }),
      laneOf: (_, encoded) => Number(encoded.split(':')[1]),
    };
    script.context = context;
    const called = <Argument, Answer>(
      calls: Call<Argument, Answer>[],
      argument: Argument,
      signal?: AbortSignal,
    ): Promise<Answer> => {
      const call = new Call<Argument, Answer>(argument, signal);
      calls.push(call);
      return call.answer;
    };
    const leases: LeaseDriver<Scripted> | undefined =
      leaseMs === undefined
        ? undefined
        : {
            leaseMs,
            ...(maxPerRenewal !== undefined && { maxPerRenewal }),
            renew: (batch) => called(script.renewed, batch),
            lost: (taken) => void script.lost.push(taken),
          };
    const settling = {
      ...(leases === undefined ? {} : { leases }),
      ...(finishes ? { finish: (taken: Scripted) => called(script.finished, taken) } : {}),
      acknowledge: (batch: readonly Scripted[]) => called(script.acknowledged, batch),
      retry: (taken: Scripted, again: Again) => called(script.retried, { taken, again }),
      deadLetter: (taken: Scripted, queue: string, copy: Message) =>
        called(script.deadLettered, { taken, queue, copy }),
      release(batch: readonly Scripted[], wereRunning: boolean) {
        script.wereRunning.push(wereRunning);
        return called<readonly Scripted[], void>(script.released, batch);
      },
      close: () => undefined,
    };
    const connection: ConnectionDriver = {
      address: 'host:1',
      timeoutMs: 5_000,
      connect: () => called(script.connects, undefined),
    };
    return {
      names: { maxBytes: 20 },
      ...options.more,
      ...(connects ? { connection } : {}),
      topology: {
        isForgottenByConnection: forgetsTopology,
        declareTopic: async (name) => void script.declared.push(`topic ${name}`),
        async declareQueue(name, { topics = [] }) {
          const refusal = script.refused.get(name);
          if (refusal !== undefined) throw refusal;
          script.declared.push(['queue', name, ...topics].join(' '));
        },
        describeQueue: async () => script.description,
        deleteQueue: async () => undefined,
        deleteTopic: async () => undefined,
        ...options.topology,
      },
      publishing: {
        ...(connectsToSend ? { connection: script.sending } : {}),
        encode({ id, content }: Message): string {
          if (content === null) throw new RangeError('no content');
          return `${id}:${String(content)}`;
        },
        ...(checkDelay !== undefined && { checkDelay }),
        bytesOf: (encoded: string) => encoded.length,
        limitsOf: () => script.limits,
        ...(hasLanes ? { lanes } : {}),
        send(
          destination: Destination,
          batch: readonly Outgoing<string>[],
          signal: AbortSignal,
          taken: (place: number) => void,
        ) {
          if (script.throwsAtOnce !== undefined) throw script.throwsAtOnce;
          const call = new Call<readonly Outgoing<string>[], BatchAnswer>(batch, signal);
          script.sent.push(Object.assign(call, { destination, taken }));
          return call.answer;
        },
      },
      consuming: isPush
        ? {
            kind: 'push' as const,
            async open(_: unknown, intake: Intake<Scripted>) {
              const call = new Call<Intake<Scripted>, void>(intake);
              script.opened.push(call);
              await call.answer;
              return { ...settling, stop: () => void script.releasedAtStop.push(script.released.length) };
            },
          }
        : {
            kind: 'pull' as const,
            open(context: PullContext<Scripted>) {
              script.intake = context;
              script.wake = context.wake;
              return {
                ...settling,
                ...options.source,
                maxTakes,
                take(max: number, signal: AbortSignal) {
                  script.onTake();
                  return called<number, Take<Scripted>>(script.takes, max, signal);
                },
              };
            },
          },
      explain(error): Fault {
        if (error instanceof Missing) return { kind: 'missing' };
        if (error instanceof Full) return { kind: 'unavailable', reason: error.message, code: 'QUEUE_FULL' };
        if (error instanceof Away) return { kind: 'unavailable', reason: error.message };
        throw error;
      },
      close() {
        script.isClosed = true;
      },
    };
  },
});

/** A backend that plays a script. */
export function scripted(options: Partial<ScriptedOptions> = {}): {
  readonly script: Script;
  readonly backend: MessagingBackend<typeof capabilities>;
} {
  const script = options.script ?? new Script();
  const backend = new ScriptedBackend({
    random: () => 0,
    clock: script.clock,
    logger: script.logger,
    ...options,
    script,
  });
  return { script, backend };
}

/** The last call of a list, which must be there. */
export function last<Item>(items: readonly Item[]): Item {
  const item = items.at(-1);
  if (item === undefined) throw new Error('the driver was not called');
  return item;
}

/** Lets the calls of this moment happen, and then time pass. */
export async function pass({ clock }: Script, milliseconds: number): Promise<void> {
  await settled();
  await clock.advance(milliseconds);
}

/** What became of a promise so far. */
export function watched(promise: Promise<unknown>): { outcome: unknown } {
  const watch: { outcome: unknown } = { outcome: 'open' };
  promise.then(
    () => {
      watch.outcome = 'resolved';
    },
    (error: unknown) => {
      watch.outcome = error;
    },
  );
  return watch;
}
