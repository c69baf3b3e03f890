import type { MaybePromise } from './maybe-promise.ts';
import type { MessageContent } from './message.ts';

/** Turns values into content and back. */
export interface Serializer {
  /** Number on the wire, the same in every service: JSON is 1, protobuf is 3; 2 is Python's pickle and refused. */
  readonly identifier: number;
  /** Media type of what it makes, such as `application/json`, for clients that go by it. Default: none is sent. */
  readonly contentType?: string;
  /** Name of the value's shape. */
  manifest(value: unknown): string;
  /**
   * @throws SerializationError when the value cannot be carried or is not valid.
   */
  serialize(value: unknown): MaybePromise<MessageContent>;
  /**
   * @param manifest as received; `undefined` on a foreign message.
   * @throws SerializationError for whatever is wrong with the content; never another error.
   */
  deserialize(content: MessageContent, manifest: string | undefined): MaybePromise<unknown>;
}
