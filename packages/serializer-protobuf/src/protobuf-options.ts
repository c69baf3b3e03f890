import type { MessageClass } from '@melange/core';
import type { ProtobufTypes } from './protobuf-types.ts';

/** What a `ProtobufSerializer` is made of. */
export interface ProtobufSerializerOptions {
  /** The message types, from `loadProtoFiles`, `descriptorTypes`, `staticTypes` or `reflectedTypes`. */
  readonly types: ProtobufTypes;
  /**
   * Classes whose instances are carried as protobuf. A class is bound to the type that its manifest names (its
   * static `manifest`, else its name), or to the one given with it: `[OrderPlaced, 'shop.v1.OrderPlaced']`.
   * Default: none; types without a class arrive as instances of protobufjs.
   */
  readonly classes?: readonly (MessageClass | readonly [MessageClass, string])[];
  /** How 64-bit integers appear in instances of classes. They may be published in any form. Default: `bigint`. */
  readonly longs?: 'bigint' | 'string';
  /** How enum values appear in instances of classes; unknown ones are always numbers. Default: `number`. */
  readonly enums?: 'number' | 'name';
  /** Longest content in bytes, published and received. Default: 4 MiB. */
  readonly maxContentBytes?: number;
  /**
   * Most fields, elements of lists and entries of maps in one message. 64-bit integers count, once more where they
   * have a field of their own; other packed numbers do not. Together with `maxContentBytes` it bounds the memory that
   * hostile content can take. Default: 100,000.
   */
  readonly maxFields?: number;
}
