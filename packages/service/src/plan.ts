import type { MessageClass } from '@melange/core';
import type { ServiceDefinition } from './definition.ts';
import type { DestinationPlan, QueuePlan, ServicePlan } from './service-plan.ts';

/** What a definition is, as data. */
export function planOf(definition: ServiceDefinition): ServicePlan {
  const manifests = (types: readonly MessageClass[]): readonly string[] =>
    types.map((type) => definition.messages.manifestOf(type));
  const destination = (name: string, { messages, backends }: Destination): DestinationPlan => ({
    name,
    backends,
    manifests: manifests(messages),
  });
  const technologies = Object.entries(definition.backends).map(([name, backend]) => [name, backend.name]);
  return {
    name: definition.name,
    backends: Object.fromEntries(technologies) as Readonly<Record<string, string>>,
    queues: definition.queues.map((name): QueuePlan => {
      const {
        topics = [],
        deadLetterQueue,
        settings,
        ordering = 'none',
        consumers = [],
      } = definition.queue(name);
      const handled = [...definition.handlersOf(name).keys()];
      return {
        name,
        backend: definition.backendOf(name),
        topics,
        filter: definition.filterOf(name),
        deadLetterQueue,
        ...(settings !== undefined && { settings }),
        concurrency: definition.concurrencyOf(name),
        ordering,
        handles: manifests(handled),
        consumers: [...(handled.length > 0 ? [definition.name] : []), ...consumers.map((one) => one.name)],
      };
    }),
    topics: definition.topics.map((name) => destination(name, definition.topic(name))),
    sends: definition.sends.map((name) => destination(name, definition.send(name))),
  };
}

interface Destination {
  readonly messages: readonly MessageClass[];
  readonly backends: readonly string[];
}
