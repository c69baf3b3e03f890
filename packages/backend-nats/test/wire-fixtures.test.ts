import type { Envelope } from '@melange/backend-kit';
import { toEnvelope } from '@melange/backend-kit';
import { expect, test } from 'vitest';
import {
  bytesOf,
  expectAsBefore,
  type FixtureBytes,
  fixtureBytes,
  keptForm,
  wireMessages,
} from '../../conformance/test/support/wire-fixtures.ts';
import { fromRecord, toRecord } from '../src/wire.ts';

interface Kept {
  readonly payload: FixtureBytes;
  readonly headers: Envelope['headers'];
}

test('messages are published as they were before', () => {
  const published = wireMessages().map(([name, message]) => {
    const { body, headers } = toRecord(toEnvelope(message));
    return [name, { payload: fixtureBytes(Buffer.from(body ?? '')), headers }];
  });
  expectAsBefore('nats', Object.fromEntries(published));
});

test.each(wireMessages())('what was published before is read: %s', (name, message) => {
  const { payload, headers } = keptForm<Kept>('nats')[name] as Kept;
  expect(fromRecord(bytesOf(payload), headers, 'broker-1', 0).message).toEqual(message);
});
