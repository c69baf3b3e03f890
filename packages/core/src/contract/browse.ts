import type { Capabilities, MessagingBackend } from './backend.ts';
import type { Message } from './message.ts';

/** What a backend must declare to be a `BrowsableBackend`. */
export type BrowseCapabilities = Capabilities & { readonly browse: true };

/** A backend whose queues can be looked into without taking anything out. */
export interface BrowsableBackend<Features extends BrowseCapabilities = BrowseCapabilities>
  extends MessagingBackend<Features> {
  /**
   * Messages of a queue, page by page, as each was published. Nothing is taken, held or counted: subscribers, attempts and
   * redeliveries are as before. Messages in flight are among them; those that wait for a delay are not.
   *
   * The order is the queue's, where the broker has one. A message that stays in its place from the first page to the last
   * is on exactly one page; one that comes, goes, or is retried meanwhile may be missing, or be there twice. Where the broker keeps messages in
   * place after they were settled, one that was settled may be there while an earlier one is not settled.
   *
   * @throws QueueNotFoundError when the queue does not exist.
   * @throws BrokerUnavailableError when the broker cannot be reached.
   * @throws MelangeError `CONFIGURATION` when `limit` is no whole number of at least 1, or `after` comes from no page.
   */
  browseQueue(queue: string, options?: BrowseOptions): Promise<BrowsePage>;
}

/** Which page. */
export interface BrowseOptions {
  /** `next` of the page before. Default: the first page. */
  readonly after?: string;
  /** Most messages of the page. Default: 100. */
  readonly limit?: number;
}

/** A part of a queue. */
export interface BrowsePage {
  /** Fewer than the limit, or none, also where more follow. */
  readonly messages: readonly Message[];
  /** Where the next page begins, for `after`; `undefined` when this one is the last. Its text is the adapter's own affair. */
  readonly next: string | undefined;
}

/** Whether the queues of a backend can be browsed, for code that takes any backend. */
export function isBrowsable(backend: MessagingBackend): backend is BrowsableBackend {
  return backend.capabilities.browse;
}
