import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { ListTopicsCommand, SNSClient } from '@aws-sdk/client-sns';
import { GetQueueUrlCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { SqsBackendOptions } from '../options.ts';
import { ConnectionHealth } from './connection-health.ts';
import { RequestTemplates } from './request-templates.ts';

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
  readonly #sqsHealth = new ConnectionHealth();
  readonly #snsHealth = new ConnectionHealth();
  /** When to give up a command, by its input. */
  readonly #signals = new WeakMap<object, AbortSignal>();

  constructor(options: SqsBackendOptions) {
    this.requestTimeoutMs = options.requestTimeoutMs ?? 10_000;
    const { connectTimeoutMs = 5_000, client = {} } = options;
    const settings = (agents: { httpAgent: HttpAgent; httpsAgent: HttpsAgent }, requestTimeout: number) => ({
      ...client,
      // Of each command only once: it would be a tenth of the cost of every request.
      cacheMiddleware: true,
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
    const { sqs, receiving, sns } = this;
    // One by one: the stacks of the two services are of different types.
    const health = { step: 'initialize', name: 'melangeHealth' } as const;
    sqs.middlewareStack.add((next) => (args) => this.#sqsHealth.watch(next(args)), health);
    receiving.middlewareStack.add((next) => (args) => this.#sqsHealth.watch(next(args)), health);
    sns.middlewareStack.add((next) => (args) => this.#snsHealth.watch(next(args)), health);
    const signalOf = (input: object): AbortSignal | undefined => this.#signals.get(input);
    for (const { middlewareStack, config } of [sqs, receiving])
      middlewareStack.use(new RequestTemplates(config, signalOf));
    // The last step before the request is made, which is where a signal is heeded.
    const abort = { step: 'deserialize', priority: 'low', name: 'melangeAbort' } as const;
    sqs.middlewareStack.add((next) => (args) => this.#handle(sqs, args) ?? next(args), abort);
    receiving.middlewareStack.add((next) => (args) => this.#handle(receiving, args) ?? next(args), abort);
    sns.middlewareStack.add((next) => (args) => this.#handle(sns, args) ?? next(args), abort);
    // Without a logger it copies every message and every answer for nobody.
    for (const { middlewareStack } of [sqs, receiving, sns]) middlewareStack.remove('loggerMiddleware');
  }

  /** The service that does not answer, why, and for how many ms; asks it again meanwhile. */
  get lost(): { readonly service: string; readonly reason: string; readonly forMs: number } | undefined {
    this.#sqsHealth.askAgain(() => this.sqs.send(new GetQueueUrlCommand({ QueueName: 'melange-health' })));
    this.#snsHealth.askAgain(() => this.sns.send(new ListTopicsCommand({})));
    const { lost: sqs } = this.#sqsHealth;
    if (sqs !== undefined) return { service: 'SQS', ...sqs };
    const { lost: sns } = this.#snsHealth;
    return sns && { service: 'SNS', ...sns };
  }

  /**
   * The command, which is given up once the signal is aborted. A client that is given the signal with the command
   * would prepare everything anew for it.
   */
  abortable<Command extends { readonly input: object }>(command: Command, signal: AbortSignal): Command {
    this.#signals.set(command.input, signal);
    return command;
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

  #handle(
    { config: { requestHandler } }: SQSClient | SNSClient,
    { input, request }: { readonly input: object; readonly request: unknown },
  ): ReturnType<typeof requestHandler.handle> | undefined {
    const abortSignal = this.#signals.get(input);
    return abortSignal && requestHandler.handle(request, { abortSignal });
  }
}
