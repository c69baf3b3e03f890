import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { type MessagingBackend, silentLogger } from '@melange/core';
import { DeadLetters, type RedriveOptions, type RedriveResult, type Summary } from '@melange/dead-letters';
import { type CommandContext, wholeNumber } from '../context.ts';
import { describe, exitCode, usageError } from '../exit-codes.ts';
import { brief } from '../output/harmless.ts';
import type { Output } from '../output/output.ts';
import { Progress } from '../output/progress.ts';
import { durationOf, type FilterOptions, filterOf, timeOf } from './dead-filter.ts';
import { incomplete } from './dead-look.ts';

/** Options of `dead redrive`. */
export interface RedriveCommandOptions extends FilterOptions {
  readonly to?: string;
  readonly rate?: string;
  readonly first?: string;
  readonly patience?: string;
  readonly until?: string;
  readonly yes?: boolean;
}

/** `dead redrive` */
export async function redrive(
  { connections, output, signal }: CommandContext,
  options: RedriveCommandOptions,
  name: string,
): Promise<number> {
  const filter = filterOf(options);
  const { to, rate, first, patience } = options;
  if (patience !== undefined && first === undefined) throw usageError('--patience is for --first.');
  const until = options.until === undefined ? new Date() : timeOf('--until', options.until);
  const { connection, queue, description } = await (await connections()).findDeadLetterQueue(name);
  const letters = new DeadLetters({ backend: connection.backend });
  if (options.yes !== true) {
    const summary = await letters.summarize(queue, { filter, signal });
    const destination = to === undefined ? sourcesOf(summary) : [`${summary.count} to ${to}`];
    return wouldDo(output, queue, summary, 'move', destination);
  }
  const progress = new Progress(output, 'moved');
  // Of a filter nobody knows before how many letters it means.
  const total = Object.keys(filter).length === 0 ? description.depth : undefined;
  const settings: RedriveOptions = {
    filter,
    until,
    signal,
    ...(to !== undefined && { to }),
    ...(rate !== undefined && { maxPerSecond: wholeNumber('--rate', rate, 1) }),
    ...(first !== undefined && {
      canary: {
        first: wholeNumber('--first', first, 1),
        ...(patience !== undefined && { patienceMs: durationOf('--patience', patience) }),
      },
    }),
    onProgress: ({ moved, failed }) => progress.show({ done: moved, total, failed }),
  };
  if (first !== undefined)
    output.note(`${first} first; the others follow if none of them is back within ${patience ?? '5m'}`);
  const result = await letters.redrive(queue, settings).finally(() => progress.end());
  return redriven(output, queue, result);
}

function redriven(output: Output, queue: string, result: RedriveResult): number {
  const { matched, moved, failed, failures, stopped, isComplete, until } = result;
  if (output.json)
    output.data({
      queue,
      dryRun: false,
      matched,
      moved,
      failed,
      until,
      isComplete,
      stopped,
      failures: failures.map(({ messageId, error, state }) => ({ messageId, state, error: describe(error) })),
    });
  else {
    output.line(`moved ${moved} of ${matched}${failed > 0 ? `, ${failed} failed` : ''}`);
    for (const { messageId, error, state } of failures.slice(0, 10)) {
      const where =
        state === 'not-moved' ? 'it stays here' : 'it is here, and perhaps there too, with one id';
      output.line(`  ${brief(messageId, 60)}: ${brief(describe(error), 160)} (${where})`);
    }
    if (failures.length > 10) output.line(`  … and ${failures.length - 10} more: --json`);
  }
  if (stopped !== undefined) {
    const why = { aborted: 'Interrupted', 'lock lost': 'Another process took the redrive over' }[
      stopped as string
    ];
    const text =
      why ??
      (stopped === 'canary failed' ? 'A first letter failed again' : 'The first letters were not processed');
    output.note(`${text}: the others stay. To go on: --until ${until.toISOString()}`, 'warning');
    return stopped === 'aborted' ? exitCode.interrupted : exitCode.attention;
  }
  if (!isComplete) output.note(incomplete, 'warning');
  return failed > 0 || !isComplete ? exitCode.attention : exitCode.done;
}

