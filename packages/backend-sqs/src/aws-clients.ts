import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { SNSClient } from '@aws-sdk/client-sns';
import { SQSClient } from '@aws-sdk/client-sqs';
import type { SqsBackendOptions } from './sqs-options.ts';

/**
 * The clients of one backend. Receives have connections of their own: they hold one each for up to 20 s, and
 * must not keep acknowledgements waiting for a free one.
 */
export class AwsClients {
  readonly sqs: SQSClient;
  readonly receiving: SQSClient;
  readonly sns: SNSClient;
  readonly requestTimeoutMs: number;
  readonly #receivingAgents: readonly HttpAgent[];

  constructor(options: SqsBackendOptions, health: ConnectionHealth) {
    this.requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
    const { connectTimeoutMs = 5_000, client = {} } = options;
    const settings = (agents: { httpAgent: HttpAgent; httpsAgent: HttpsAgent }, requestTimeout: number) => ({
      ...client,
      // Retried by ourselves, entry by entry and within the caller's deadline.
      maxAttempts: 1,
      requestHandler: {
        ...agents,
        connectionTimeout: connectTimeoutMs,
        requestTimeout,
        throwOnRequestTimeout: requestTimeout > 0,
      },
    });
    const agents = (maxSockets: number) => ({
      httpAgent: new HttpAgent({ keepAlive: true, maxSockets }),
      httpsAgent: new HttpsAgent({ keepAlive: true, maxSockets }),
    });
    const receivingAgents = agents(Number.POSITIVE_INFINITY);
    this.#receivingAgents = [receivingAgents.httpAgent, receivingAgents.httpsAgent];
    const working = agents(64);
    this.sqs = new SQSClient(settings(working, this.requestTimeoutMs));
    this.receiving = new SQSClient(settings(receivingAgents, 0));
    this.sns = new SNSClient(settings(working, this.requestTimeoutMs));
    // One by one: the stacks of the two services are of different types.
    const step = { step: 'initialize', name: 'melangeHealth' } as const;
    this.sqs.middlewareStack.add((next) => (args) => health.watch(next(args)), step);
    this.receiving.middlewareStack.add((next) => (args) => health.watch(next(args)), step);
    this.sns.middlewareStack.add((next) => (args) => health.watch(next(args)), step);
  }

  /** Receives that are still open do not keep the process alive any more. */
  unrefReceives(): void {
    for (const agent of this.#receivingAgents) {
      for (const sockets of Object.values(agent.sockets)) for (const socket of sockets ?? []) socket.unref();
    }
  }

  destroy(): void {
    for (const client of [this.sqs, this.receiving, this.sns]) client.destroy();
  }
}

/** Whether the last requests were answered. */
export class ConnectionHealth {
  /** Since when no request is answered, in ms since the epoch; `undefined` while they are. */
  #lostSince: number | undefined;
  #reason = '';
  readonly #isLost: (error: unknown) => boolean;
  readonly #reasonOf: (error: unknown) => string;

  constructor(isLost: (error: unknown) => boolean, reasonOf: (error: unknown) => string) {
    this.#isLost = isLost;
    this.#reasonOf = reasonOf;
  }

  /** Why no request is answered, and for how many ms. */
  get lost(): { readonly reason: string; readonly forMs: number } | undefined {
    if (this.#lostSince === undefined) return undefined;
    return { reason: this.#reason, forMs: Date.now() - this.#lostSince };
  }

  async watch<Output>(request: Promise<Output>): Promise<Output> {
    try {
      const output = await request;
      this.#lostSince = undefined;
      return output;
    } catch (error) {
      if (this.#isLost(error)) {
        this.#lostSince ??= Date.now();
        this.#reason = this.#reasonOf(error);
      } else {
        this.#lostSince = undefined;
      }
      throw error;
    }
  }
}
