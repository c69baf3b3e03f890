import { type MessageClass, manifestOf, type Serializer, SerializerRegistry } from '@melange/core';
import { liftsOf } from '@melange/core/adapter';
import { JsonSerializer } from '@melange/serializer-json';
import type { ServiceDeclaration } from './declaration.ts';

/** The classes of a service's messages: who serializes them, and by which manifests they are known. */
export class MessageClasses {
  readonly all: readonly MessageClass[];
  readonly registry: SerializerRegistry;
  readonly #bindings: NonNullable<ServiceDeclaration['bindings']>;
  readonly #serializers: Readonly<Record<string, Serializer>>;

  constructor({ messages, serializers = {}, bindings = [] }: ServiceDeclaration) {
    this.all = messages;
    this.#bindings = bindings;
    const json =
      serializers.json ?? new JsonSerializer(messages.filter((type) => this.#bindingOf(type) === 'json'));
    this.#serializers = { ...serializers, json };
    this.registry = new SerializerRegistry({ serializers: this.#serializers, bindings, default: 'json' });
  }

  /** The messages that are of a class. */
  extending(type: MessageClass): readonly MessageClass[] {
    return this.all.filter((message) => message === type || message.prototype instanceof (type as never));
  }

  /** Every manifest under which messages of a class arrive, its own first; `undefined` where its serializer does not tell. */
  manifestsOf(type: MessageClass): readonly string[] | undefined {
    try {
      const serializer = this.#serializers[this.#bindingOf(type)];
      const manifest = serializer?.manifest(Object.create(type.prototype as object));
      return manifest === undefined ? undefined : [manifest, ...liftsOf(type).map((lift) => lift.manifest)];
    } catch {
      return undefined;
    }
  }

  /** For people. */
  manifestOf(type: MessageClass): string {
    return this.manifestsOf(type)?.[0] ?? manifestOf(type);
  }

  /** Name of the serializer of a class: that of the nearest class above it that is bound. */
  #bindingOf(type: MessageClass): string {
    let prototype: object | null = type.prototype as object;
    while (prototype !== null) {
      const binding = this.#bindings.find(([bound]) => bound.prototype === prototype);
      if (binding !== undefined) return binding[1];
      prototype = Object.getPrototypeOf(prototype) as object | null;
    }
    return 'json';
  }
}
