import type { Logger, MessagingBackend } from '@melange/core';
import type { Command } from 'commander';
import { brokers, openBroker } from './connect/brokers.ts';
import { Connections } from './connect/connections.ts';
import { loadConfig } from './connect/load-config.ts';
import { describe, usageError } from './exit-codes.ts';
import { Output, type Sink } from './output/output.ts';
import { Secrets } from './output/secrets.ts';

/** What the command is run with. */
export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: AsyncIterable<Uint8Array | string> & { readonly isTTY?: boolean };
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}

/** Options that each command takes. */
export interface GlobalOptions extends Readonly<Record<string, unknown>> {
  readonly config?: string;
  readonly backend?: string;
  readonly json?: boolean;
}

/** What each command works with. */
export interface CommandContext {
  readonly surroundings: Surroundings;
  readonly output: Output;
  readonly signal: AbortSignal;
  readonly secrets: Secrets;
  /** The brokers, connected on first use. @throws CommandError where there is none. */
  connections(): Promise<Connections>;
}

/** What a command does; answers the exit code. */
export type CommandAction<Options> = (
  context: CommandContext,
  options: Options,
  ...parameters: string[]
) => Promise<number>;

/** Gives a command its action. `done` is told the exit code. */
export function acting<Options>(
  surroundings: Surroundings,
  done: (code: number) => void,
  run: CommandAction<Options>,
): (...parameters: unknown[]) => Promise<void> {
  return async (...parameters) => {
    const command = parameters.at(-1) as Command;
    const options = command.optsWithGlobals<GlobalOptions>();
    const secrets = new Secrets();
    for (const url of urlsOf(surroundings, options).values()) secrets.learn(url);
    const { stdout: out, stderr: err, env, signal } = surroundings;
    const output = new Output({ out, err, env, json: options.json === true, secrets });
    let opening: Promise<Connections> | undefined;
    const connections = (): Promise<Connections> => {
      opening ??= open(surroundings, options, output);
      return opening;
    };
    const context: CommandContext = { surroundings, output, signal, secrets, connections };
    const given = parameters.slice(0, -2).flat() as string[];
    try {
      done(await run(context, options as Options, ...given));
    } catch (error) {
      throw new Reported(secrets.hide(describe(error)), error);
    } finally {
      await (await opening?.catch(() => undefined))?.close();
    }
  };
}

/** An error whose text has no secrets any more. */
export class Reported extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'Reported';
  }
}

async function open(
  surroundings: Surroundings,
  options: GlobalOptions,
  output: Output,
): Promise<Connections> {
  const { cwd } = surroundings;
  const urls = urlsOf(surroundings, options);
  const logger = loggerOf(output);
  const opened = new Map<string, MessagingBackend>();
  // Whoever names a broker means that one, not those of the config in this folder.
  const config =
    urls.size > 0 && options.config === undefined ? undefined : await loadConfig(cwd, options.config);
  for (const broker of brokers) {
    const url = urls.get(broker.name);
    if (url !== undefined) opened.set(broker.name, await openBroker(broker, url, { cwd, logger }));
  }
  return new Connections(config ?? {}, opened, options.backend);
}

/** Of options, and of the environment, where other users of the machine do not see them. */
function urlsOf({ env }: Surroundings, options: GlobalOptions): Map<string, string> {
  const urls = new Map<string, string>();
  for (const { name } of brokers) {
    const given = options[name] ?? env[`MELANGE_${name.toUpperCase()}`];
    if (typeof given === 'string' && given !== '') urls.set(name, given);
  }
  return urls;
}

/** Trouble of a broker while the command runs is told in a line. */
function loggerOf(output: Output): Logger {
  const tell = (message: string, facts?: Readonly<Record<string, unknown>>): void => {
    const details = Object.entries(facts ?? {}).map(([name, value]) => `${name}=${describe(value)}`);
    output.note([message, ...details].join(' '), 'warning');
  };
  return { debug: () => undefined, info: () => undefined, warn: tell, error: tell };
}

/** A whole number of an option. @throws CommandError */
export function wholeNumber(name: string, text: string, min: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < min)
    throw usageError(`${name} must be a whole number of at least ${min}, not "${text}".`);
  return value;
}
