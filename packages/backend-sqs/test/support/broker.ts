import { silentLogger } from '@melange/core';
import { SqsBackend, type SqsBackendOptions } from '../../src/index.ts';

/** Emulators take any credentials; without some the SDK would look for them elsewhere. */
export const client = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: 'not-to-be-printed' },
} as const;

/** A backend at an endpoint. Warnings of what tests break on purpose would only be noise. */
export function connect(endpoint: string, options: SqsBackendOptions = {}): SqsBackend {
  // An emulator is one server: asked once without waiting it tells whether a queue is empty.
  const defaults = { logger: silentLogger, emptyAfterSeconds: 0 };
  return new SqsBackend({ ...defaults, ...options, client: { ...client, endpoint } });
}
