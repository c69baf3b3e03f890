import type { Message, MessagingBackend, QueueDescription, SerializerRegistry } from '@melange/core';
import type { AnyService, QueuePlan } from '@melange/service';
import type { MelangeConfig } from '../config.ts';
import { CommandError, exitCode, usageError } from '../exit-codes.ts';

/** A broker, and what is known of it. */
export interface Connection {
  /** For people: `default`, `rabbitmq`. */
  readonly name: string;
  readonly backend: MessagingBackend;
  /** Names of the queues to show, sorted. */
  readonly queues: readonly string[];
  /** Services with a part on it, and the name that each has for it. */
  readonly services: readonly { readonly service: AnyService; readonly backendName: string }[];
}

/** A queue and its broker. */
export interface Place {
  readonly connection: Connection;
  readonly queue: string;
  readonly description: QueueDescription;
}

/** The brokers of a command. */
export class Connections {
  readonly all: readonly Connection[];
  readonly services: readonly AnyService[];
  readonly #serializers: readonly SerializerRegistry[];

  constructor(
    config: MelangeConfig,
    further: ReadonlyMap<string, MessagingBackend>,
    only: string | undefined,
  ) {
    this.services = config.services ?? [];
    const registries = this.services.map(({ serializers }) => serializers);
    this.#serializers = config.serializers === undefined ? registries : [...registries, config.serializers];
    const found = connectionsOf(config, further);
    this.all = only === undefined ? found : found.filter(({ name }) => name === only);
    if (found.length === 0)
      throw usageError(
        'No broker: run it where a melange.config.ts is, say --config, or name a broker such as --rabbitmq amqp://localhost.',
      );
    if (this.all.length === 0)
      throw usageError(
        `No backend is named "${only}": there is ${found.map(({ name }) => name).join(', ')}.`,
      );
  }

  /**
   * The queue of that name, on whichever broker it is.
   *
   * @throws CommandError when there is none, or several brokers have one.
   */
  async find(queue: string): Promise<Place> {
    const places = await this.places(queue);
    const [place, ...others] = places;
    if (place === undefined)
      throw new CommandError(
        `Queue "${queue}" does not exist on ${this.all.map(({ name }) => name).join(', ')}.`,
        exitCode.notFound,
      );
    if (others.length > 0)
      throw usageError(
        `Queue "${queue}" exists on ${places.map(({ connection }) => connection.name).join(', ')}: say which with --backend.`,
      );
    return place;
  }

  /** Everywhere that the queue exists. */
  async places(queue: string): Promise<readonly Place[]> {
    const places = await Promise.all(
      this.all.map(async (connection) => ({
        connection,
        queue,
        description: await connection.backend.describeQueue(queue),
      })),
    );
    return places.filter(({ description }) => description.exists);
  }

  /** The dead-letter queue that is meant: the queue's own where it has one, else the queue itself. */
  async findDeadLetterQueue(name: string): Promise<Place> {
    const place = await this.find(name);
    const { deadLetterQueue } = place.description;
    if (deadLetterQueue === undefined) return place;
    const description = await place.connection.backend.describeQueue(deadLetterQueue);
    return { ...place, queue: deadLetterQueue, description };
  }

  /** The only broker. @throws CommandError when there are several. */
  get only(): Connection {
    const [connection, ...others] = this.all;
    if (connection === undefined || others.length > 0)
      throw usageError(`Say which backend with --backend: ${this.all.map(({ name }) => name).join(', ')}.`);
    return connection;
  }

  /** The content as a service reads it. @throws what the serializers do, where none can. */
  async read(message: Message): Promise<unknown> {
    const { content } = message;
    if (content === null) return null;
    let failure: unknown = new Error('No service is configured.');
    for (const serializers of this.#serializers) {
      try {
        return await serializers.deserialize({ ...message, content });
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** Whether a config says how contents are read. */
  get canRead(): boolean {
    return this.#serializers.length > 0;
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map(({ backend }) => backend.close()));
  }
}

/** One connection for each backend, however many services share it. */
function connectionsOf(config: MelangeConfig, further: ReadonlyMap<string, MessagingBackend>): Connection[] {
  interface Growing {
    readonly name: string;
    readonly services: { readonly service: AnyService; readonly backendName: string }[];
  }
  const byBackend = new Map<MessagingBackend, Growing>();
  for (const [name, backend] of [...Object.entries(config.backends ?? {}), ...further])
    byBackend.set(backend, { name, services: [] });
  for (const service of config.services ?? []) {
    for (const [backendName, backend] of Object.entries(service.backends)) {
      const name = backendName === 'default' ? service.name : `${service.name}.${backendName}`;
      const growing = byBackend.get(backend) ?? { name, services: [] };
      growing.services.push({ service, backendName });
      byBackend.set(backend, growing);
    }
  }
  return [...byBackend].map(([backend, { name, services }]) => ({
    name,
    backend,
    services,
    queues: [...new Set([...services.flatMap(queuesOf), ...(config.queues ?? [])])].sort(),
  }));
}

function queuesOf({ service, backendName }: Connection['services'][number]): string[] {
  const { queues, sends } = service.plan;
  const consumed = queues.filter(({ backend }) => backend === backendName);
  const sent = sends.filter(({ backends }) => backends.includes(backendName));
  return [...consumed.flatMap(withDeadLetters), ...sent.map(({ name }) => name)];
}

function withDeadLetters({ name, deadLetterQueue }: QueuePlan): string[] {
  return deadLetterQueue === undefined ? [name] : [name, deadLetterQueue];
}
