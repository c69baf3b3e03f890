import { type Logger, MelangeError, type QueueDescription, type QueueOptions } from '@melange/core';
import type { Channel } from 'amqplib';
import { BindingRecord, type Bindings, type OnConfirmChannel, recordQueue } from './binding-record.ts';
import { changeBindings } from './bindings.ts';

/** What a topology offers to those that change and read bindings. */
export interface BindingScene {
  readonly onChannel: OnConfirmChannel;
  queueExists(name: string): Promise<boolean>;
  topicExists(name: string): Promise<boolean>;
}

/** Binds queues to topics, and tells what they are bound to. */
export class QueueBindings {
  readonly #scene: BindingScene;
  readonly #record: BindingRecord;

  constructor(scene: BindingScene) {
    this.#scene = scene;
    this.#record = new BindingRecord(scene.onChannel, (name) => scene.queueExists(name));
  }

  /** @param logger told of what stays though it is not declared; `undefined` where that was told before. */
  async change(queue: string, options: QueueOptions, logger: Logger | undefined): Promise<void> {
    const change = (channel: Channel, before: Bindings | undefined): Promise<Bindings> =>
      changeBindings(channel, queue, options, before, logger);
    try {
      await this.#record.change(queue, change);
    } catch (error) {
      if (!MelangeError.is(error, 'CONFIGURATION')) throw error;
      // Without the right to the record, the bindings themselves may still be allowed.
      await this.#scene.onChannel((channel) => change(channel, undefined), `queue "${queue}"`);
      const facts = { queue, record: recordQueue(queue), reason: error.message };
      logger?.warn('cannot record what a queue is bound to', facts);
    }
  }

  /** What the record says, without topics that are not there any more; nothing where there is no record. */
  async describe(queue: string): Promise<Pick<QueueDescription, 'topics' | 'filter'>> {
    const recorded = await this.#record.read(queue).catch((error: unknown) => {
      // Without the right to read it, it is as if there were none.
      if (MelangeError.is(error, 'CONFIGURATION')) return undefined;
      throw error;
    });
    if (recorded === undefined) return {};
    const topics: string[] = [];
    const filter = new Set<string>();
    let takesAll = false;
    for (const [topic, manifests] of recorded) {
      if (!(await this.#scene.topicExists(topic))) continue;
      topics.push(topic);
      if (manifests === null) takesAll = true;
      for (const manifest of manifests ?? []) filter.add(manifest);
    }
    topics.sort();
    return takesAll || topics.length === 0 ? { topics } : { topics, filter: [...filter].sort() };
  }
}
