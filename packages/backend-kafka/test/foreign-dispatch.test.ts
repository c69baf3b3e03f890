import { randomBytes } from 'node:crypto';
import { DeadLetterHeader } from '@melange/core';
import { Kafka, type Message as KafkaMessage, logLevel, Partitioners, type Producer } from 'kafkajs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isInstalled } from '../../../apps/brokers/src/processes.ts';
import {
  consumed,
  type ForeignScene,
  Order,
  orderContent,
} from '../../conformance/test/support/foreign-messages.ts';
import { address, backendFor, kcat, noBroker, queueName, url } from './support/scene.ts';

const hasKcat = await isInstalled('kcat');
const noKcat = hasKcat ? '' : ' (skipped: kcat is not installed)';

interface Scene extends ForeignScene {
  /** As a client that knows nothing of Melange. */
  readonly send: (...messages: KafkaMessage[]) => Promise<unknown>;
}

async function scene(): Promise<Scene> {
  const backend = backendFor({ partitions: 1 });
  const [queue, dead] = [queueName(backend), queueName(backend)];
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  const client = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
  const producer: Producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  onTestFinished(() => producer.disconnect());
  return { backend, queue, dead, send: (...messages) => producer.send({ topic: queue, messages }) };
}

const go = (here: Scene) => (body: string) => here.send({ value: body });

