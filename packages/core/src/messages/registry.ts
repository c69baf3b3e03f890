import { isPromise, type MaybePromise } from '../contract/maybe-promise.ts';
import type { Message, MessageContent } from '../contract/message.ts';
import type { Serializer } from '../contract/serializer.ts';
import { MelangeError, SerializationError } from '../errors.ts';
import type { MessageClass } from './message-type.ts';

/** Number that the Python library gives to pickled content, which can run code when it is read. */
const pickleIdentifier = 2;

/** Options of a `SerializerRegistry`. */
export interface SerializerRegistryOptions<Name extends string> {
  /** The serializers by name. */
  readonly serializers: Readonly<Record<Name, Serializer>>;
  /** Which classes go to which serializer; of several that fit, the most specific class wins. Default: none. */
  readonly bindings?: readonly (readonly [MessageClass, NoInfer<Name>])[];
  /** For values without a binding, and for foreign messages. */
  readonly default: NoInfer<Name>;
}

/** The content of a message, and the manifest and serializer to decode it with. */
export interface SerializedValue {
  /** Text, or bytes. */
  readonly content: MessageContent;
  /** Name of the value’s shape. */
  readonly manifest: string;
  /** Number of the serializer that made the content. */
  readonly serializerId: number;
  /** Media type of the content, where the serializer names it. */
  readonly contentType: string | undefined;
}

/** Picks the serializer: by the most specific class when publishing, by `serializerId` when receiving. */
export class SerializerRegistry<Name extends string = string> {
  readonly #default: Serializer;
  readonly #byIdentifier = new Map<number, Serializer>();
  readonly #byPrototype = new Map<object, Serializer>();

  /** @throws MelangeError `CONFIGURATION` when two serializers share an identifier, or one takes pickle's. */
  constructor(options: SerializerRegistryOptions<Name>) {
    for (const [name, serializer] of Object.entries<Serializer>(options.serializers)) {
      const { identifier } = serializer;
      if (identifier === pickleIdentifier)
        throw configuration(`Serializer "${name}" uses identifier 2, Python's pickle`);
      if (this.#byIdentifier.has(identifier))
        throw configuration(`Two serializers have the identifier ${identifier}`);
      this.#byIdentifier.set(identifier, serializer);
    }
    for (const [type, name] of options.bindings ?? []) {
      this.#byPrototype.set(type.prototype as object, this.#named(options, name));
    }
    this.#default = this.#named(options, options.default);
  }

  /** @throws SerializationError when the value cannot be carried or is not valid. */
  serialize(value: unknown): MaybePromise<SerializedValue> {
    const serializer = this.#for(value);
    const { identifier: serializerId, contentType } = serializer;
    const manifest = serializer.manifest(value);
    const content = serializer.serialize(value);
    if (isPromise(content))
      return content.then((content) => ({ content, manifest, serializerId, contentType }));
    return { content, manifest, serializerId, contentType };
  }

  /** @throws SerializationError for an unknown serializer, Python's pickle, and whatever is wrong with the content. */
  deserialize(
    message: Pick<Message, 'manifest' | 'serializerId'> & { content: MessageContent },
  ): MaybePromise<unknown> {
    const { content, manifest, serializerId } = message;
    if (serializerId === undefined) return this.#default.deserialize(content, manifest);
    const serializer = this.#byIdentifier.get(serializerId);
    if (serializer !== undefined) return serializer.deserialize(content, manifest);
    if (serializerId === pickleIdentifier) {
      throw new SerializationError(
        "The content is a Python pickle (serializer_id 2). Reading one can run code, so it is never decoded: publish it with Python Melange's JsonSerializer.",
      );
    }
    const known = [...this.#byIdentifier.keys()].join(', ');
    throw new SerializationError(`No serializer has the identifier ${serializerId}; registered: ${known}`);
  }

  #for(value: unknown): Serializer {
    if (typeof value !== 'object' || value === null || this.#byPrototype.size === 0) return this.#default;
    let prototype: unknown = Object.getPrototypeOf(value);
    while (prototype !== null) {
      const bound = this.#byPrototype.get(prototype as object);
      if (bound !== undefined) return bound;
      prototype = Object.getPrototypeOf(prototype);
    }
    return this.#default;
  }

  #named(options: SerializerRegistryOptions<Name>, name: Name): Serializer {
    if (!Object.hasOwn(options.serializers, name)) throw configuration(`No serializer is named "${name}"`);
    return options.serializers[name];
  }
}

function configuration(message: string): MelangeError {
  return new MelangeError('CONFIGURATION', `SerializerRegistry: ${message}.`);
}
