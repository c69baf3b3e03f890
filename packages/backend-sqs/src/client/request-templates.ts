import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { ServiceOutputTypes, SQSClient } from '@aws-sdk/client-sqs';
import { type Input, type Output, readersOfAnswers } from './answers.ts';

type Config = SQSClient['config'];
type MiddlewareStack = SQSClient['middlewareStack'];
type Signer = Awaited<ReturnType<Config['signer']>>;
type HttpRequest = Parameters<Signer['sign']>[0];
type AuthScheme = Parameters<Config['signer']>[0];

/** What the requests of one command to one endpoint have in common. */
interface Template {
  /** As the SDK made it; its body belongs to nobody any more. */
  readonly request: HttpRequest;
  readonly signer: Signer;
}

/** An answer as the SDK's transport hands it over. */
interface Answer {
  readonly statusCode: number;
  body: Readable | Uint8Array;
}

/** Headers that are the same for every request, but for the length: any other one may belong to a single request. */
const commonHeaders: ReadonlySet<string> = new Set([
  'content-length',
  'content-type',
  'host',
  'user-agent',
  'x-amz-target',
  'x-amz-user-agent',
  'x-amzn-query-mode',
]);

/**
 * A plugin for the stack of the SDK's client: the SDK makes the first request of a command and an endpoint, and the
 * next ones are written from it, which is a fraction of the work. Endpoint, headers, credentials, signature and
 * transport stay the SDK's, and so do all answers but a plain 200. Where the SDK's request is not what it is expected
 * to be, every request is the SDK's.
 *
 * Input has to be plain JSON, as all is that this package sends: no attribute of bytes.
 */
export class RequestTemplates {
  readonly #config: Config;
  readonly #signalOf: (input: object) => AbortSignal | undefined;
  /** By command and endpoint. */
  readonly #templates = new Map<string, Template>();
  /** Answers that the SDK is to read, by the input of their command. */
  readonly #answers = new WeakMap<object, Answer>();

  /** @param signalOf when to give up a command, by its input. */
  constructor(config: Config, signalOf: (input: object) => AbortSignal | undefined) {
    this.#config = config;
    this.#signalOf = signalOf;
  }

  applyToStack(stack: MiddlewareStack): void {
    stack.add(
      (next, { commandName = '' }) => {
        const readAnswer = readersOfAnswers.get(commandName);
        if (readAnswer === undefined) return next;
        return async (args) => {
          const input = args.input as Input;
          const template = this.#templates.get(keyOf(commandName, input));
          if (template === undefined) return next(args);
          const response = await this.#send(template, input);
          const output = outputOf(response);
          if (output !== undefined) {
            readAnswer(input, output);
            return { response, output: output as ServiceOutputTypes };
          }
          this.#answers.set(input, response);
          return next(args);
        };
      },
      { step: 'initialize', name: 'melangeFromTemplate' },
    );
    stack.add(
      (next, context) => {
        const { commandName = '' } = context;
        if (!readersOfAnswers.has(commandName)) return next;
        return async (args) => {
          const input = args.input as Input;
          await this.#learn(
            keyOf(commandName, input),
            input,
            args.request as HttpRequest,
            context.authSchemes?.[0],
          );
          return next(args);
        };
      },
      // The last step before the request gets what belongs to it alone.
      { step: 'build', priority: 'low', name: 'melangeTemplate' },
    );
    stack.add(
      (next) => async (args) => {
        const response = this.#answers.get(args.input);
        return response === undefined ? next(args) : { response };
      },
      { step: 'deserialize', priority: 'low', name: 'melangeAnswer' },
    );
  }

  async #learn(key: string, input: Input, request: HttpRequest, authScheme: AuthScheme): Promise<void> {
    // There each call has the trace of its invocation, which the SDK looks up.
    if (process.env.AWS_LAMBDA_FUNCTION_NAME !== undefined) return;
    const { method, headers, body } = request;
    if (method !== 'POST' || headers['content-type'] !== 'application/x-amz-json-1.0') return;
    if (!Object.keys(headers).every((name) => commonHeaders.has(name))) return;
    const written: unknown = JSON.parse(typeof body === 'string' ? body : new TextDecoder().decode(body));
    if (!isDeepStrictEqual(written, JSON.parse(JSON.stringify(input)))) return;
    this.#templates.set(key, {
      request: {
        ...request,
        headers: { ...headers, 'amz-sdk-request': 'attempt=1; max=1' },
        body: undefined,
      },
      signer: await this.#config.signer(authScheme),
    });
  }

  async #send({ request, signer }: Template, input: Input): Promise<Answer> {
    const { requestHandler, systemClockOffset } = this.#config;
    const body = Buffer.from(JSON.stringify(input));
    const headers = {
      ...request.headers,
      'content-length': String(body.length),
      'amz-sdk-invocation-id': randomUUID(),
    };
    const signingDate = new Date(Date.now() + systemClockOffset);
    const signed = await signer.sign({ ...request, headers, body }, { signingDate });
    const abortSignal = this.#signalOf(input);
    const { response }: { readonly response: Answer } = await requestHandler.handle(
      signed as Parameters<typeof requestHandler.handle>[0],
      abortSignal && { abortSignal },
    );
    response.body = await bytesOf(response.body as Readable);
    return response;
  }
}

/** A queue's URL names the endpoint where none is configured. */
function keyOf(commandName: string, { QueueUrl = '' }: Input): string {
  return `${commandName} ${QueueUrl.split('/', 3).join('/')}`;
}

/** `undefined` where the answer is anything but what was hoped for. */
function outputOf({ statusCode, body }: Answer): Output | undefined {
  if (statusCode !== 200) return undefined;
  try {
    const output = JSON.parse(String(body)) as Output | null;
    // What is null the SDK leaves out.
    return output !== null && Object.values(output).every(Array.isArray) ? output : undefined;
  } catch {
    return undefined;
  }
}

function bytesOf(stream: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.once('error', reject);
    stream.once('end', () => resolve(Buffer.concat(chunks)));
  });
}
