import type { SchemaOutput, StandardSchema } from './standard-schema.ts';

/** Any class whose instances are messages; abstract ones serve as a common base in `on`. */
export type MessageClass<Instance extends object = object> = abstract new (
  ...parameters: never[]
) => Instance;

/** A class made by `defineMessage`: constructor, manifest, static type and run-time schema in one. */
export interface MessageType<Fields extends object, Schema extends StandardSchema = StandardSchema> {
  new (fields: Fields): Fields;
  readonly manifest: string;
  readonly schema: Schema;
}

/**
 * The base of a message class:
 * `class OrderPlaced extends defineMessage('OrderPlaced', schema) {}`.
 * The manifest names the shape on the wire. The constructor takes the fields as they are; serializers
 * validate them with the schema when a message is published and when it is received.
 */
export function defineMessage<Schema extends StandardSchema>(
  manifest: string,
  schema: Schema,
): MessageType<SchemaOutput<Schema> & object, Schema> {
  class Defined {
    static readonly manifest = manifest;
    static readonly schema = schema;
    constructor(fields: object) {
      Object.assign(this, fields);
    }
  }
  return Defined as unknown as MessageType<SchemaOutput<Schema> & object, Schema>;
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
