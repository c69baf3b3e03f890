import { MelangeError, type Message, type MessagingBackend, type PublishFailure } from '@melange/core';
import { splitDestination } from '../database/names.ts';
import type { ClaimedRow } from './exchange.ts';

/** What became of one row. `returned`: not tried, as an earlier one of its lane failed. */
export type RowOutcome =
  | { readonly kind: 'published' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'refused'; readonly error: unknown }
  | { readonly kind: 'returned' };

/** How rows are published. */
export interface PublishRowsOptions {
  readonly backend: Pick<MessagingBackend, 'publishToQueue' | 'publishToTopic'>;
  readonly deadlineMs: number;
  /** Whether the broker will never take it. */
  readonly isRefused: (error: unknown, row: ClaimedRow) => boolean;
  /** Whether to go on with what was not begun. */
  readonly mayGoOn: () => boolean;
  readonly onOutcome: (row: ClaimedRow, outcome: RowOutcome) => void;
  /** Told after each call: an error of it when the destination took nothing, and whether any message was tried for the first time. */
  readonly onCall: (destination: string, wholeFailure: unknown, isFirstTry: boolean) => void;
}

/**
 * Publishes rows of one destination: those without a lane at once, those of a lane one after the other, each when the one before it is
 * confirmed. A broker may refuse one message of a call and take the next: that would be the end of their order.
 *
 * Never rejects.
 */
export async function publishRows(
  destination: string,
  rows: readonly ClaimedRow[],
  options: PublishRowsOptions,
): Promise<void> {
  const lanes = new Map<string, ClaimedRow[]>();
  let wave: ClaimedRow[] = [];
  for (const row of rows) {
    const lane = row.lane === undefined ? undefined : lanes.get(row.lane);
    if (lane !== undefined) lane.push(row);
    else wave.push(row);
    if (row.lane !== undefined && lane === undefined) lanes.set(row.lane, []);
  }
  while (wave.length > 0) {
    if (!options.mayGoOn()) {
      for (const row of wave) giveBack(row, lanes, options, { kind: 'returned' });
      return;
    }
    const failures = await publishOnce(destination, wave, options);
    const next: ClaimedRow[] = [];
    let isWholeFailure = failures.size > 0;
    for (const row of wave) {
      if (!failures.has(row.message.id)) {
        isWholeFailure = false;
        options.onOutcome(row, { kind: 'published' });
      } else {
        const error = failures.get(row.message.id);
        const isRefused = options.isRefused(error, row);
        if (isRefused) isWholeFailure = false;
        if (!isRefused) {
          giveBack(row, lanes, options, { kind: 'failed', error });
          continue;
        }
        options.onOutcome(row, { kind: 'refused', error });
      }
      const following = row.lane === undefined ? undefined : lanes.get(row.lane)?.shift();
      if (following !== undefined) next.push(following);
    }
    options.onCall(
      destination,
      isWholeFailure ? failures.values().next().value : undefined,
      wave.some(({ attempts }) => attempts === 0),
    );
    wave = next;
  }
}

/** The row, and what waits for it. */
function giveBack(
  row: ClaimedRow,
  lanes: ReadonlyMap<string, readonly ClaimedRow[]>,
  { onOutcome }: PublishRowsOptions,
  outcome: RowOutcome,
): void {
  onOutcome(row, outcome);
  const followers = row.lane === undefined ? [] : (lanes.get(row.lane) ?? []);
  for (const follower of followers) onOutcome(follower, { kind: 'returned' });
}

/** Errors by the ids of messages. */
async function publishOnce(
  destination: string,
  rows: readonly ClaimedRow[],
  { backend, deadlineMs }: PublishRowsOptions,
): Promise<ReadonlyMap<string, unknown>> {
  const messages: Message[] = rows.map(({ message }) => message);
  const { kind, name } = splitDestination(destination);
  try {
    if (kind === 'queue') await backend.publishToQueue(name, messages, { deadlineMs });
    else await backend.publishToTopic(name, messages, { deadlineMs });
    return new Map();
  } catch (error) {
    if (MelangeError.is(error, 'PUBLISH_FAILED')) {
      const { failures } = error as MelangeError & { readonly failures?: readonly PublishFailure[] };
      if (failures !== undefined && failures.length > 0)
        return new Map(failures.map(({ messageId, error: cause }) => [messageId, cause]));
    }
    return new Map(messages.map(({ id }) => [id, error]));
  }
}
