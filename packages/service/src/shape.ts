import type { Capabilities, MessageClass, MessagingBackend } from '@melange/core';
import type { BoundSend, BoundTopic, QueueDeclaration, ServiceDeclaration } from './declaration.ts';

/** What the compiler knows of a service. As it stands, without parameters: of any service. */
export interface ServiceShape {
  /** Every class of message. */
  readonly messages: MessageClass;
  /** Names of the queues that it consumes. */
  readonly queues: string;
  /** Topics, and the classes that each carries. */
  readonly publishes: Readonly<Record<string, MessageClass>>;
  /** Queues that it sends to, and what each takes. */
  readonly sends: Readonly<Record<string, SendShape>>;
}

/** What a queue that is sent to takes. */
export interface SendShape {
  /** The classes that are sent to it. */
  readonly messages: MessageClass;
  /** What its broker can do. */
  readonly features: Capabilities;
}

/** The messages of a class, or of several. */
export type InstanceOf<Type> = Type extends abstract new (
  ...parameters: never[]
) => infer Instance
  ? Instance
  : never;

/** The literal manifest of a class; `never` where the compiler does not know it. */
export type ManifestOf<Type> = Type extends { readonly manifest: infer Manifest extends string }
  ? string extends Manifest
    ? never
    : Manifest
  : never;

/** The shape of a declaration. */
export interface ShapeOf<Declaration extends ServiceDeclaration> {
  /** Every class of message. */
  readonly messages: Declaration['messages'][number];
  /** Names of the queues that it consumes. */
  readonly queues: keyof Part<Declaration, 'queues'> & string;
  /** Topics, and the classes that each carries. */
  readonly publishes: {
    readonly [Topic in keyof Part<Declaration, 'publishes'>]: ClassesOf<
      Part<Declaration, 'publishes'>[Topic]
    >;
  };
  /** Queues that it sends to, and what each takes. */
  readonly sends: {
    readonly [Queue in keyof Part<Declaration, 'sends'>]: {
      readonly messages: ClassesOf<Part<Declaration, 'sends'>[Queue]>;
      readonly features: FeaturesAt<Declaration['backend'], Queue, Part<Declaration, 'sends'>[Queue]>;
    };
  };
}

/** What must hold of a declaration besides its type: no unknown option, no unknown class, a backend for each name. */
export type Checked<Declaration extends ServiceDeclaration> = Known<Declaration, ServiceDeclaration> & {
  readonly queues?: {
    readonly [Queue in keyof Part<Declaration, 'queues'>]: Known<
      Part<Declaration, 'queues'>[Queue],
      QueueDeclaration
    > &
      Placed<Declaration['backend'], Queue, Part<Declaration, 'queues'>[Queue]>;
  };
  readonly publishes?: {
    readonly [Topic in keyof Part<Declaration, 'publishes'>]: Carried<
      Declaration,
      Part<Declaration, 'publishes'>[Topic],
      BoundTopic
    > &
      Placed<Declaration['backend'], Topic, Part<Declaration, 'publishes'>[Topic]>;
  };
  readonly sends?: {
    readonly [Queue in keyof Part<Declaration, 'sends'>]: Carried<
      Declaration,
      Part<Declaration, 'sends'>[Queue],
      BoundSend
    > &
      Placed<Declaration['backend'], Queue, Part<Declaration, 'sends'>[Queue]>;
  };
};

/** Of a queue: refuses a class that no message of the service is of. */
export type Readable<Shape extends ServiceShape, Type> = MessageClass extends Shape['messages']
  ? unknown
  : [Extract<InstanceOf<Shape['messages']>, InstanceOf<Type>>] extends [never]
    ? 'This class is not among the messages of the service.'
    : unknown;

/** Refuses a manifest that has a handler on the queue. */
export type Unhandled<Handled extends string, Queue extends string, Type> = [
  Handling<Queue, Type> & Handled,
] extends [never]
  ? unknown
  : `"${ManifestOf<Type>}" has a handler on "${Queue}" already.`;

/** A manifest that is handled on a queue; `never` where the compiler does not know either. */
export type Handling<Queue extends string, Type> =
  // A name that is made at run time stands for any number of queues.
  Record<never, never> extends Record<Queue, unknown> ? never : `${Queue} ${ManifestOf<Type>}`;

type Part<Declaration, Key extends string> = Key extends keyof Declaration
  ? NonNullable<Declaration[Key]>
  : Record<never, never>;

type ClassesOf<Entry> = Entry extends readonly (infer Type extends MessageClass)[]
  ? Type
  : Entry extends { readonly messages: readonly (infer Type extends MessageClass)[] }
    ? Type
    : never;

/** A type without the options that `Options` does not have. */
type Known<Given, Options> = { readonly [Name in Exclude<keyof Given, keyof Options>]: never };

type Carried<Declaration extends ServiceDeclaration, Entry, Options> = Entry extends readonly unknown[]
  ? readonly Declaration['messages'][number][]
  : Known<Entry, Options> & { readonly messages: readonly Declaration['messages'][number][] };

type Placed<Backends, Name, Entry> = Backends extends MessagingBackend
  ? Entry extends { readonly backend: unknown }
    ? { readonly backend: 'There is one backend: it has no name.' }
    : unknown
  : Entry extends { readonly backend: unknown }
    ? { readonly backend: keyof Backends | readonly (keyof Backends)[] }
    : Name extends keyof Backends
      ? unknown
      : 'default' extends keyof Backends
        ? unknown
        : { readonly backend: keyof Backends };

type FeaturesAt<Backends, Name, Entry> =
  Backends extends MessagingBackend<infer Features>
    ? Features
    : Entry extends { readonly backend: infer Backend extends keyof Backends }
      ? FeaturesOf<Backends[Backend]>
      : Name extends keyof Backends
        ? FeaturesOf<Backends[Name]>
        : 'default' extends keyof Backends
          ? FeaturesOf<Backends['default' & keyof Backends]>
          : Capabilities;

type FeaturesOf<Backend> = Backend extends { readonly capabilities: infer Features extends Capabilities }
  ? Features
  : Capabilities;
