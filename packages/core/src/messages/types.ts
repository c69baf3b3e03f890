import type { MaybePromise } from '../contract/maybe-promise.ts';
import { shortened } from '../contract/shortened.ts';
import { MelangeError, SerializationError } from '../errors.ts';
import { whyNotRevived } from './hidden-content.ts';
import { type Lift, liftsOf, type MessageClass, schemaOf } from './message-type.ts';
import type { StandardSchema } from './schema.ts';
import { validate } from './validate.ts';

/** How content of one manifest is read. */
interface Reading {
  readonly type: MessageClass;
  readonly lift: Lift | undefined;
  /** Of the type. */
  readonly schema: StandardSchema | undefined;
}

/**
 * The message classes of a serializer: by instance on the way out, by manifest on the way in, validated and
 * lifted to their present form. For authors of serializers, so that a class means the same to all of them.
 */
export class MessageTypes {
  readonly #readings = new Map<string, Reading>();
  readonly #published = new Map<string, MessageClass>();
  readonly #manifests = new Map<object, string>();

  /**
   * A manifest that one class is published under and another one `alsoReads` is read as the other one: a service
   * that must still publish the earlier form reads both.
   *
   * @param owner name of the serializer, for error messages.
   * @param types manifests and the classes that are published under them.
   * @param reserved manifests that no class may have. Default: none.
   * @throws MelangeError `CONFIGURATION` when two classes are published under, or lift, one manifest, and for a class
   * whose instances cannot be made from fields: it has private ones, or extends a native class such as `Map`.
   */
  constructor(
    owner: string,
    types: Iterable<readonly [manifest: string, type: MessageClass]>,
    reserved: readonly string[] = [],
  ) {
    const all = [...types];
    const claim = (manifest: string, reading: Reading): void => {
      const known = this.#readings.get(manifest);
      const isSuperseded = known !== undefined && known.lift === undefined && reading.lift !== undefined;
      const isTaken = known !== undefined && !isSuperseded;
      if (isTaken || manifest === '' || reserved.includes(manifest) || reading.type === known?.type) {
        throw new MelangeError(
          'CONFIGURATION',
          `${owner}: the manifest "${manifest}" is taken or reserved. Give ${reading.type.name} another one.`,
        );
      }
      this.#readings.set(manifest, reading);
    };
    for (const [manifest, type] of all) {
      const reason = whyNotRevived(type.prototype as object);
      if (reason !== undefined) {
        throw new MelangeError(
          'CONFIGURATION',
          `${owner}: the class ${type.name} ${reason}: an instance that is made from a message would lack it. Register a class of public fields, and make a ${type.name} of it in the handler.`,
        );
      }
      claim(manifest, { type, lift: undefined, schema: schemaOf(type) });
      this.#published.set(manifest, type);
      this.#manifests.set(type.prototype as object, manifest);
    }
    for (const [, type] of all)
      for (const lift of liftsOf(type)) claim(lift.manifest, { type, lift, schema: schemaOf(type) });
  }

  /** The manifest that an instance is published under: that of its most specific class, if any is known. */
  manifestOf(value: object): string | undefined {
    let prototype: object | null = Object.getPrototypeOf(value) as object | null;
    while (prototype !== null) {
      const manifest = this.#manifests.get(prototype);
      if (manifest !== undefined) return manifest;
      prototype = Object.getPrototypeOf(prototype) as object | null;
    }
    return undefined;
  }

  /** Whether content of this manifest becomes an instance. */
  has(manifest: string): boolean {
    return this.#readings.has(manifest);
  }

  /** The manifests that are read. */
  manifests(): string[] {
    return [...this.#readings.keys()];
  }

  /** Whether values of this manifest are validated when they are published. */
  isChecked(manifest: string): boolean {
    const type = this.#published.get(manifest);
    return type !== undefined && schemaOf(type) !== undefined;
  }

  /**
   * Validates the fields of a value about to be published, in the form that they have when they arrive. The
   * promise of it only where the schema validates asynchronously.
   *
   * @throws SerializationError when they are not valid.
   */
  check(manifest: string, fields: unknown): MaybePromise<void> {
    const type = this.#published.get(manifest);
    const schema = type === undefined ? undefined : schemaOf(type);
    if (schema !== undefined) return then(validate(schema, fields, manifest), () => undefined);
  }

  /**
   * Validates what arrived under `manifest`, lifts it, and makes the instance; its constructor is not run.
   *
   * @param fields a fresh object that nobody else holds: where nothing validates or lifts them, they become the instance.
   * @throws SerializationError for an unknown manifest, and for fields that are not valid.
   */
  revive(manifest: string, fields: unknown): MaybePromise<object> {
    const reading = this.#readings.get(manifest);
    if (reading === undefined) {
      throw new SerializationError(
        `The manifest "${shortened(manifest)}" is not known; known: ${this.manifests().join(', ')}.`,
      );
    }
    const { type, lift, schema } = reading;
    if (lift === undefined && schema === undefined) return asInstance(type, fields, manifest);
    const present = lift === undefined ? fields : lifted(lift, fields);
    const valid =
      schema === undefined ? present : then(present, (given) => validate(schema, given, manifest));
    return then(valid, (output) => instanceOf(type, output, manifest));
  }
}

function lifted(lift: Lift, fields: unknown): MaybePromise<unknown> {
  return then(validate(lift.schema, fields, lift.manifest), (earlier) => {
    try {
      return lift.up(earlier as never);
    } catch (cause) {
      throw new SerializationError(`The lift of "${shortened(lift.manifest)}" threw.`, { cause });
    }
  });
}

/** Goes on at once where nothing has to be waited for. */
function then<Value, Result>(
  value: MaybePromise<Value>,
  next: (value: Value) => MaybePromise<Result>,
): MaybePromise<Result> {
  return value instanceof Promise ? value.then(next) : next(value);
}

/** The fields become the instance: to copy them would cost a quarter of what parsing them did. */
function asInstance(type: MessageClass, fields: unknown, manifest: string): object {
  assertFields(fields, manifest);
  return Reflect.setPrototypeOf(fields, type.prototype as object)
    ? fields
    : instanceOf(type, fields, manifest);
}

/** A copy: what a schema answers with may be frozen, or its own. */
function instanceOf(type: MessageClass, fields: unknown, manifest: string): object {
  assertFields(fields, manifest);
  const instance = Object.create(type.prototype as object) as Record<string, unknown>;
  for (const key of Object.keys(fields)) {
    const value = (fields as Record<string, unknown>)[key];
    // Assigned where the prototype has nothing of that name, which is several times quicker than to define it.
    if (!(key in instance)) instance[key] = value;
    // Defined where it has: an own `__proto__` must not become the prototype, nor run a setter.
    else
      Object.defineProperty(instance, key, { value, writable: true, enumerable: true, configurable: true });
  }
  return instance;
}

function assertFields(fields: unknown, manifest: string): asserts fields is object {
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw new SerializationError(`The content of "${shortened(manifest)}" is not an object.`);
  }
}
