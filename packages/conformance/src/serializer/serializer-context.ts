import type { MaybePromise, Serializer } from '@melange/core';
import type { Arbitrary } from 'fast-check';
import type { Behaviour } from '../behaviour.ts';

/** Throws when what was received differs from what was sent. */
export type SameAssertion = (received: unknown, sent: unknown) => void;

/** What `describeSerializer` needs to know. */
export interface SerializerSuiteOptions {
  /** Name in the output and in the table. */
  readonly name: string;
  /** Called for each behaviour. */
  readonly create: () => MaybePromise<Serializer>;
  /** Values that must survive the trip, by what is special about them. At least one. */
  readonly values: Readonly<Record<string, unknown>>;
  /**
   * Generators of values that must survive the trip, one for each declared type. Their content, and that of
   * `values`, is what gets mutated. Default: none.
   */
  readonly generated?: Readonly<Record<string, Arbitrary<unknown>>>;
  /** Values that must be refused with a `SerializationError`, by why. Default: none. */
  readonly refused?: Readonly<Record<string, unknown>>;
  /** Throws when the values differ. Default: deep equality including prototypes. */
  readonly assertSame?: SameAssertion;
}

/** A behaviour of a serializer. */
export type SerializerBehaviour = Behaviour<SerializerContext>;

/** What one behaviour works with. */
export interface SerializerContext extends SerializerSuiteOptions {
  readonly serializer: Serializer;
}
