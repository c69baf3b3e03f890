import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { QueuePublisher } from '@melange/core';
import { defineService } from '@melange/service';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { OrderPlaced } from './support/messages.ts';
import { Program } from './support/program.ts';

const { RABBITMQ_URL: url } = process.env;
const ids = ['1', '2', '3', '4', '5', '6'];

describe.skipIf(url === undefined)(
  'an application on RabbitMQ, with three messages at once (skipped where RABBITMQ_URL is not set)',
  () => {
    let backend: RabbitMqBackend;
    let queue: string;
    beforeAll(() => {
      backend = new RabbitMqBackend({ url: url as string });
    });
    beforeEach(async () => {
      queue = `nestjs-${randomUUID()}`;
      await backend.declareTopic(`${queue}-events`);
      await backend.declareQueue(`${queue}-published`, { topics: [`${queue}-events`] });
      await backend.declareQueue(queue, { deadLetterQueue: `${queue}-dead` });
    });
    afterAll(() => backend.close());

    const application = (options: object = {}): Program =>
      new Program('billing', {
        URL_OF_BROKER: url as string,
        QUEUE: queue,
        OPTIONS: JSON.stringify(options),
      });
    const publish = async (): Promise<void> => {
      const { serializers } = defineService({ name: 'x', backend, messages: [OrderPlaced] });
      const batch = ids.map((id) => ({ value: new OrderPlaced({ id }) }));
      await new QueuePublisher({ backend, serializers }).publishBatch(queue, batch);
    };
    const depth = async (name: string): Promise<number> => (await backend.describeQueue(name)).depth ?? -1;
    const lines = (program: Program, word: string): string[] =>
      [...program.output.matchAll(new RegExp(`^${word} (\\d+)$`, 'gm'))].map(([, id]) => id as string);
    const begun = async (program: Program, count: number): Promise<void> => {
      await expect.poll(() => lines(program, 'begun'), { timeout: 30_000 }).toHaveLength(count);
    };
    const remove = async (): Promise<void> => {
      for (const name of [queue, `${queue}-dead`, `${queue}-published`]) await backend.deleteQueue(name);
      await backend.deleteTopic(`${queue}-events`);
    };

    it('is ready, and at SIGTERM finishes what runs, with what it publishes, begins nothing more, and loses nothing', async () => {
      await using program = application();
      const [, address = ''] = await program.writes(/listening at (\S+)/);
      expect((await fetch(`${address}/ready`)).status).toBe(200);
      await publish();
      await begun(program, 3);
      program.signal('SIGTERM');
      await expect.poll(async () => (await fetch(`${address}/ready`)).status, { timeout: 30_000 }).toBe(503);
      program.send('go on');
      expect(await program.exit()).toBe('SIGTERM');
      expect(lines(program, 'finished').toSorted()).toEqual(lines(program, 'begun').toSorted());
      expect(lines(program, 'begun')).toHaveLength(3);
      await expect.poll(() => depth(queue), { timeout: 30_000 }).toBe(3);
      expect(await depth(`${queue}-published`)).toBe(3);
      await remove();
    });

    it('gives back what is not finished by the deadline', async () => {
      await using program = application({ deadlineMs: 100 });
      await program.writes(/listening at/);
      await publish();
      await begun(program, 3);
      program.signal('SIGTERM');
      expect(await program.exit()).toBe('SIGTERM');
      expect(lines(program, 'finished')).toEqual([]);
      await expect.poll(() => depth(queue), { timeout: 30_000 }).toBe(6);
      await remove();
    });

    it('killed while handlers run loses nothing: the next one handles every message', async () => {
      {
        await using killed = application();
        await killed.writes(/listening at/);
        await publish();
        await begun(killed, 3);
        killed.signal('SIGKILL');
        await killed.exit();
        expect(lines(killed, 'finished')).toEqual([]);
      }
      await using program = application();
      for (const count of [3, 6]) {
        await begun(program, count);
        program.send('go on');
      }
      await expect.poll(() => lines(program, 'finished').toSorted(), { timeout: 30_000 }).toEqual(ids);
      program.signal('SIGTERM');
      expect(await program.exit()).toBe('SIGTERM');
      expect(await depth(queue)).toBe(0);
      expect(await depth(`${queue}-dead`)).toBe(0);
      await remove();
    });
  },
);

describe('an application without its broker', () => {
  /** A port at which nobody listens. */
  const closedPort = (): Promise<number> =>
    new Promise((resolve) => {
      const server = createServer();
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        server.close(() => resolve(port));
      });
    });
  const application = async (options: object): Promise<Program> =>
    new Program('billing', {
      URL_OF_BROKER: `amqp://shop:secret@127.0.0.1:${await closedPort()}`,
      QUEUE: 'orders',
      OPTIONS: JSON.stringify(options),
    });

  it('waits for it, and ends when it is told to', async () => {
    await using waiting = await application({});
    await waiting.writes(/waiting for rabbitmq/);
    expect(waiting.output).not.toContain('listening at');
    waiting.signal('SIGTERM');
    expect(await waiting.exit()).toBe('SIGTERM');
    expect(waiting.output).not.toContain('secret');
  });

  it('with awaitsStart false serves requests meanwhile, says that it is not ready, and ends when it is told to', async () => {
    await using waiting = await application({ awaitsStart: false });
    const [, address = ''] = await waiting.writes(/listening at (\S+)/);
    expect((await fetch(`${address}/ready`)).status).toBe(503);
    waiting.signal('SIGTERM');
    expect(await waiting.exit()).toBe('SIGTERM');
  });

  it('with failFast does not start, and the process ends', async () => {
    await using failing = await application({ failFast: true });
    expect(await failing.exit()).toBe(1);
    expect(failing.output).not.toContain('listening at');
  });
});
