import { silentLogger } from '@melange/core';
import { expect, test } from 'vitest';
import { KafkaBackend } from '../src/index.ts';

test.each(['kafka://orders:secret@one.example:9092', 'secret@one.example'])(
  'an address with credentials is refused without telling them: %s',
  async (address) => {
    const create = () => new KafkaBackend({ brokers: [address] });
    expect(create).toThrow(/^"…@one\.example(:9092)?" is no address of a broker/);
    expect(create).not.toThrow(/secret/);
  },
);

test('the address is host and port of each broker, without credentials', async () => {
  await using backend = new KafkaBackend({
    brokers: ['kafka://one.example', 'two.example:9093', '[::1]:9094'],
    sasl: { mechanism: 'plain', username: 'orders', password: 'secret' },
    logger: silentLogger,
  });
  expect(backend.address).toBe('one.example:9092, two.example:9093, [::1]:9094');
});
