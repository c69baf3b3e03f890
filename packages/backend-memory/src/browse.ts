import { type BrowseDriver, badCursor } from '@melange/backend-kit';
import type { Broker } from './client/broker.ts';
import { copied } from './wire.ts';

/** Looks into queues: a cursor is the place of the last message of its page. */
export function browsing(broker: Broker): BrowseDriver {
  return {
    browse(name, { after, limit }) {
      if (after !== undefined && !/^\d{1,15}$/.test(after)) throw badCursor(after);
      const sequence = Number(after ?? 0);
      const found = broker.queue(name).after(sequence, limit + 1);
      const entries = found.slice(0, limit);
      const next = found.length > limit ? String(entries.at(-1)?.sequence) : undefined;
      return { messages: entries.map(({ message }) => copied(message)), next };
    },
  };
}
