import { MelangeError } from '@melange/core';

/** What the process answers. Scripts rely on the numbers. */
export const exitCode = {
  /** It was done, or there was nothing to do. */
  done: 0,
  /** It failed: a broker that is away, rights that are missing, whatever else. */
  failed: 1,
  /** The command or the config makes no sense; nothing was done. */
  usage: 2,
  /** Done in part, or something wants attention: letters that did not move, a plan with differences, a doctor's finding. */
  attention: 3,
  /** The queue, topic or message does not exist. */
  notFound: 4,
  /** Ended by Ctrl-C or SIGTERM. */
  interrupted: 130,
} as const;

/** An error whose message is all that there is to say. */
export class CommandError extends Error {
  /** What the process answers. */
  readonly exitCode: number;

  constructor(message: string, code: number) {
    super(message);
    this.name = 'CommandError';
    this.exitCode = code;
  }
}

/** The command or the config makes no sense. */
export function usageError(message: string): CommandError {
  return new CommandError(message, exitCode.usage);
}

/** What the process answers to an error. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommandError) return error.exitCode;
  if (MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND'))
    return exitCode.notFound;
  if (MelangeError.is(error, 'CONFIGURATION') || MelangeError.is(error, 'MESSAGE_INVALID'))
    return exitCode.usage;
  return exitCode.failed;
}

/** One line that says what went wrong. */
export function describe(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0)
    return `${error.message === '' ? '' : `${error.message} `}${describe(error.errors[0])}`;
  if (!(error instanceof Error)) return String(error);
  if (MelangeError.is(error, 'PUBLISH_FAILED')) {
    const [failure] = (error as { failures?: readonly { error: unknown }[] }).failures ?? [];
    if (failure !== undefined) return `${error.message} ${describe(failure.error)}`;
  }
  return error.message === '' ? error.name : error.message;
}
