import type { BrowsableBackend, BrowsePage, MessagingBackend } from '@melange/core';
import { altered, type Mutant } from './altered-backends.ts';

type Browse = BrowsableBackend['browseQueue'];

/** Alters how queues are browsed. */
function browsing(
  defect: string,
  caughtBy: string,
  change: (browse: Browse, backend: BrowsableBackend) => Browse,
): Mutant<MessagingBackend> {
  return {
    defect,
    caughtBy,
    alter: (healthy) => {
      const backend = healthy as BrowsableBackend;
      return altered(backend, { browseQueue: change(backend.browseQueue.bind(backend), backend) });
    },
  };
}

function pages(change: (page: BrowsePage) => BrowsePage): (browse: Browse) => Browse {
  return (browse) => async (queue, options) => change(await browse(queue, options));
}

/** Looks into a queue by receiving from it. */
function byReceiving(settle: 'acknowledge' | 'retry'): (browse: Browse, backend: BrowsableBackend) => Browse {
  return (browse, backend) => async (queue, options) => {
    const page = await browse(queue, options);
    const subscription = await backend.subscribe(
      queue,
      { maxInFlight: 100, untilEmpty: true },
      (delivery) => {
        void delivery[settle]();
        if (settle === 'retry') void subscription.close();
      },
    );
    await subscription.ended;
    await subscription.close();
    return page;
  };
}

/** Defects of browsing, and the behaviour that must find each. */
export const mutantBrowsing: readonly Mutant<MessagingBackend>[] = [
  browsing(
    'browsing loses headers',
    'browse/as-published',
    pages((page) => ({ ...page, messages: page.messages.map((one) => ({ ...one, headers: {} })) })),
  ),
  browsing(
    'pages ignore the limit',
    'browse/pages',
    (browse) =>
      (queue, { limit: _, ...options } = {}) =>
        browse(queue, options),
  ),
  browsing(
    'pages begin with the last message of the page before',
    'browse/pages',
    (browse) =>
      (queue, { after, ...options } = {}) =>
        browse(queue, after === undefined ? options : { ...options, after: String(Number(after) - 1) }),
  ),
  browsing(
    'only the first page can be browsed',
    'browse/pages',
    pages(({ messages }) => ({ messages, next: undefined })),
  ),
  browsing('browsing acknowledges', 'browse/takes-nothing', byReceiving('acknowledge')),
  browsing('browsing counts as an attempt', 'browse/takes-nothing', byReceiving('retry')),
  browsing(
    'messages in flight are not browsed',
    'browse/in-flight',
    (browse, backend) => async (queue, options) => {
      const { messages, next } = await browse(queue, options);
      const { inFlight = 0 } = await backend.describeQueue(queue);
      return { messages: messages.slice(inFlight), next };
    },
  ),
  browsing("what was browsed is the queue's own", 'browse/own-copies', (browse, backend) => {
    const shown = new Map<string, unknown>();
    const subscribe = backend.subscribe.bind(backend);
    Object.assign(backend, {
      subscribe: ((queue, options, receive) =>
        subscribe(queue, options, (delivery) =>
          receive(altered(delivery, (shown.get(delivery.message.id) ?? {}) as object)),
        )) satisfies MessagingBackend['subscribe'],
    });
    return async (queue, options) => {
      const page = await browse(queue, options);
      for (const message of page.messages) shown.set(message.id, { message });
      return page;
    };
  }),
  browsing(
    'pages are counted from the front',
    'browse/while-consumed',
    (browse) =>
      async (queue, options = {}) => {
        const { limit = 100, after = '0' } = options;
        const all = await browse(queue, { limit: 1_000 });
        const end = Number(after) + limit;
        return {
          messages: all.messages.slice(Number(after), end),
          next: end < all.messages.length ? String(end) : undefined,
        };
      },
  ),
  browsing(
    'a missing queue is an empty one',
    'browse/refusals',
    (browse) => (queue, options) => browse(queue, options).catch(() => ({ messages: [], next: undefined })),
  ),
];
