import { randomUUID } from 'node:crypto';
import type { PullDriver, Received } from '@melange/backend-kit';
import type { Clock } from '@melange/core';
import type { RedisClient, ScriptParameter } from '../client.ts';
import { explain } from '../errors.ts';
import type { RedisStreamsSettings } from '../options.ts';
import {
  type Entry,
  type EntryFields,
  fromEntry,
  packedFields,
  toCopy,
  toDeadLetter,
} from '../wire/entry.ts';
import { unpackedStrings } from '../wire/packed.ts';
import { acknowledge, leave, release, renew, replace, take } from './scripts.ts';

/** Entries of one answer, and ids of one script: other clients have their turn between two. */
const maxTaken = 128;
const maxIds = 1_000;
/** Leases that ended are looked for at half of a lease, and at least so often, in ms. */
const maxLookMs = 5_000;

/** An entry of a stream that is ours. */
export interface TakenEntry extends Received, Entry {}

/** How messages are received and settled: by a consumer of the queue's group. Scripts settle only what is pending for it. */
export function takingEntries(
  client: RedisClient,
  { leaseMs, pollMs }: RedisStreamsSettings,
  clock: Clock,
): PullDriver<TakenEntry> {
  const open: PullDriver<TakenEntry>['open'] = ({ queue, maxInFlight, wake, held, takenBack }) => {
    const consumer = randomUUID();
    const run = (script: string, parameters: readonly ScriptParameter[]): Promise<unknown> =>
      client.run(script, [queue, consumer, ...parameters]);
    const stopWaking = client.onWake(queue, wake);
    /** By the monotonic clock: when leases that ended are looked for again. */
    let looksForEndedAt = 0;
    /** Redis may have given us entries by an answer that was lost or came late. */
    let mayHoldUnknown = false;
    return {
      // Redis looks for one half while the other one is handled.
      maxMessagesPerTake: Math.min(maxTaken, Math.ceil(maxInFlight / 2)),
      async take(max) {
        const asked = clock.monotonicNow();
        const looksForEnded = asked >= looksForEndedAt;
        if (looksForEnded) looksForEndedAt = asked + Math.min(leaseMs / 2, maxLookMs);
        const recovers = mayHoldUnknown;
        // Unless the answer comes.
        mayHoldUnknown = true;
        const looks = [looksForEnded ? 1 : 0, recovers ? 1 : 0];
        const asking = run(take, [max, leaseMs, ...looks, ...(recovers ? idsOf(held()) : [])]);
        const answer = await asking.catch((error: unknown) => {
          if (explain(error).kind === 'missing') takenBack(held(), 'Its queue was deleted.');
          throw error;
        });
        const [entries, dueMs] = answer as readonly [readonly Buffer[], number];
        // Leases that ended on the way may be somebody else's: the next request tells which are ours, and renews them.
        if (entries.length > 0 && clock.monotonicNow() - asked >= leaseMs)
          return { taken: [], nextMs: 0, isEmpty: false };
        // There may be more than there was room for.
        mayHoldUnknown = recovers && entries.length >= max;
        const nextMs = dueMs < 0 ? pollMs : Math.min(pollMs, dueMs + 1);
        return { taken: entries.map((entry) => takenOf(entry, asked)), nextMs };
      },
      async acknowledge(batch) {
        await run(acknowledge, idsOf(batch));
        return undefined;
      },
      async retry(taken, again) {
        await run(replace, [taken.id, queue, Math.ceil(again.delayMs), packed(toCopy(taken, again))]);
      },
      async deadLetter(taken, deadLetterQueue, copy) {
        await run(replace, [taken.id, deadLetterQueue, 0, packed(toDeadLetter(taken, copy))]);
      },
      async release(batch, wereRunning) {
        for (let start = 0; start < batch.length; start += maxIds)
          await run(release, [wereRunning ? 0 : 1, ...idsOf(batch.slice(start, start + maxIds))]);
      },
      leases: {
        leaseMs,
        maxPerRenewal: maxIds,
        async renew(batch) {
          const lost = new Set(((await run(renew, idsOf(batch))) as readonly Buffer[]).map(String));
          return batch.filter(({ id }) => lost.has(id));
        },
      },
      async close() {
        stopWaking();
        await run(leave, []);
      },
    };
  };
  return { kind: 'pull', open };
}

function takenOf(packedEntry: Buffer, leasedAt: number): TakenEntry {
  const [id = '', deliveries, ...fields] = unpackedStrings(packedEntry.toString('latin1'));
  const { message, attempt, redeliveries } = fromEntry(id, fields, Math.max(0, Number(deliveries) - 1));
  return { id, fields, message, attempt, redeliveries, leasedAt };
}

function packed(fields: EntryFields): Buffer {
  return Buffer.from(packedFields(fields), 'latin1');
}

function idsOf(batch: readonly TakenEntry[]): string[] {
  return batch.map(({ id }) => id);
}
