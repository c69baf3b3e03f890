import {
  type MaybePromise,
  MelangeError,
  type MessageClass,
  type MessageContent,
  manifestOf,
  SerializationError,
  type Serializer,
  schemaOf,
} from '@melange/core';
import { shortened } from './shortened.ts';
import { validate } from './validate.ts';

/** Manifest of values without a class, as in the Python library. */
const untyped = 'json';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });

/**
 * JSON: plain values under the manifest `json`, and instances of the classes given to it, revived as instances
 * and validated where the class carries a Standard Schema.
 *
 * Validation looks at the wire form, when publishing too: what is published can be read. A `Date` is text there.
 */
export class JsonSerializer implements Serializer {
  readonly identifier = 1;
  readonly #types = new Map<string, MessageClass>();
  readonly #manifests = new Map<object, string>();

  /**
   * @param types the classes that travel with their type; the manifest is the class's static `manifest`, else
   * its name.
   * @throws MelangeError `CONFIGURATION` when two classes share a manifest, or one is called `json`.
   */
  constructor(types: readonly MessageClass[] = []) {
    for (const type of types) {
      const manifest = manifestOf(type);
      if (manifest === untyped || manifest === '' || this.#types.has(manifest)) {
        throw new MelangeError(
          'CONFIGURATION',
          `JsonSerializer: the manifest "${manifest}" is taken or reserved.`,
        );
      }
      this.#types.set(manifest, type);
      this.#manifests.set(type.prototype as object, manifest);
    }
  }

  /** @throws SerializationError for an instance of a class that was not given to the constructor. */
  manifest(value: unknown): string {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return untyped;
    let prototype: object | null = Object.getPrototypeOf(value) as object | null;
    if (prototype === null || prototype === Object.prototype) return untyped;
    while (prototype !== null) {
      const manifest = this.#manifests.get(prototype);
      if (manifest !== undefined) return manifest;
      prototype = Object.getPrototypeOf(prototype) as object | null;
    }
    // Of the prototype: a field of the value may be called `constructor` too.
    const type = (Object.getPrototypeOf(value) as { constructor?: unknown }).constructor;
    const name = typeof type === 'function' ? type.name : 'unnamed';
    throw new SerializationError(
      `The class ${shortened(name)} is not known: register it, new JsonSerializer([${shortened(name)}]).`,
    );
  }

  /**
   * The promise of the text only where the class's schema validates asynchronously.
   *
   * @throws SerializationError for what JSON cannot carry, an unregistered class, and what is not valid.
   */
  serialize(value: unknown): MaybePromise<MessageContent> {
    const manifest = this.manifest(value);
    const text = stringify(value, manifest);
    const type = this.#types.get(manifest);
    if (type === undefined) return text;
    // By its `toJSON` an instance can become anything, which could not be revived.
    if (!text.startsWith('{')) throw new SerializationError(`"${manifest}" is not an object in JSON.`);
    const schema = schemaOf(type);
    if (schema === undefined) return text;
    const valid = validate(schema, JSON.parse(text), manifest);
    return valid instanceof Promise ? valid.then(() => text) : text;
  }

  /**
   * The promise of the value only where the class's schema validates asynchronously.
   *
   * @param manifest `undefined` and `json` are read as plain values.
   * @throws SerializationError for bad bytes, bad JSON, an unknown manifest, and what is not valid.
   */
  deserialize(content: MessageContent, manifest: string | undefined): MaybePromise<unknown> {
    const type = manifest === undefined || manifest === untyped ? undefined : this.#typeOf(manifest);
    const parsed = parse(content, manifest ?? untyped);
    if (type === undefined || manifest === undefined) return parsed;
    const schema = schemaOf(type);
    if (schema === undefined) return revive(type, parsed, manifest);
    const valid = validate(schema, parsed, manifest);
    if (valid instanceof Promise) return valid.then((fields) => revive(type, fields, manifest));
    return revive(type, valid, manifest);
  }

  #typeOf(manifest: string): MessageClass {
    const type = this.#types.get(manifest);
    if (type !== undefined) return type;
    const known = [untyped, ...this.#types.keys()].join(', ');
    throw new SerializationError(`The manifest "${shortened(manifest)}" is not known; known: ${known}.`);
  }
}

function stringify(value: unknown, manifest: string): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    // The first line says what; those that follow retrace a cycle through the value.
    const [reason = ''] = String(cause instanceof Error ? cause.message : cause).split('\n', 1);
    throw new SerializationError(`JSON cannot carry this "${manifest}": ${shortened(reason)}`, { cause });
  }
  if (text === undefined) {
    throw new SerializationError(`JSON cannot carry this "${manifest}", a value of type ${typeof value}.`);
  }
  return text;
}

function parse(content: MessageContent, manifest: string): unknown {
  let text: string;
  try {
    text = typeof content === 'string' ? content : utf8.decode(content);
  } catch (cause) {
    throw new SerializationError(`The content of "${shortened(manifest)}" is not UTF-8.`, { cause });
  }
  try {
    // The decoder drops a byte order mark from bytes; text that some broker decoded may still have it.
    return JSON.parse(text.startsWith('\uFEFF') ? text.slice(1) : text);
  } catch {
    // The parser's message quotes the content, which may be private and ends in logs and headers.
    throw new SerializationError(
      `The content of "${shortened(manifest)}" (${text.length} characters) is not JSON.`,
    );
  }
}

function revive(type: MessageClass, fields: unknown, manifest: string): object {
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new SerializationError(`The content of "${manifest}" is not an object.`);
  }
  const instance = Object.create(type.prototype as object) as object;
  for (const [key, value] of Object.entries(fields)) {
    // Defined rather than assigned: an own `__proto__` must not become the prototype, nor run a setter.
    Object.defineProperty(instance, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return instance;
}
