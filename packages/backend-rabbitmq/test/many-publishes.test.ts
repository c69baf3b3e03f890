import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { TcpProxy } from '@melange/conformance';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { backendFor, message, noBroker, queueName, url } from './support/scene.ts';

const publisher = fileURLToPath(new URL('support/publish-many.ts', import.meta.url));

describe.skipIf(url === '')(`publishes at once${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('150,000 in one turn are all confirmed, in little memory', { timeout: 180_000 }, async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { type: 'classic' });
    const options = ['--import', 'tsx', '--max-old-space-size=512', publisher];
    const child = spawn(process.execPath, [...options, url, queue, '150000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let told = '';
    child.stdout.on('data', (chunk: Buffer) => {
      told += chunk.toString();
    });
    const [status] = (await once(child, 'exit')) as [number | null];
    expect([status, told]).toEqual([0, 'confirmed 150000\n']);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(150_000), {
      timeout: 20_000,
      interval: 200,
    });
  });

  test('150,000 that wait for the broker to read, and are sent again when it is lost, arrive', {
    timeout: 180_000,
  }, async () => {
    const { hostname: host, port } = new URL(url);
    const proxy = await TcpProxy.start({ host, port: Number(port || 5672) });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const address = Object.assign(new URL(url), { host: `127.0.0.1:${proxy.address.port}` });
    const [backend, direct] = [backendFor({ url: address.href }), backendFor()];
    const queue = queueName(direct);
    await direct.declareQueue(queue, { type: 'classic' });
    await backend.publishToQueue(queue, [message('connects')]);
    proxy.stall();
    const publishing = Array.from({ length: 150_000 }, () =>
      backend.publishToQueue(queue, [message('x')], { deadlineMs: 150_000 }),
    );
    await new Promise((resolve) => setImmediate(resolve));
    proxy.cut();
    proxy.resume();
    await Promise.all(publishing);
    expect((await direct.describeQueue(queue)).depth).toBeGreaterThanOrEqual(150_001);
  });
});
