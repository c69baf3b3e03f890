import { isBrowsable } from '@melange/core';
import type { Connection } from '../connect/connections.ts';
import type { CommandContext } from '../context.ts';
import { describe, exitCode, usageError } from '../exit-codes.ts';
import type { Output } from '../output/output.ts';
import { durationOf } from './dead-filter.ts';

interface QueueState {
  readonly queue: string;
  readonly backend: string;
  readonly exists: boolean;
  readonly depth?: number;
  readonly inFlight?: number | undefined;
  readonly deadLetterQueue?: string | undefined;
  readonly deadLetters?: number | undefined;
  /** When the first message that waits was published, where the broker can be browsed. */
  readonly oldest?: Date | undefined;
  readonly error?: string;
}

/** `queues` */
export async function queues(
  { connections, output, signal }: CommandContext,
  { watch }: { readonly watch?: string | true },
  ...names: string[]
): Promise<number> {
  const everyMs = watch === undefined ? undefined : durationOf('--watch', watch === true ? '2s' : watch);
  const all = await connections();
  const known = all.all.some((connection) => connection.queues.length > 0);
  if (names.length === 0 && !known)
    throw usageError('Name the queues: brokers do not list them, a config does.');
  for (;;) {
    const states = (await Promise.all(all.all.map((one) => statesOf(one, names)))).flat();
    const shown =
      names.length > 0 && all.all.length > 1 ? states.filter(({ exists, error }) => exists || error) : states;
    if (everyMs === undefined) {
      show(output, shown);
      if (shown.some(({ error }) => error !== undefined)) return exitCode.failed;
      const missing = names.filter((name) => !shown.some(({ queue, exists }) => queue === name && exists));
      return missing.length > 0 ? exitCode.notFound : exitCode.done;
    }
    if (output.isTerminal && !output.json) output.clear();
    if (output.json) output.dataLine({ time: new Date(), queues: shown });
    else {
      output.line(output.tone('faint', new Date().toISOString()));
      show(output, shown);
    }
    await pause(everyMs, signal);
    if (signal.aborted) return exitCode.done;
  }
}

function show(output: Output, states: readonly QueueState[]): void {
  if (output.json) {
    output.data(states);
    return;
  }
  output.table(
    ['queue', 'backend', 'waiting', 'in flight', 'dead letters', 'oldest'],
    states.map(({ queue, backend, exists, depth, inFlight, deadLetters, oldest, error }) => {
      if (error !== undefined) return [queue, backend, '?', '?', '?', error];
      if (!exists) return [queue, backend, 'missing', '-', '-', '-'];
      return [
        queue,
        backend,
        String(depth),
        text(inFlight),
        text(deadLetters),
        oldest === undefined ? '-' : age(oldest),
      ];
    }),
  );
}

function statesOf(connection: Connection, names: readonly string[]): Promise<QueueState[]> {
  const wanted = names.length > 0 ? names : connection.queues;
  return Promise.all(wanted.map((queue) => stateOf(connection, queue)));
}

async function stateOf({ backend, name }: Connection, queue: string): Promise<QueueState> {
  try {
    const { exists, depth, inFlight, deadLetterQueue } = await backend.describeQueue(queue);
    if (!exists) return { queue, backend: name, exists };
    const dead = deadLetterQueue === undefined ? undefined : await backend.describeQueue(deadLetterQueue);
    const page = isBrowsable(backend) ? await backend.browseQueue(queue, { limit: 1 }) : undefined;
    const published = page?.messages[0]?.publishedAt;
    return {
      queue,
      backend: name,
      exists,
      depth,
      inFlight,
      deadLetterQueue,
      deadLetters: dead?.depth,
      oldest: published === undefined ? undefined : new Date(published),
    };
  } catch (error) {
    return { queue, backend: name, exists: false, error: describe(error) };
  }
}

function text(count: number | undefined): string {
  return count === undefined ? '-' : String(count);
}

/** How long ago, in its largest unit. */
function age(time: Date): string {
  const seconds = Math.max(0, Math.round((Date.now() - time.getTime()) / 1_000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`;
}

/** Waits, or until it is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(end, milliseconds);
    function end(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      resolve();
    }
    signal.addEventListener('abort', end, { once: true });
  });
}
