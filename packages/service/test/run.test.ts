import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { QueuePublisher } from '@melange/core';
import { defineService } from '@melange/service';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OrderPlaced } from './support/messages.ts';
import { Program } from './support/program.ts';

const { RABBITMQ_URL: url } = process.env;

describe.skipIf(url === undefined)('run, on RabbitMQ (skipped where RABBITMQ_URL is not set)', () => {
  let backend: RabbitMqBackend;
  let queue: string;
  beforeAll(() => {
    backend = new RabbitMqBackend({ url: url as string });
  });
  beforeEach(() => {
    queue = `service-run-${randomUUID()}`;
  });
  afterAll(() => backend.close());

  const started = async (options: object, more: Readonly<Record<string, string>> = {}): Promise<Program> => {
    const environment = { URL_OF_BROKER: url as string, QUEUE: queue, RUN_OPTIONS: JSON.stringify(options) };
    return new Program('billing', { ...environment, ...more });
  };
  const publish = async (id: string): Promise<void> => {
    const { serializers } = defineService({ name: 'x', backend, messages: [OrderPlaced] });
    await new QueuePublisher({ backend, serializers }).publish(queue, new OrderPlaced({ id }));
  };
  const remove = async (): Promise<void> => {
    for (const name of [queue, `${queue}-dead`]) await backend.deleteQueue(name);
    await backend.deleteTopic(`${queue}-events`);
  };
  const status = async (port: string, path: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}${path}`)).status;

  it('says what it is, is ready, and at SIGTERM drains, says so to the orchestrator, and ends with 0', async () => {
    await using program = await started({ port: 0 });
    const [, port = ''] = await program.writes(/on port (\d+)/);
    await program.writes(/started/);
    expect(program.output).toContain('service billing');
    expect(program.output).toContain(
      `queue ${queue}: handles OrderPlaced; consumers billing; concurrency 10; dead letters to ${queue}-dead`,
    );
    expect(program.output).toContain(`publishes to topic ${queue}-events: OrderPlaced`);
    expect(program.output).toContain(`broker rabbitmq at ${new URL(url as string).host}\n`);
    const { password } = new URL(url as string);
    if (password !== '') expect(program.output).not.toContain(`:${password}@`);
    expect(await status(port, '/ready')).toBe(200);

    await publish('1');
    await program.writes(/begun 1/);
    program.signal('SIGTERM');
    await program.writes(/SIGTERM: stops intake/);
    expect(await status(port, '/ready')).toBe(503);
    expect(await status(port, '/live')).toBe(200);
    program.send('go on');
    expect(await program.exit()).toBe(0);
    expect(program.output).toContain('finished 1');
    expect(program.output).toContain('stopped');
    expect((await backend.describeQueue(queue)).depth).toBe(0);
    await remove();
  });

  it('gives what is not finished by the deadline back, and ends', async () => {
    await using program = await started({ deadlineMs: 100 });
    await program.writes(/started/);
    await publish('1');
    await program.writes(/begun 1/);
    program.signal('SIGINT');
    expect(await program.exit()).toBe(0);
    expect(program.output).not.toContain('finished 1');
    await expect.poll(async () => (await backend.describeQueue(queue)).depth).toBe(1);
    await remove();
  });

  it('ends at once at the second signal; its message comes again', async () => {
    await using program = await started({});
    await program.writes(/started/);
    await publish('1');
    await program.writes(/begun 1/);
    program.signal('SIGTERM');
    await program.writes(/SIGTERM: stops intake/);
    program.signal('SIGTERM');
    expect(await program.exit()).toBe(143);
    await expect.poll(async () => (await backend.describeQueue(queue)).depth).toBe(1);
    await remove();
  });

  it('ends with 1 when it cannot start', async () => {
    await backend.declareQueue(queue, { deadLetterQueue: 'another' });
    await using program = await started({});
    expect(await program.exit()).toBe(1);
    expect(program.output).toMatch(/ended by an error: .*dead-letter/);
    await remove();
    await backend.deleteQueue('another');
  });
});

describe('run, without its broker', () => {
  /** A port at which nobody listens. */
  const closedPort = (): Promise<number> =>
    new Promise((resolve) => {
      const server = createServer();
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        server.close(() => resolve(port));
      });
    });
  const program = async (options: object): Promise<Program> =>
    new Program('billing', {
      URL_OF_BROKER: `amqp://shop:secret@127.0.0.1:${await closedPort()}`,
      QUEUE: 'orders',
      RUN_OPTIONS: JSON.stringify(options),
    });

  it('waits for it, is alive and not ready meanwhile, and ends with 0 when it is told to', async () => {
    await using waiting = await program({ port: 0 });
    const [, port = ''] = await waiting.writes(/on port (\d+)/);
    await waiting.writes(/waiting for rabbitmq/);
    expect((await fetch(`http://127.0.0.1:${port}/ready`)).status).toBe(503);
    expect((await fetch(`http://127.0.0.1:${port}/live`)).status).toBe(200);
    waiting.signal('SIGTERM');
    expect(await waiting.exit()).toBe(0);
    expect(waiting.output).not.toContain('secret');
    expect(waiting.output.match(/waiting for rabbitmq/g)).toHaveLength(1);
  });

  it('ends with 1 at once with failFast', async () => {
    await using failing = await program({ failFast: true });
    expect(await failing.exit()).toBe(1);
    expect(failing.output).toContain('ended by an error');
    expect(failing.output).not.toContain('secret');
  });
});
