import type { MessagingBackend } from '@melange/core';
import type { QueuePlan, ServicePlan } from './service-plan.ts';

/** What a service is, for a person who looks at its first lines: no addresses with passwords. */
export function summary(plan: ServicePlan, backends: Readonly<Record<string, MessagingBackend>>): string {
  const names = Object.keys(plan.backends);
  const on = (places: readonly string[]): string => (names.length > 1 ? ` (on ${places.join(', ')})` : '');
  const lines = [
    ...names.map((name) => `  broker ${names.length > 1 ? `${name}: ` : ''}${brokerOf(backends[name])}`),
    ...plan.queues.map((queue) => `  queue ${queue.name}${on([queue.backend])}${queueText(queue)}`),
    ...plan.topics.map(
      ({ name, backends: places, manifests }) =>
        `  publishes to topic ${name}${on(places)}: ${manifests.join(', ')}`,
    ),
    ...plan.sends.map(
      ({ name, backends: places, manifests }) =>
        `  sends to queue ${name}${on(places)}: ${manifests.join(', ')}`,
    ),
  ];
  return [`service ${plan.name}`, ...lines].join('\n');
}

function brokerOf(backend: MessagingBackend | undefined): string {
  return backend?.address === undefined ? (backend?.name ?? '') : `${backend.name} at ${backend.address}`;
}

function queueText({ topics, filter, handles, consumers, ...queue }: QueuePlan): string {
  const parts = [
    topics.length > 0 &&
      `receives topics ${topics.join(', ')}${filter === undefined ? '' : ` (${filter.join(', ')})`}`,
    handles.length > 0 && `handles ${handles.join(', ')}`,
    consumers.length > 0 && `consumers ${consumers.join(', ')}`,
    `concurrency ${queue.concurrency}`,
    queue.ordering !== 'none' && `ordered by ${queue.ordering}`,
    queue.deadLetterQueue === undefined ? 'no dead-letter queue' : `dead letters to ${queue.deadLetterQueue}`,
  ];
  return `: ${parts.filter((part) => part !== false).join('; ')}`;
}