/** `dead discard` */
export async function discard(
  { connections, output, signal }: CommandContext,
  options: FilterOptions & { readonly yes?: boolean },
  name: string,
): Promise<number> {
  const filter = filterOf(options);
  const { connection, queue } = await (await connections()).findDeadLetterQueue(name);
  const letters = new DeadLetters({ backend: connection.backend });
  if (options.yes !== true) {
    const summary = await letters.summarize(queue, { filter, signal });
    return wouldDo(output, queue, summary, 'discard', [`${summary.count} for good: export them first`]);
  }
  const result = await letters.discard(queue, { filter, signal });
  if (output.json)
    output.data({ queue, dryRun: false, discarded: result.count, isComplete: result.isComplete });
  else output.line(`discarded ${result.count}`);
  if (signal.aborted) return exitCode.interrupted;
  if (result.isComplete) return exitCode.done;
  output.note(incomplete, 'warning');
  return exitCode.attention;
}

/** `dead import` */
export async function importLetters(
  { connections, output, surroundings }: CommandContext,
  { yes = false }: { readonly yes?: boolean },
  name: string,
  file?: string,
): Promise<number> {
  const { connection, queue } = await (await connections()).find(name);
  const lines = (): AsyncIterable<string> => {
    const input =
      file === undefined || file === '-' ? Readable.from(surroundings.stdin) : createReadStream(file);
    // readline is told of an error of its input only by the iteration of it.
    const reader = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
    return withErrorsOf(input, reader);
  };
  if (!yes) {
    // The same checks, and nothing is sent.
    const nowhere = { publishToQueue: async () => undefined } as unknown as MessagingBackend;
    const count = await new DeadLetters({ backend: nowhere, logger: silentLogger }).import(queue, lines());
    if (output.json) output.data({ queue, dryRun: true, count });
    else output.line(`would publish ${count} messages to ${queue}`);
    output.note('Nothing was changed. To do it: --yes');
    return exitCode.done;
  }
  const count = await new DeadLetters({ backend: connection.backend }).import(queue, lines());
  if (output.json) output.data({ queue, dryRun: false, count });
  else output.line(`published ${count} messages to ${queue}`);
  return exitCode.done;
}

async function* withErrorsOf(input: Readable, lines: AsyncIterable<string>): AsyncGenerator<string> {
  let failure: Error | undefined;
  input.once('error', (error) => {
    failure = error;
  });
  yield* lines;
  if (failure !== undefined) throw usageError(describe(failure));
}

function wouldDo(
  output: Output,
  queue: string,
  summary: Summary,
  verb: string,
  where: readonly string[],
): number {
  if (output.json) output.data({ queue, dryRun: true, ...summary });
  else {
    output.line(`would ${verb} ${summary.count} dead letters of ${queue}`);
    for (const text of where) output.line(`  ${brief(text, 200)}`);
    for (const { count, group, errorName, errorMessage } of summary.groups)
      output.line(`  ${count}  ${group}  ${brief(`${errorName ?? ''}: ${errorMessage ?? ''}`, 100)}`);
  }
  if (!summary.isComplete) output.note(incomplete, 'warning');
  output.note('Nothing was changed. To do it: --yes');
  return exitCode.done;
}

function sourcesOf({ groups, count }: Summary): string[] {
  const counts = new Map<string, number>();
  for (const { sourceQueues } of groups)
    for (const [queue, number] of Object.entries(sourceQueues))
      counts.set(queue, (counts.get(queue) ?? 0) + number);
  const known = [...counts.values()].reduce((sum, number) => sum + number, 0);
  const texts = [...counts].map(([queue, number]) => `${number} to ${queue}`);
  if (known < count) texts.push(`${count - known} do not say where they failed: they need --to <queue>`);
  return texts;
}
