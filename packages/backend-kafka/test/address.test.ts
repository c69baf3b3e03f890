import { silentLogger } from '@melange/core';
import { expect, test } from 'vitest';
import { KafkaBackend } from '../src/index.ts';

test('the address is host and port of each broker, without credentials', async () => {
  await using backend = new KafkaBackend({
    brokers: ['kafka://one.example', 'two.example:9093', '[::1]:9094'],
    sasl: { mechanism: 'plain', username: 'orders', password: 'secret' },
    logger: silentLogger,
  });
  expect(backend.address).toBe('one.example:9092, two.example:9093, [::1]:9094');
});