describe.skipIf(url === '')(`records of plain Kafka clients${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('without headers are read as JSON, and what is none is dead-lettered as it came', async () => {
    const here = await scene();
    const bytes = Buffer.of(0xff, 0xfe, 0, 0x80);
    await here.send({ value: '{"total":1}' }, { value: 'hello' }, { value: '' }, { value: bytes });
    const { processed, deadLetters } = await consumed(here, 4, go(here));
    expect(processed.map(({ value }) => value)).toEqual([{ total: 1 }]);
    expect(processed[0]?.context).toMatchObject({ manifest: undefined, headers: {} });
    expect(processed[0]?.context.messageId).toBe(`${here.queue}-0-0`);
    expect(deadLetters.map(({ content }) => content)).toEqual(['hello', '', Uint8Array.from(bytes)]);
    for (const { headers } of deadLetters) expect(headers[DeadLetterHeader.reason]).toBe('undecodable');
  });

  test('with the documented headers are read as what they say', async () => {
    const here = await scene();
    const headers = { manifest: 'shop.Order', serializer_id: '3', message_id: 'm-1', correlationId: 'c' };
    await here.send({ value: Buffer.from(orderContent), headers });
    const { processed } = await consumed(here, 1, go(here));
    expect(processed[0]?.value).toEqual(Object.assign(new Order(), { id: 'o-1' }));
    expect(processed[0]?.context).toMatchObject({ messageId: 'm-1', headers: { correlationId: 'c' } });
  });

  test('with headers that make no sense are read by the default serializer, or dead-lettered', async () => {
    const here = await scene();
    await here.send(
      { value: '1', headers: { serializer_id: 'three', published_at: 'yesterday' } },
      { value: '2', headers: { serializer_id: '', manifest: 'json' } },
      { value: '3', headers: { serializer_id: '99' } },
      { value: '4', headers: { serializer_id: '1', manifest: 'Nobody.knows' } },
      { value: '5', headers: { serializer_id: '2', manifest: 'Payment' } },
      { value: '6', headers: { serializer_id: Buffer.of(0xff, 0), melange_attempt: 'many' } },
      { value: '7', headers: { melange_of_tomorrow: '1', melange_not_before: 'never' } },
    );
    const { processed, deadLetters } = await consumed(here, 7, go(here));
    expect(processed.map(({ value }) => value)).toEqual([1, 2, 6, 7]);
    expect(deadLetters.map(({ content }) => content)).toEqual(['3', '4', '5']);
    const reasons = deadLetters.map(({ headers }) => headers[DeadLetterHeader.errorMessage]);
    expect(reasons).toEqual([
      expect.stringContaining('99'),
      expect.stringContaining('Nobody.knows'),
      expect.stringContaining('pickle'),
    ]);
  });

  test('with the same header twice, binary, null and empty ones keep what can be kept', async () => {
    const here = await scene();
    const headers = {
      twice: ['first', 'second'],
      binary: Buffer.of(0xff, 0, 0xc3),
      empty: '',
      constructor: 'c',
      toString: 't',
      long: 'h'.repeat(64 * 1024),
    };
    await here.send({ value: '"odd"', headers }, { value: 'undecodable', headers });
    const { processed, deadLetters } = await consumed(here, 2, go(here));
    for (const given of [processed[0]?.context.headers, deadLetters[0]?.headers]) {
      expect(given).toMatchObject({ twice: 'second', binary: '\ufffd\u0000\ufffd', empty: '' });
      expect(Object.entries(given ?? {})).toContainEqual(['constructor', 'c']);
      expect(Object.entries(given ?? {})).toContainEqual(['toString', 't']);
      expect(given?.long?.length).toBe(64 * 1024);
    }
  });

  test('as large as the broker takes are processed, or dead-lettered whole', async () => {
    const here = await scene();
    const large = 'x'.repeat(1_048_300);
    await here.send({ value: `"${large}"` });
    await here.send({ value: large });
    const { processed, deadLetters } = await consumed(here, 2, go(here));
    expect(processed[0]?.value === large).toBe(true);
    expect(deadLetters[0]?.content === large).toBe(true);
    expect(deadLetters[0]?.headers[DeadLetterHeader.reason]).toBe('undecodable');
  });

  test.skipIf(!hasKcat)(`with a null header are retried and dead-lettered${noKcat}`, async () => {
    const here = await scene();
    const headers = ['-H', 'none', '-H', 'twice=1', '-H', 'twice', '-H', 'manifest', '-H', 'serializer_id'];
    await kcat(['-P', '-t', here.queue, ...headers], '"fails"\nundecodable\n');
    const { processed, deadLetters } = await consumed(here, 2, go(here));
    expect(processed.map(({ value, context }) => [value, context.attempt])).toEqual([
      ['fails', 1],
      ['fails', 2],
    ]);
    expect(deadLetters.map(({ content }) => content).sort()).toEqual(['"fails"', 'undecodable']);
    for (const { headers } of deadLetters) expect(headers).toMatchObject({ none: '', twice: '' });
  });

  test.skipIf(!hasKcat)(`that only compression made small enough are dead-lettered${noKcat}`, async () => {
    const here = await scene();
    const large = 'x'.repeat(3_000_000);
    await kcat(['-P', '-t', here.queue, '-z', 'gzip', '-X', 'message.max.bytes=4000000'], large);
    const { deadLetters } = await consumed(here, 1, go(here));
    expect(deadLetters[0]?.content === large).toBe(true);
    expect(deadLetters[0]?.headers[DeadLetterHeader.reason]).toBe('undecodable');
  });

  test('that fill what the broker takes, with nothing to compress, are dead-lettered without a reason', async () => {
    const here = await scene();
    const noise = randomBytes(1_048_450);
    await here.send({ value: noise });
    const { deadLetters } = await consumed(here, 1, go(here));
    expect(noise.equals(deadLetters[0]?.content as Uint8Array)).toBe(true);
    expect(deadLetters[0]?.headers).toEqual({});
  });

  test.skipIf(!hasKcat)(`compressed in any way are read${noKcat}`, async () => {
    const here = await scene();
    const sent: string[] = [];
    for (const codec of ['gzip', 'snappy', 'lz4', 'zstd']) {
      const lines = Array.from({ length: 50 }, (_, index) => JSON.stringify(codec + index + 'x'.repeat(500)));
      await kcat(['-P', '-t', here.queue, '-z', codec], `${lines.join('\n')}\n`);
      sent.push(...lines);
    }
    const { processed } = await consumed(here, sent.length, go(here));
    expect(processed.map(({ value }) => JSON.stringify(value))).toEqual(sent);
  });
});
