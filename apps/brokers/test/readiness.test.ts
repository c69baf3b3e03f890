import { type AddressInfo, createServer } from 'node:net';
import { afterEach, expect, test, vi } from 'vitest';
import { bringUp, printable } from '../src/index.ts';
import { brokers } from '../src/table.ts';
import { speaker } from './support.ts';

const protocols = [
  ['rabbitmq', 'amqp'],
  ['redis', 'redis'],
  ['sqs', 'http'],
  ['nats', 'nats'],
  ['postgres', 'postgres'],
] as const;

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(opened.splice(0).map((server) => server.close()));
});

async function open(answer?: string, host?: string): Promise<number> {
  const server = await speaker(0, answer, host);
  opened.push(server);
  return server.port;
}

test.each(protocols)('an open port that says nothing is no %s', async (name, scheme) => {
  const port = await open();
  expect(await brokers.get(name)?.answers(`${scheme}://127.0.0.1:${port}`)).toBe(false);
});

test.each(protocols)('an open port that speaks something else is no %s', async (name, scheme) => {
  const port = await open('HTTP/1.1 400 Bad Request\r\n\r\n');
  expect(await brokers.get(name)?.answers(`${scheme}://127.0.0.1:${port}`)).toBe(false);
});

test.each(protocols)('what is not an address is no %s', async (name) => {
  expect(await brokers.get(name)?.answers('not an address')).toBe(false);
});

test.each(['127.0.0.1', '::1'])(
  'a Kafka on %s answers, by host:port and by kafka://host:port',
  async (host) => {
    const answerToVersions = '\0\0\0\x06\0\0\0\x07\0\0';
    const port = await open(answerToVersions, host);
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`;
    const kafka = brokers.get('kafka');
    expect(await kafka?.answers(address)).toBe(true);
    expect(await kafka?.answers(`kafka://${address}`)).toBe(true);
    expect([printable(address), printable(`somebody:secret@${address}`)]).toEqual([
      address,
      `***:***@${address}`,
    ]);
  },
);

test('a Redis on ::1 answers', async () => {
  const port = await open('+PONG\r\n', '::1');
  expect(await brokers.get('redis')?.answers(`redis://[::1]:${port}`)).toBe(true);
});

// The other server greets too.
test.each([
  ['with JetStream answers', 'INFO {"server_name":"n","jetstream":true} \r\n', true],
  ['without JetStream is of no use', 'INFO {"server_name":"n"} \r\n', false],
])('a NATS %s', async (_, greeting, isOne) => {
  const server = createServer((socket) => void socket.end(greeting));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  expect(await brokers.get('nats')?.answers(`nats://127.0.0.1:${port}`)).toBe(isOne);
  server.close();
});

test('an address in the environment is used as it is', async () => {
  const port = await open('+PONG\r\n');
  const url = `redis://localhost:${port}/3`;
  vi.stubEnv('REDIS_URL', url);
  expect(await bringUp(['redis'])).toEqual([{ name: 'redis', url, origin: 'environment' }]);
});

test('a Redis that wants a password answers', async () => {
  const port = await open('-NOAUTH Authentication required.\r\n');
  expect(await brokers.get('redis')?.answers(`redis://127.0.0.1:${port}`)).toBe(true);
});

test('a name that is not known is missing, and does not reject', async () => {
  expect(await bringUp(['carrier-pigeon'])).toEqual([
    {
      name: 'carrier-pigeon',
      missing: 'unknown broker carrier-pigeon; known: rabbitmq, redis, sqs, kafka, nats, postgres',
    },
  ]);
});

test.each([
  ['amqp://user:secret@host:5672/space', 'amqp://***:***@host:5672/space'],
  ['redis://:secret@host:6379', 'redis://:***@host:6379'],
  ['redis://host:6379?password=secret', 'redis://host:6379'],
  ['amqp://user:secret@host:port', '(not an address)'],
])('of %s, no credentials are printed', (url, printed) => {
  expect(printable(url)).toBe(printed);
});
