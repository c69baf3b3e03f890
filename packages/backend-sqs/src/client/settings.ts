import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { SQSClient, SQSClientConfig } from '@aws-sdk/client-sqs';
import type { SqsBackendOptions } from '../options.ts';

/** Connections of one client. */
export interface Agents {
  readonly httpAgent: HttpAgent;
  readonly httpsAgent: HttpsAgent;
}

/** @param maxSockets most requests at the same time. */
export function agentsOf(maxSockets: number): Agents {
  return {
    httpAgent: new HttpAgent({ keepAlive: true, maxSockets }),
    httpsAgent: new HttpsAgent({ keepAlive: true, maxSockets }),
  };
}

/** @param requestTimeout longest wait for an answer, in ms; 0 is no bound. */
export function clientSettings(
  { connectTimeoutMs = 5_000, client }: SqsBackendOptions,
  agents: Agents,
  requestTimeout: number,
): SQSClientConfig {
  return {
    ...client,
    // A command's stack of middleware is resolved once: that would be a tenth of the cost of every request.
    cacheMiddleware: true,
    // The kit sends again, message by message and within the caller's deadline.
    maxAttempts: 1,
    requestHandler: {
      ...agents,
      connectionTimeout: connectTimeoutMs,
      requestTimeout,
      throwOnRequestTimeout: requestTimeout > 0,
    },
  };
}

/** Signals that end commands: a client that is given a signal with its command would prepare everything anew for it. */
export class Signals {
  /** By the input of the command. */
  readonly #signals = new WeakMap<object, AbortSignal>();

  /** When to give up a command, by its input. */
  of(input: object): AbortSignal | undefined {
    return this.#signals.get(input);
  }

  /** The command, which is given up when the signal is aborted. */
  on<Command extends { readonly input: object }>(command: Command, signal: AbortSignal): Command {
    this.#signals.set(command.input, signal);
    return command;
  }

  /** Lets a client heed the signals. */
  applyTo({ config, middlewareStack }: SQSClient): void {
    middlewareStack.add(
      (next) => (args) => {
        const abortSignal = this.#signals.get(args.input);
        if (abortSignal === undefined) return next(args);
        return config.requestHandler.handle(args.request as never, { abortSignal });
      },
      // The last step before the request is made, which is where a signal is heeded.
      { step: 'deserialize', priority: 'low', name: 'melangeAbort' },
    );
    // Without a logger it copies every message and every answer for nobody.
    middlewareStack.remove('loggerMiddleware');
  }
}
