import {
  type MaybePromise,
  MelangeError,
  type MessageClass,
  type MessageContent,
  manifestOf,
  SerializationError,
  type Serializer,
} from '@melange/core';
import { MessageTypes, shortened } from '@melange/core/adapter';
import { BoundedReader } from './bounded-reader.ts';
import { difference } from './difference.ts';
import { ownFields } from './own-fields.ts';
import type { ProtobufSerializerOptions } from './protobuf-options.ts';
import type { FieldForms, ProtobufType } from './protobuf-type.ts';
import type { ProtobufTypes } from './protobuf-types.ts';

/**
 * Protocol Buffers, with the fully qualified name of the type as the manifest. Carries instances of the classes
 * bound to a type, and instances that protobufjs made.
 *
 * What is published is read back before it is sent: a value that would arrive otherwise is refused.
 */
export class ProtobufSerializer implements Serializer {
  readonly identifier = 3;
  readonly contentType = 'application/x-protobuf';
  readonly #types: ProtobufTypes;
  readonly #classes: MessageTypes;
  readonly #names = new Map<object, string>();
  readonly #forms: FieldForms;
  readonly #maxContentBytes: number;
  readonly #maxFields: number;

  /**
   * @throws MelangeError `CONFIGURATION` when a class is bound to a type that is not there, when two share one, and for
   * a class whose instances cannot be made from fields, because it has private ones or extends a native class.
   */
  constructor(options: ProtobufSerializerOptions) {
    const { types, classes = [], longs = 'bigint', enums = 'number' } = options;
    this.#types = types;
    this.#forms = { longs, enums };
    this.#maxContentBytes = positive(options.maxContentBytes ?? 4 * 1024 * 1024, 'maxContentBytes');
    this.#maxFields = positive(options.maxFields ?? 100_000, 'maxFields');
    this.#classes = new MessageTypes('ProtobufSerializer', classes.map(named));
    for (const manifest of this.#classes.manifests()) {
      if (types.has(manifest)) continue;
      throw new MelangeError('CONFIGURATION', `ProtobufSerializer: there is no protobuf type "${manifest}".`);
    }
    for (const { name, prototype } of types.values()) this.#names.set(prototype, name);
  }

  /** @throws SerializationError for a value that is neither of a bound class nor made by protobufjs. */
  manifest(value: unknown): string {
    if (typeof value !== 'object' || value === null) {
      throw new SerializationError(`Protobuf carries messages, not a value of type ${typeof value}.`);
    }
    const manifest = this.#classes.manifestOf(value) ?? this.#nameOf(value);
    if (manifest !== undefined) return manifest;
    const type = (Object.getPrototypeOf(value) as { constructor?: unknown } | null)?.constructor;
    const name = shortened(typeof type === 'function' ? type.name : 'without a name');
    throw new SerializationError(
      `The class ${name} has no protobuf type: bind it with the option "classes" of ProtobufSerializer.`,
    );
  }

  /**
   * The promise of the content only where the class's schema validates asynchronously.
   *
   * @throws SerializationError for a value that would not arrive as it is, that is over the limits, or not valid.
   */
  serialize(value: unknown): MaybePromise<MessageContent> {
    const manifest = this.manifest(value);
    const type = this.#typeOf(manifest);
    const isNative = this.#nameOf(value as object) !== undefined;
    let content: Uint8Array;
    try {
      content = type.encode((isNative ? value : ownFields(value)) as object);
    } catch (cause) {
      throw new SerializationError(`Protobuf cannot carry this "${manifest}": ${reasonOf(cause)}.`, {
        cause,
      });
    }
    const arrived = this.#decode(type, content, false);
    const enums = isNative ? 'number' : this.#forms.enums;
    const fields = type.fieldsOf(arrived, { longs: 'bigint', enums });
    const path = difference(value as object, fields, (inner) => this.#nameOf(inner) !== undefined);
    if (path !== undefined) {
      const field = shortened(path.map(String).join('.'));
      throw new SerializationError(
        `"${manifest}" would not arrive as it is: ${field || '(root)'} is no field of the type, or has a value that the field cannot have, or more than its fields.`,
        { path },
      );
    }
    if (isNative || !this.#classes.isChecked(manifest)) return content;
    const checked = this.#classes.check(manifest, type.fieldsOf(arrived, this.#forms));
    return checked instanceof Promise ? checked.then(() => content) : content;
  }

  /**
   * An instance of the class bound to the type, else of protobufjs. The promise of it only where the class's
   * schema validates asynchronously.
   *
   * @throws SerializationError for an unknown manifest, bad bytes, content over the limits, and what is not valid.
   */
  deserialize(content: MessageContent, manifest: string | undefined): MaybePromise<unknown> {
    if (manifest === undefined) {
      throw new SerializationError('Protobuf content without a manifest: which type it has cannot be known.');
    }
    const type = this.#typeOf(manifest);
    // Bytes that happen to be text arrive as text from some brokers.
    const bytes = typeof content === 'string' ? Buffer.from(content, 'utf8') : content;
    const isBound = this.#classes.has(manifest);
    const instance = this.#decode(type, bytes, !isBound);
    return isBound ? this.#classes.revive(manifest, type.fieldsOf(instance, this.#forms)) : instance;
  }

  #decode(type: ProtobufType, content: Uint8Array, keepUnknown: boolean): object {
    if (content.length > this.#maxContentBytes) {
      throw new SerializationError(
        `The content of "${type.name}" has ${content.length} bytes; maxContentBytes is ${this.#maxContentBytes}.`,
      );
    }
    try {
      return type.decode(new BoundedReader(content, this.#maxFields, keepUnknown));
    } catch (cause) {
      throw new SerializationError(`The content is no "${type.name}": ${reasonOf(cause)}.`, { cause });
    }
  }

  #typeOf(manifest: string): ProtobufType {
    const type = this.#types.get(manifest);
    if (type !== undefined) return type;
    throw new SerializationError(
      `There is no protobuf type "${shortened(manifest)}" among those registered.`,
    );
  }

  /** The type of an instance that protobufjs made. */
  #nameOf(value: object): string | undefined {
    return this.#names.get(Object.getPrototypeOf(value) as object);
  }
}

function named(entry: MessageClass | readonly [MessageClass, string]): readonly [string, MessageClass] {
  return typeof entry === 'function' ? [manifestOf(entry), entry] : [entry[1], entry[0]];
}

function positive(limit: number, option: string): number {
  if (limit > 0) return limit;
  throw new MelangeError('CONFIGURATION', `ProtobufSerializer: ${option} is ${limit}; it must be above 0.`);
}

function reasonOf(cause: unknown): string {
  return shortened(cause instanceof Error ? cause.message : String(cause));
}
