import { appendFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { AuditEntry, DashboardQueue } from '@melange/dashboard';
import type { Connections } from '../connect/connections.ts';
import { type CommandContext, wholeNumber } from '../context.ts';
import { CommandError, describe, exitCode, usageError } from '../exit-codes.ts';

interface DashboardCommandOptions {
  readonly port: string;
  readonly host: string;
  readonly allowChanges?: boolean;
  readonly audit?: string;
}

/** `dashboard` */
export async function dashboard(
  { connections, output, signal, surroundings }: CommandContext,
  { port, host, allowChanges = false, audit }: DashboardCommandOptions,
  ...names: string[]
): Promise<number> {
  const portNumber = wholeNumber('--port', port, 0);
  const token = surroundings.env.MELANGE_DASHBOARD_TOKEN;
  const queues = await queuesOf(await connections(), names);
  // Its server is loaded by this command alone.
  const { serveDashboard } = await import('@melange/dashboard');
  const written = audit === undefined ? undefined : resolve(surroundings.cwd, audit);
  const served = await serveDashboard({
    queues,
    port: portNumber,
    host,
    allowChanges,
    ...(token !== undefined && token !== '' && { token }),
    audit(entry: AuditEntry) {
      const line = JSON.stringify(entry);
      if (written === undefined) output.note(line);
      else
        appendFile(written, `${line}\n`).catch((error: unknown) =>
          output.note(`The audit log could not be written: ${describe(error)}`, 'warning'),
        );
    },
  });
  if (output.json) output.data({ url: served.url, allowChanges });
  else output.line(`${served.url} ${allowChanges ? 'redrives and discards' : 'reads only'}; Ctrl-C ends it`);
  await ended(signal);
  await served.close();
  return exitCode.done;
}

/** Those that are named, wherever they are; else those of the config, without the dead-letter queues, which are shown with theirs. */
async function queuesOf(
  connections: Connections,
  names: readonly string[],
): Promise<readonly DashboardQueue[]> {
  const wanted = names.length > 0 ? names : [...new Set(connections.all.flatMap(({ queues }) => queues))];
  if (wanted.length === 0) throw usageError('Name the queues: brokers do not list them, a config does.');
  const places = (await Promise.all(wanted.map((name) => connections.places(name)))).flat();
  if (places.length === 0)
    throw new CommandError(
      `No broker has ${wanted.map((name) => `"${name}"`).join(', ')}.`,
      exitCode.notFound,
    );
  const keyOf = (broker: string, queue: string): string => JSON.stringify([broker, queue]);
  const dead = new Set(
    places.map(({ connection, description }) => keyOf(connection.name, description.deadLetterQueue ?? '')),
  );
  const shown =
    names.length > 0
      ? places
      : places.filter(({ connection, queue }) => !dead.has(keyOf(connection.name, queue)));
  return shown.map(({ connection, queue, description: { deadLetterQueue } }) => ({
    name: queue,
    backend: connection.backend,
    broker: connection.name,
    ...(deadLetterQueue !== undefined && { deadLetterQueue }),
  }));
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
