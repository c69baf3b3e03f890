import type { SchemaInput, SchemaOutput, StandardSchema } from './schema.ts';

/** Any class whose instances are messages; abstract ones serve as a common base in `on`. */
export type MessageClass<Instance extends object = object> = abstract new (
  ...parameters: never[]
) => Instance;

/**
 * Lets the compiler distinguish instances of one manifest from those of another, and from plain objects of the same fields.
 * Does not exist at run time. A getter, because the compiler leaves getters of a class out of `{ ...message }`.
 */
export declare class MessageInstance<Manifest extends string> {
  private constructor();
  /** Only for the compiler. */
  get '~manifest'(): Manifest;
}

/** A class made by `defineMessage`: constructor, manifest, static type and run-time schema in one. */
export interface MessageType<
  Fields extends object,
  Schema extends StandardSchema = StandardSchema,
  Manifest extends string = string,
> {
  /** Takes the fields as they are; serializers validate them. */
  new (fields: Fields): Fields & MessageInstance<Manifest>;
  /** Name of the shape on the wire. */
  readonly manifest: Manifest;
  /** Validates the fields on their way out and in. */
  readonly schema: Schema;
  /** Earlier forms that are read as this type. */
  readonly alsoReads: readonly Lift[];
}

/** How an earlier form of a message becomes the present one. Made by `lift`. */
export interface Lift<Fields = unknown> {
  /** Manifest of the earlier form. */
  readonly manifest: string;
  /** Schema of the earlier form. */
  readonly schema: StandardSchema;
  /** Makes fields of the present form, which its schema validates. */
  readonly up: (earlier: never) => Fields;
}

/** What a message type can be given besides its schema. */
export interface MessageTypeOptions<Fields> {
  /** Earlier forms that are read as this type too; each manifest once. Default: none. */
  readonly alsoReads?: readonly Lift<Fields>[];
}

/**
 * The base of a message class:
 * `class OrderPlaced extends defineMessage('OrderPlaced', schema) {}`.
 * The manifest names the shape on the wire. The constructor takes the fields as they are; serializers
 * validate them with the schema when a message is published and when it is received.
 */
export function defineMessage<Schema extends StandardSchema, const Manifest extends string>(
  manifest: Manifest,
  schema: Schema,
  options: MessageTypeOptions<SchemaInput<Schema>> = {},
): MessageType<SchemaOutput<Schema> & object, Schema, Manifest> {
  class Defined {
    static readonly manifest = manifest;
    static readonly schema = schema;
    static readonly alsoReads = options.alsoReads ?? [];
    constructor(fields: object) {
      Object.assign(this, fields);
    }
  }
  return Defined as unknown as MessageType<SchemaOutput<Schema> & object, Schema, Manifest>;
}

/**
 * An earlier form of a message, for `alsoReads`:
 * `lift('OrderPlaced.v1', schemaOfVersion1, (earlier) => ({ ...earlier, currency: 'EUR' }))`.
 * Content is validated by `schema`, lifted, and validated as the present form. Where `up` throws, the message
 * cannot be decoded.
 */
export function lift<Earlier extends StandardSchema, Fields>(
  manifest: string,
  schema: Earlier,
  up: (earlier: SchemaOutput<Earlier>) => Fields,
): Lift<Fields> {
  return { manifest, schema, up };
}

/** The manifest of a message class: its static `manifest`, else its name. */
export function manifestOf(type: MessageClass): string {
  const declared = (type as { manifest?: unknown }).manifest;
  return typeof declared === 'string' ? declared : type.name;
}

/** The schema that a message class carries, if any. */
export function schemaOf(type: MessageClass): StandardSchema | undefined {
  const schema = (type as { schema?: unknown }).schema;
  const isSchema = (typeof schema === 'object' || typeof schema === 'function') && schema !== null;
  return isSchema && '~standard' in schema ? (schema as StandardSchema) : undefined;
}

/** The earlier forms that a message class reads, if any. */
export function liftsOf(type: MessageClass): readonly Lift[] {
  const lifts = (type as { alsoReads?: unknown }).alsoReads;
  return Array.isArray(lifts) ? (lifts as Lift[]) : [];
}

/**
 * Every manifest under which messages of this class arrive: its own and those of the earlier forms that it reads.
 * For `filter`, which must let all of them through.
 */
export function manifestsOf(type: MessageClass): string[] {
  return [manifestOf(type), ...liftsOf(type).map(({ manifest }) => manifest)];
}
