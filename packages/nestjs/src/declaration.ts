import { MelangeError, type MessageClass } from '@melange/core';
import type { ServiceDeclaration } from '@melange/service';
import type { FoundHandler } from './find-handlers.ts';
import type { MelangeFeature, MelangeOptions } from './options.ts';

type Destination = readonly MessageClass[] | { readonly messages: readonly MessageClass[] };

/**
 * One declaration of what the modules say, and of the classes that the handlers take.
 *
 * @throws MelangeError `CONFIGURATION` where two modules contradict each other.
 */
export function declarationOf(
  options: MelangeOptions,
  features: readonly MelangeFeature[],
  handlers: readonly FoundHandler[],
): ServiceDeclaration {
  const { failFast: _failFast, awaitsStart: _awaitsStart, ...declared } = options;
  const all: readonly MelangeFeature[] = [...new Set([options, ...features])];
  const queues = merged(all, 'queues', (name) => {
    throw contradiction(`two modules declare the queue "${name}": leave it to one of them.`);
  });
  const publishes = merged(all, 'publishes', both);
  const sends = merged(all, 'sends', both);
  const messages = new Set(all.flatMap((feature) => feature.messages ?? []));
  for (const destination of [...Object.values(publishes), ...Object.values(sends)])
    for (const type of classesOf(destination)) messages.add(type);
  // A class that others extend may be handled, and need not be a message itself.
  const isExtended = (type: MessageClass): boolean =>
    [...messages].some((message) => message.prototype instanceof (type as never));
  for (const { type } of handlers) if (!isExtended(type)) messages.add(type);
  return { ...declared, messages: [...messages], queues, publishes, sends };
}

function merged<Key extends 'queues' | 'publishes' | 'sends'>(
  features: readonly MelangeFeature[],
  key: Key,
  combine: (name: string, one: Entry<Key>, other: Entry<Key>) => Entry<Key>,
): Readonly<Record<string, Entry<Key>>> {
  const entries = new Map<string, Entry<Key>>();
  for (const feature of features) {
    for (const [name, entry] of Object.entries(feature[key] ?? {}) as [string, Entry<Key>][]) {
      const before = entries.get(name);
      entries.set(name, before === undefined || before === entry ? entry : combine(name, before, entry));
    }
  }
  return Object.fromEntries(entries);
}

type Entry<Key extends 'queues' | 'publishes' | 'sends'> = NonNullable<MelangeFeature[Key]>[string];

/** What two modules publish to one place: the classes of both, at the backend of both. */
function both<One extends Destination>(name: string, one: One, other: One): One {
  const [place, otherPlace] = [placeOf(one), placeOf(other)];
  if (JSON.stringify(place) !== JSON.stringify(otherPlace))
    throw contradiction(`two modules have "${name}" on different backends: say the same in both.`);
  const messages = [...new Set([...classesOf(one), ...classesOf(other)])];
  return (place === undefined ? messages : { messages, backend: place }) as unknown as One;
}

function classesOf(destination: Destination): readonly MessageClass[] {
  return 'messages' in destination ? destination.messages : destination;
}

function placeOf(destination: Destination): unknown {
  return 'backend' in destination ? destination.backend : undefined;
}

function contradiction(what: string): MelangeError {
  return new MelangeError('CONFIGURATION', `MelangeModule: ${what}`);
}
