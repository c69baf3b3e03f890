import type { Broker, Cluster } from 'kafkajs';
import { bounded } from './errors.ts';
import { lookByTopic } from './internals.ts';

/** Connections to the brokers of a cluster, by their numbers. */
export class Nodes {
  readonly #open: () => Cluster;
  #cluster: Cluster | undefined;

  /** @param open makes a cluster with connections of its own, which is not connected yet. */
  constructor(open: () => Cluster) {
    this.#open = open;
  }

  /** @param topic one that exists: kafkajs looks for brokers by asking about topics. Default: the one of the last call. */
  async find(node: number, topic?: string): Promise<Broker> {
    this.#cluster ??= this.#open();
    const cluster = this.#cluster;
    const sought = { nodeId: String(node) };
    if (topic !== undefined) lookByTopic(cluster, topic);
    try {
      return await cluster.findBroker(sought);
    } catch {
      await cluster.connect();
      await cluster.refreshMetadata();
      return cluster.findBroker(sought);
    }
  }

  /** The coordinator of a group. */
  async coordinatorOf(groupId: string): Promise<Broker> {
    this.#cluster ??= this.#open();
    await this.#cluster.connect();
    return this.#cluster.findGroupCoordinator({ groupId });
  }

  async close(): Promise<void> {
    const cluster = this.#cluster;
    this.#cluster = undefined;
    await bounded(Promise.resolve(cluster?.disconnect()));
  }
}
