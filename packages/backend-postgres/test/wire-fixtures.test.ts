import { expect, test } from 'vitest';
import {
  bytesOf,
  expectAsBefore,
  type FixtureBytes,
  fixtureBytes,
  keptForm,
  wireMessages,
} from '../../conformance/test/support/wire-fixtures.ts';
import { fromRow, toRecord } from '../src/wire.ts';

interface Kept {
  readonly body: FixtureBytes;
  readonly headers: string;
  readonly orderingKey: string | null;
}

test('messages are published as they were before', () => {
  const published = wireMessages().map(([name, message]) => {
    const { body, headers, orderingKey } = toRecord(message);
    return [name, { body: fixtureBytes(Buffer.from(body, 'base64')), headers, orderingKey }];
  });
  expectAsBefore('postgres', Object.fromEntries(published));
});

test.each(wireMessages())('what was published before is read: %s', (name, message) => {
  const kept = keptForm<Kept>('postgres')[name] as Kept;
  const body = bytesOf(kept.body).toString('base64');
  const row = { id: 7, headers: JSON.parse(kept.headers), body, attempt: 1, redeliveries: 0 };
  expect(fromRow(row).message).toEqual(message);
});
