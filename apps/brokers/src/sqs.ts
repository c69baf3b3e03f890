import type { Broker, StartedBroker } from './broker.ts';
import { privateRecord } from './private-record.ts';
import { freePort } from './processes.ts';
import { startAgain, untilReady } from './ready.ts';
import {
  type EmulatorHandle,
  isEmulatorThere,
  respawnEmulator,
  startEmulator,
  stopEmulator,
} from './sqs-emulator.ts';

const standardPort = 4566;
const answersWithinMs = 3_000;

/** SQS and SNS as the emulator fauxqs speaks them, each time with data of its own. It checks no credentials. */
export const sqs: Broker = {
  name: 'sqs',
  variable: 'SQS_URL',
  standardUrl: `http://127.0.0.1:${standardPort}`,
  service: 'sqs',
  readyWithinMs: 30_000,
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
  const started = await start(await freePort());
  const { url } = started;
  let { handle } = started;
  const record = privateRecord(sqs.name);
  await record.keep(handle);
  await untilReady(sqs, started);
  return {
    url,
    async restart() {
      // Starting again ends what is left of a start that failed.
      await startAgain({ ...sqs, stop: async () => undefined }, async () => {
        handle = await respawnEmulator(handle);
        await record.keep(handle);
        return { url, handle };
      });
    },
    async stop() {
      await stopEmulator(handle);
      await record.remove();
    },
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
  return { url: `http://127.0.0.1:${port}`, handle: await startEmulator(port) };
}
