import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as open,
  type ServerResponse,
} from 'node:http';

/** One request to SQS or SNS. */
export interface Call {
  /** `SendMessageBatch`, `PublishBatch`. */
  readonly action: string;
  /** JSON to SQS, a form to SNS. */
  readonly body: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** What becomes of a request; by default it passes. */
export interface Interference {
  /** Sent on in place of the body. */
  readonly body?: string;
  /** Given to the client in place of the answer. */
  readonly answer?: (answer: Answer) => Answer;
  /** Not sent on: this is the answer. */
  readonly refuse?: Answer;
  /** The answer never comes: the connection ends. */
  readonly drop?: boolean;
  /** The answer breaks off: the connection ends in the middle of it. */
  readonly cut?: boolean;
  /** Never answered, while the connection stays open. */
  readonly hold?: boolean;
}

/** An answer of the service. */
export interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Stands between a backend and the emulator, sees each request, and breaks those that a test chooses. */
export class HttpProxy implements AsyncDisposable {
  readonly url: string;
  /** Every request that came, in order. */
  readonly calls: Call[] = [];
  /** How many requests that are held were given up. */
  givenUp = 0;
  /** Called for each request. */
  interfere: (call: Call) => Interference | undefined = () => undefined;
  readonly #close: () => Promise<void>;

  private constructor(url: string, close: () => Promise<void>) {
    this.url = url;
    this.#close = close;
  }

  static async start(target: string): Promise<HttpProxy> {
    const server = createServer(
      (request, response) => void proxy.#onRequest(new URL(target), request, response),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const proxy = new HttpProxy(
      `http://127.0.0.1:${port}`,
      () =>
        new Promise((resolve) => {
          server.close(() => resolve());
          server.closeAllConnections();
        }),
    );
    return proxy;
  }

  /** How many requests of these actions came; without any, how many in all. */
  count(...actions: readonly string[]): number {
    return this.calls.filter(({ action }) => actions.length === 0 || actions.includes(action)).length;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }

  async #onRequest(target: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = callOf(request, await textOf(request));
    this.calls.push(call);
    const { body = call.body, answer, refuse, drop, cut, hold } = this.interfere(call) ?? {};
    if (refuse !== undefined) return respond(response, refuse);
    if (hold === true) {
      response.on('close', () => {
        this.givenUp += 1;
      });
      return;
    }
    const headers = { ...request.headers, 'content-length': Buffer.byteLength(body) };
    const { hostname, port } = target;
    const onward = open({ hostname, port, method: 'POST', path: request.url, headers }, async (came) => {
      const given = { status: came.statusCode ?? 500, body: await textOf(came) };
      if (drop === true) response.destroy();
      else if (cut === true) breakOff(response, given);
      else respond(response, answer?.(given) ?? given, came.headers['content-type']);
    });
    onward.on('error', () => response.destroy());
    onward.end(body);
  }
}

/** The interference for the first so many calls of an action. */
export function first(
  count: number,
  action: string,
  interfere: (call: Call) => Interference | undefined,
): (call: Call) => Interference | undefined {
  let left = count;
  return (call) => {
    if (call.action !== action || left === 0) return undefined;
    left -= 1;
    return interfere(call);
  };
}

/** A refusal as SQS sends it; `queryCode` is its code in the older protocol, which comes in a header. */
export function refusal(code: string, status = 400, queryCode?: string): Answer {
  return {
    status,
    ...(queryCode !== undefined && { headers: { 'x-amzn-query-error': `${queryCode};Sender` } }),
    body: JSON.stringify({ __type: `com.amazonaws.sqs#${code}`, message: `${code} by the test` }),
  };
}

/** The entries of a batch to SQS. */
export function entriesOf(call: Call): { Id: string; MessageBody?: string; [field: string]: unknown }[] {
  return (JSON.parse(call.body) as { Entries: { Id: string }[] }).Entries;
}

/** Lets a batch to SQS pass without some of its entries, and says of these that they failed. */
export function failEntries(
  call: Call,
  isFailing: (entry: { Id: string; MessageBody?: string }) => boolean,
  failure: { Code: string; SenderFault: boolean },
): Interference | undefined {
  const request = JSON.parse(call.body) as { Entries: { Id: string; MessageBody?: string }[] };
  const failing = request.Entries.filter(isFailing);
  if (failing.length === 0) return undefined;
  const Failed = failing.map(({ Id }) => ({ Id, Message: 'failed by the test', ...failure }));
  const Entries = request.Entries.filter((entry) => !isFailing(entry));
  if (Entries.length === 0)
    return { refuse: { status: 200, body: JSON.stringify({ Successful: [], Failed }) } };
  return {
    body: JSON.stringify({ ...request, Entries }),
    answer: ({ status, body }) => ({ status, body: JSON.stringify({ ...JSON.parse(body), Failed }) }),
  };
}

function callOf(request: IncomingMessage, body: string): Call {
  const target = request.headers['x-amz-target'];
  const action = typeof target === 'string' ? target.split('.')[1] : new URLSearchParams(body).get('Action');
  return { action: action ?? '', body, path: request.url ?? '', headers: request.headers };
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function breakOff(response: ServerResponse, { status, body }: Answer): void {
  response.writeHead(status, { 'content-length': Buffer.byteLength(body) });
  response.write(body.slice(0, body.length / 2), () => response.destroy());
}

function respond(
  response: ServerResponse,
  { status, body, headers }: Answer,
  type = 'application/x-amz-json-1.0',
): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}
