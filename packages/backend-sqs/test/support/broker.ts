import { silentLogger } from '@melange/core';
import { afterAll } from 'vitest';
import { type PrivateSqs, startSqs } from '../../../../apps/brokers/src/index.ts';
import { SqsBackend, type SqsBackendOptions } from '../../src/index.ts';

/** Emulators take any credentials; without some the SDK would look for them elsewhere. */
export const client = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
} as const;

/** A backend at an endpoint, by the defaults. Warnings of what tests break on purpose would only be noise. */
export function connect(endpoint: string, options: SqsBackendOptions = {}): SqsBackend {
  return new SqsBackend({ logger: silentLogger, ...options, client: { ...client, endpoint } });
}

/** An emulator of this test file alone, ended after it; `undefined` where `SQS_URL` says that there is none. */
export async function ownBroker(): Promise<PrivateSqs | undefined> {
  if (process.env.SQS_URL === undefined) return undefined;
  const broker = await startSqs();
  afterAll(() => broker.stop());
  return broker;
}
