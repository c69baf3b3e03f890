import type { Broker, StartedBroker } from './broker.ts';
import { freePort, until } from './processes.ts';
import {
  type EmulatorHandle,
  isEmulatorThere,
  respawnEmulator,
  startEmulator,
  stopEmulator,
} from './sqs-emulator.ts';

const standardPort = 4566;
const answersWithinMs = 3_000;
const readyWithinMs = 30_000;

/** SQS and SNS as the emulator fauxqs speaks them, each time with data of its own. It checks no credentials. */
export const sqs: Broker = {
  name: 'sqs',
  variable: 'SQS_URL',
  standardUrl: `http://127.0.0.1:${standardPort}`,
  service: 'sqs',
  answers,
  start: async () => start(await freePort(standardPort)),
  isThere: isEmulatorThere,
  stop: stopEmulator,
};

/** An emulator for one test, which may break it. */
export interface PrivateSqs {
  /** Endpoint of both services. */
  readonly url: string;
  /** Kills it and starts it again on the same port: connections are lost, queues, topics and messages stay. */
  restart(): Promise<void>;
  /** Ends it and deletes its data. */
  stop(): Promise<void>;
}

/** Starts an emulator that nobody else knows. The caller stops it. */
export async function startSqs(): Promise<PrivateSqs> {
  const { url, handle } = await start(await freePort());
  let current = handle;
  return {
    url,
    async restart() {
      current = await respawnEmulator(current);
      await untilItAnswers(url);
    },
    stop: () => stopEmulator(current),
  };
}

/** Any answer of the protocol will do, a refusal too. */
async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': 'AmazonSQS.ListQueues',
        // Emulators of several services tell by this which one is asked.
        authorization:
          'AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0',
      },
      body: '{}',
      signal: AbortSignal.timeout(answersWithinMs),
    });
    const body: unknown = await response.json();
    return response.ok || (typeof body === 'object' && body !== null && '__type' in body);
  } catch {
    return false;
  }
}

async function start(port: number): Promise<StartedBroker & { readonly handle: EmulatorHandle }> {
  const handle = await startEmulator(port);
  const url = `http://127.0.0.1:${port}`;
  try {
    await untilItAnswers(url);
  } catch (error) {
    await stopEmulator(handle).catch(() => undefined);
    throw error;
  }
  return { url, handle };
}

async function untilItAnswers(url: string): Promise<void> {
  await until(() => answers(url), readyWithinMs, 'an answer of fauxqs');
}
