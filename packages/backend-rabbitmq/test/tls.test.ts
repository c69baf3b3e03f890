import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Delivery, type Message, silentLogger } from '@melange/core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canStartHere, type PrivateRabbitMq, startRabbitMq } from '../../../apps/brokers/src/index.ts';
import { RabbitMqBackend, type RabbitMqBackendOptions } from '../src/index.ts';

const run = promisify(execFile);
const canStart = canStartHere('rabbitmq');

describe.skipIf(!canStart)(`TLS${canStart ? '' : ' (no RabbitMQ of our own can be started here)'}`, () => {
  let directory: string;
  let node: PrivateRabbitMq;
  let certificate: string;

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'melange-tls-'));
    const [key, file] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')];
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    const parameters = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject];
    await run('openssl', [...parameters, '-keyout', key, '-out', file]);
    certificate = await readFile(file, 'utf8');
    node = await startRabbitMq({ tls: { certificate: file, key } });
  }, 120_000);

  afterAll(async () => {
    await node?.stop();
    await rm(directory, { recursive: true, force: true });
  }, 60_000);

  function backendFor(url: RabbitMqBackendOptions['url'], trusted?: string): RabbitMqBackend {
    return new RabbitMqBackend({
      url,
      logger: silentLogger,
      ...(trusted !== undefined && { socketOptions: { ca: [Buffer.from(trusted)] } }),
    });
  }

  test.each(['an address', "amqplib's options"])('messages travel over it: %s', async (form) => {
    const { hostname, port } = new URL(node.secureUrl ?? '');
    const options = { protocol: 'amqps', hostname, port: Number(port) };
    await using backend = backendFor(form === 'an address' ? (node.secureUrl ?? '') : options, certificate);
    const queue = randomUUID();
    await backend.declareQueue(queue);
    const message: Message = {
      id: randomUUID(),
      content: 'secret',
      manifest: undefined,
      serializerId: undefined,
      key: undefined,
      headers: {},
      publishedAt: Date.now(),
    };
    await backend.publishToQueue(queue, [message]);
    const received = new Promise<Delivery>((resolve) => {
      void backend.subscribe(queue, { maxInFlight: 1 }, resolve);
    });
    expect((await received).message).toMatchObject({ id: message.id, content: 'secret' });
    await (await received).acknowledge();
  });

  test('a certificate that nobody vouches for is refused, and the error says so', async () => {
    await using backend = backendFor(node.secureUrl ?? '');
    await expect(backend.declareQueue('q')).rejects.toMatchObject({
      code: 'BROKER_UNAVAILABLE',
      message: expect.stringContaining('self-signed certificate'),
    });
  });
});
