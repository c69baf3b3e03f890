import { type MessageClass, manifestOf } from '@melange/core';
import { schemaOf } from '@melange/core/adapter';
import type { AnyService, DestinationPlan, QueuePlan } from '@melange/service';

type Json = Readonly<Record<string, unknown>>;

/** The AsyncAPI 3.0 document of a service: its queues and topics, and what goes through them. */
export function asyncApiOf(service: AnyService, version: string): Json {
  const { plan } = service;
  const messages = new Map(service.messages.map((type) => [manifestOf(type), type] as const));
  const carried = new Set([
    ...plan.queues.flatMap(receivedBy),
    ...[...plan.topics, ...plan.sends].flatMap(({ manifests }) => manifests),
  ]);
  return {
    asyncapi: '3.0.0',
    info: { title: plan.name, version },
    defaultContentType: 'application/json',
    channels: channelsOf(plan),
    operations: {
      ...Object.fromEntries(plan.queues.map((queue) => [`receive-${keyOf(queue.name)}`, receiving(queue)])),
      ...Object.fromEntries(
        plan.topics.map((topic) => [`publish-${keyOf(topic.name)}`, sending('topic', topic)]),
      ),
      ...Object.fromEntries(
        plan.sends.map((queue) => [`send-${keyOf(queue.name)}`, sending('queue', queue)]),
      ),
    },
    components: {
      messages: Object.fromEntries(
        [...carried].map((name) => [keyOf(name), messageOf(name, messages.get(name))]),
      ),
    },
  };
}

function channelsOf({ queues, topics, sends }: AnyService['plan']): Json {
  const channels = new Map<
    string,
    { readonly address: string; readonly description: string; messages: Json }
  >();
  const add = (
    kind: 'queue' | 'topic',
    name: string,
    description: string,
    manifests: readonly string[],
  ): void => {
    const key = `${kind}-${keyOf(name)}`;
    const before = channels.get(key);
    const messages = { ...before?.messages, ...referencesOf(manifests) };
    channels.set(key, { address: name, description: before?.description ?? description, messages });
  };
  for (const queue of queues) {
    const from = queue.topics.length > 0 ? ` Receives the topics ${queue.topics.join(', ')}.` : '';
    const dead = queue.deadLetterQueue === undefined ? '' : ` Dead letters go to ${queue.deadLetterQueue}.`;
    add('queue', queue.name, `Queue.${from}${dead}`, receivedBy(queue));
  }
  for (const { name, manifests } of topics)
    add('topic', name, 'Topic: every queue bound to it receives a copy.', manifests);
  for (const { name, manifests } of sends) add('queue', name, 'Queue of another service.', manifests);
  return Object.fromEntries(channels);
}

/** What it has handlers for, and what its filter lets through. */
function receivedBy({ handles, filter = [] }: QueuePlan): string[] {
  return [...new Set([...handles, ...filter])];
}

function receiving(queue: QueuePlan): Json {
  return {
    action: 'receive',
    channel: { $ref: `#/channels/queue-${keyOf(queue.name)}` },
    ...messagesIn('queue', queue.name, receivedBy(queue)),
  };
}

function sending(kind: 'queue' | 'topic', { name, manifests }: DestinationPlan): Json {
  return {
    action: 'send',
    channel: { $ref: `#/channels/${kind}-${keyOf(name)}` },
    ...messagesIn(kind, name, manifests),
  };
}

function messagesIn(kind: string, name: string, manifests: readonly string[]): Json {
  if (manifests.length === 0) return {};
  return {
    messages: manifests.map((one) => ({ $ref: `#/channels/${kind}-${keyOf(name)}/messages/${keyOf(one)}` })),
  };
}

function referencesOf(manifests: readonly string[]): Json {
  return Object.fromEntries(
    manifests.map((name) => [keyOf(name), { $ref: `#/components/messages/${keyOf(name)}` }]),
  );
}

function messageOf(manifest: string, type: MessageClass | undefined): Json {
  const schema = type === undefined ? undefined : jsonSchemaOf(type);
  return {
    name: manifest,
    headers: {
      type: 'object',
      properties: {
        manifest: { type: 'string', const: manifest },
        serializer_id: { type: 'string' },
        message_id: { type: 'string' },
        published_at: { type: 'string' },
      },
    },
    ...(schema !== undefined && { payload: schema }),
  };
}

/** By the schema library itself, where it gives JSON Schema as Standard JSON Schema says; AsyncAPI understands draft 7. */
function jsonSchemaOf(type: MessageClass): Json | undefined {
  const standard = schemaOf(type)?.['~standard'] as
    | { readonly jsonSchema?: { input?(options: { readonly target: string }): Json } }
    | undefined;
  try {
    return standard?.jsonSchema?.input?.({ target: 'draft-07' });
  } catch {
    // A schema that JSON Schema cannot say.
    return undefined;
  }
}

/** Keys of AsyncAPI are letters, digits, dots, hyphens and underscores. */
function keyOf(name: string): string {
  return name.replace(/[^A-Za-z0-9._-]/g, '_');
}
