import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { silentLogger } from '@melange/core';
import { type DeadLetter, DeadLetters } from '@melange/dead-letters';
import { type CommandContext, wholeNumber } from '../context.ts';
import { CommandError, exitCode } from '../exit-codes.ts';
import { brief } from '../output/harmless.ts';
import { briefContent, contentOf, fact, messageData, shownContent } from '../output/message-text.ts';
import { Progress } from '../output/progress.ts';
import { type FilterOptions, filterOf } from './dead-filter.ts';

/** A note where not all letters were looked at. */
export const incomplete =
  'Not every letter was looked at: more wait than are held at once. What is moved or discarded makes room.';

/** `dead list` */
export async function list(
  { connections, output, signal }: CommandContext,
  options: FilterOptions & { readonly limit: string },
  name: string,
): Promise<number> {
  const limit = wholeNumber('--limit', options.limit, 1);
  const filter = filterOf(options);
  const { connection, queue } = await (await connections()).findDeadLetterQueue(name);
  const letters = new DeadLetters({ backend: connection.backend });
  const result = await letters.list(queue, { limit, filter, signal });
  if (output.json) {
    output.data({ queue, backend: connection.name, ...result, letters: result.letters.map(letterData) });
    return exitCode.done;
  }
  output.table(
    ['id', 'dead since', 'manifest', 'failed in', 'consumer', 'attempts', 'error'],
    result.letters.map((letter) => [
      letter.message.id,
      letter.deadLetteredAt?.toISOString() ?? '-',
      letter.message.manifest ?? '-',
      letter.sourceQueue ?? '-',
      letter.consumer ?? '-',
      String(letter.attempts ?? '-'),
      brief(errorText(letter), 80),
    ]),
  );
  if (result.letters.length === limit && !result.isComplete)
    output.note(`The first ${limit}: more with --limit.`);
  else if (!result.isComplete) output.note(incomplete, 'warning');
  return exitCode.done;
}

/** `dead summarize` */
export async function summarize(
  { connections, output, signal }: CommandContext,
  options: FilterOptions,
  name: string,
): Promise<number> {
  const filter = filterOf(options);
  const { connection, queue } = await (await connections()).findDeadLetterQueue(name);
  const summary = await new DeadLetters({ backend: connection.backend }).summarize(queue, { filter, signal });
  if (output.json) {
    output.data({ queue, backend: connection.name, ...summary });
    return exitCode.done;
  }
  output.line(`${summary.count} dead letters in ${queue}, in ${summary.groups.length} groups`);
  if (summary.groups.length > 0) output.line();
  output.table(
    ['count', 'group', 'reason', 'consumer', 'error', 'first', 'last', 'example'],
    summary.groups.map((group) => [
      String(group.count),
      group.group,
      group.reason ?? '-',
      group.consumer ?? '-',
      brief([group.errorName, group.errorMessage].filter(Boolean).join(': ') || '-', 80),
      group.first?.toISOString() ?? '-',
      group.last?.toISOString() ?? '-',
      group.example,
    ]),
  );
  if (!summary.isComplete) output.note(incomplete, 'warning');
  return exitCode.done;
}

/** `dead show` */
export async function show(
  { connections, output, signal }: CommandContext,
  { full = false }: { readonly full?: boolean },
  name: string,
  id: string,
): Promise<number> {
  const all = await connections();
  const { connection, queue } = await all.findDeadLetterQueue(name);
  const letter = await new DeadLetters({ backend: connection.backend }).show(queue, id, { signal });
  if (letter === undefined)
    throw new CommandError(`No dead letter of "${queue}" has the id "${id}".`, exitCode.notFound);
  const content = await contentOf(letter.message, (message) => all.read(message));
  if (output.json) {
    output.data({ ...letterData(letter), message: messageData(letter.message, content) });
    return exitCode.done;
  }
  const { message } = letter;
  output.line(fact('id', message.id));
  output.line(fact('manifest', message.manifest));
  output.line(fact('serializer', String(message.serializerId ?? '-')));
  output.line(fact('key', message.key));
  output.line(fact('published', new Date(message.publishedAt ?? Number.NaN).toJSON() ?? '-'));
  output.line(fact('dead since', letter.deadLetteredAt?.toISOString()));
  output.line(fact('failed in', letter.sourceQueue));
  output.line(fact('reason', letter.reason));
  output.line(fact('consumer', letter.consumer));
  output.line(fact('attempts', letter.attempts?.toString()));
  output.line(fact('error', errorText(letter)));
  output.line(fact('cause', letter.errorCause));
  output.line(fact('redriven', String(letter.redriven)));
  output.line('headers');
  const width = Math.max(...Object.keys(message.headers).map((header) => header.length), 0);
  for (const [header, value] of Object.entries(message.headers))
    output.line(`  ${fact(header, value, width)}`);
  output.line('content');
  output.line(shownContent(content, full));
  return exitCode.done;
}

/** `dead export` */
export async function exportLetters(
  { connections, output, signal, surroundings }: CommandContext,
  options: FilterOptions & { readonly output?: string },
  name: string,
): Promise<number> {
  const filter = filterOf(options);
  const { connection, queue } = await (await connections()).findDeadLetterQueue(name);
  const letters = new DeadLetters({ backend: connection.backend, logger: silentLogger });
  const progress = new Progress(output, 'exported');
  let done = 0;
  const tell = (): void => {
    done += 1;
    progress.show({ done, total: undefined, failed: 0 });
  };
  let result: Awaited<ReturnType<DeadLetters['export']>>;
  if (options.output === undefined) {
    const { stdout } = surroundings;
    result = await letters.export(
      queue,
      async (line) => {
        if (stdout.write(`${line}\n`) === false && 'once' in stdout) await once(stdout as never, 'drain');
        tell();
      },
      { filter, signal },
    );
  } else {
    // A file that is there already may be the only copy of other letters.
    const file = createWriteStream(options.output, { flags: 'wx', mode: 0o600 });
    await once(file, 'open');
    result = await letters.export(
      queue,
      async (line) => {
        if (!file.write(`${line}\n`)) await once(file, 'drain');
        tell();
      },
      { filter, signal },
    );
    file.end();
    await once(file, 'close');
  }
  progress.end();
  output.note(`exported ${result.count} of ${queue}; they stay there`);
  if (output.json && options.output !== undefined) output.data({ queue, ...result, file: options.output });
  if (signal.aborted) return exitCode.interrupted;
  if (result.isComplete) return exitCode.done;
  output.note(incomplete, 'warning');
  return exitCode.attention;
}

/** A letter as data, its content on one line. */
export function letterData({ message, ...letter }: DeadLetter): Record<string, unknown> {
  const { id, manifest, key, headers, publishedAt } = message;
  return {
    id,
    manifest,
    key,
    publishedAt: publishedAt === undefined ? undefined : new Date(publishedAt),
    ...letter,
    headers,
    preview: briefContent(message, 200),
  };
}

function errorText({ errorName, errorMessage }: DeadLetter): string {
  return [errorName, errorMessage].filter((part) => part !== undefined && part !== '').join(': ') || '-';
}
