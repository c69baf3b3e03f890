import {
  type MaybePromise,
  MelangeError,
  type MessageClass,
  type MessageContent,
  manifestOf,
  SerializationError,
  type Serializer,
} from '@melange/core';
import { isPlain, MessageTypes, pathText, shortened } from '@melange/core/adapter';
import type { JsonSerializerOptions } from './json-options.ts';
import { parseLargeIntegers, pathToBigint, stringifyLargeIntegers } from './large-integers.ts';
import { type LostValue, lostValue } from './lost-value.ts';

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
  readonly contentType = 'application/json';
  readonly #types: MessageTypes;
  readonly #largeIntegers: 'refuse' | 'bigint' | 'round';

  /**
   * @param types the classes that travel with their type; the manifest is the class's static `manifest`, else
   * its name.
   * @throws MelangeError `CONFIGURATION` when two classes share a manifest, or one is called `json`; for a class whose
   * instances cannot be made from fields, because it has private ones or extends a native class; for an unknown option.
   */
  constructor(types: readonly MessageClass[] = [], options: JsonSerializerOptions = {}) {
    const { largeIntegers = 'refuse' } = options;
    if (!['refuse', 'bigint', 'round'].includes(largeIntegers)) {
      throw new MelangeError(
        'CONFIGURATION',
        `JsonSerializer: largeIntegers is "${largeIntegers}"; it must be refuse, bigint or round.`,
      );
    }
    const named = types.map((type) => [manifestOf(type), type] as const);
    this.#types = new MessageTypes('JsonSerializer', named, [untyped]);
    this.#largeIntegers = largeIntegers;
  }

  /** @throws SerializationError for an instance of a class that was not given to the constructor. */
  manifest(value: unknown): string {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return untyped;
    const prototype = Object.getPrototypeOf(value) as object | null;
    if (isPlain(prototype)) return untyped;
    const manifest = this.#types.manifestOf(value);
    if (manifest !== undefined) return manifest;
    // Of the prototype: a field of the value may be called `constructor` too.
    const type = (prototype as { constructor?: unknown }).constructor;
    const name = typeof type === 'function' ? type.name : 'unnamed';
    throw new SerializationError(
      `The class ${shortened(name)} is not known: register it, new JsonSerializer([${shortened(name)}]).`,
    );
  }

  /**
   * The promise of the text only where the class's schema validates asynchronously.
   *
   * @throws SerializationError for what JSON cannot carry, naming the path (`NaN`, a `bigint`, a `Map`), for an
   * unregistered class, and for what is not valid.
   */
  serialize(value: unknown): MaybePromise<MessageContent> {
    const manifest = this.manifest(value);
    const text = this.#stringify(value, manifest);
    if (manifest === untyped) return text;
    // By its `toJSON` an instance can become anything, which could not be revived.
    if (!text.startsWith('{')) throw new SerializationError(`"${manifest}" is not an object in JSON.`);
    if (!this.#types.isChecked(manifest)) return text;
    const checked = this.#types.check(manifest, this.#parseLarge(text) ?? JSON.parse(text));
    return checked instanceof Promise ? checked.then(() => text) : text;
  }

  /**
   * The promise of the value only where the class's schema validates asynchronously.
   *
   * @param manifest `undefined` and `json` are read as plain values.
   * @throws SerializationError for bad bytes, bad JSON, an unknown manifest, and what is not valid.
   */
  deserialize(content: MessageContent, manifest: string | undefined): MaybePromise<unknown> {
    if (manifest === undefined || manifest === untyped) return this.#read(content, untyped);
    if (!this.#types.has(manifest)) {
      const known = [untyped, ...this.#types.manifests()].join(', ');
      throw new SerializationError(`The manifest "${shortened(manifest)}" is not known; known: ${known}.`);
    }
    return this.#types.revive(manifest, this.#read(content, manifest));
  }

  #stringify(value: unknown, manifest: string): string {
    const carriesBigints = this.#largeIntegers === 'bigint';
    const look = (): LostValue | undefined =>
      lostValue(value, { isInstance: manifest !== untyped, carriesBigints });
    let text: string | undefined;
    let lost: LostValue | undefined;
    try {
      text = carriesBigints ? stringifyLargeIntegers(value) : JSON.stringify(value);
      lost = look();
    } catch (cause) {
      lost = whereItFailed(look);
      // The first line says what; those that follow retrace a cycle through the value.
      const [reason = ''] = String(cause instanceof Error ? cause.message : cause).split('\n', 1);
      if (lost === undefined) throw notCarried(manifest, shortened(reason), { cause });
    }
    if (lost !== undefined) throw notCarried(manifest, `${pathText(lost.path)} is ${lost.what}.`, lost);
    if (text === undefined) throw notCarried(manifest, `it is of type ${typeof value}.`);
    return text;
  }

  #read(content: MessageContent, manifest: string): unknown {
    const text = textOf(content, manifest);
    let roundedAt: PropertyKey[] | undefined;
    try {
      const large = this.#parseLarge(text);
      if (large === undefined) return JSON.parse(text);
      if (this.#largeIntegers === 'bigint') return large;
      roundedAt = pathToBigint(large) ?? [];
    } catch {
      // The parser's message quotes the content, which may be private and ends in logs and headers.
      throw new SerializationError(
        `The content of "${shortened(manifest)}" (${text.length} characters) is not JSON.`,
      );
    }
    throw new SerializationError(
      `The content of "${shortened(manifest)}" would be rounded: ${pathText(roundedAt)} is a whole number beyond 2^53. The option largeIntegers of JsonSerializer reads it as a bigint, or rounds it.`,
      { path: roundedAt },
    );
  }

  #parseLarge(text: string): unknown {
    return this.#largeIntegers === 'round' ? undefined : parseLargeIntegers(text, this.#largeIntegers);
  }
}

/** `JSON.stringify` says that there is a bigint, but not where. */
function whereItFailed(look: () => LostValue | undefined): LostValue | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}

function notCarried(
  manifest: string,
  reason: string,
  options?: { cause?: unknown; path?: readonly PropertyKey[] },
): SerializationError {
  return new SerializationError(`JSON cannot carry this "${manifest}": ${reason}`, options);
}

function textOf(content: MessageContent, manifest: string): string {
  let text: string;
  try {
    text = typeof content === 'string' ? content : utf8.decode(content);
  } catch (cause) {
    throw new SerializationError(`The content of "${shortened(manifest)}" is not UTF-8.`, { cause });
  }
  // The decoder drops a byte order mark from bytes; text that some broker decoded may still have it.
  return text.startsWith('\uFEFF') ? text.slice(1) : text;
}
