import { MemoryBackend } from '@melange/backend-memory';
import { metricsText } from '@melange/metrics';
import { defineService, serveEndpoints } from '@melange/service';
import { describe, expect, it } from 'vitest';
import { InvoicePaid, OrderPlaced } from './support/messages.ts';

const messages = [OrderPlaced, InvoicePaid] as const;

describe('the endpoints', () => {
  it('answer for a service that somebody else starts, and nothing else', async () => {
    const billing = defineService({
      name: 'billing "b"',
      backend: new MemoryBackend(),
      messages,
      queues: { orders: { deadLetterQueue: 'dead' } },
      sends: { orders: [OrderPlaced] },
    }).on('orders', OrderPlaced, () => undefined);
    const endpoints = await serveEndpoints(billing, 0, '127.0.0.1');
    const get = async (path: string, method = 'GET') => {
      const response = await fetch(`http://127.0.0.1:${endpoints.port}${path}`, { method });
      return {
        status: response.status,
        text: await response.text(),
        type: response.headers.get('content-type'),
      };
    };
    expect(await get('/ready')).toMatchObject({ status: 503 });
    await billing.start();
    expect(await get('/ready?from=probe')).toMatchObject({
      status: 200,
      type: expect.stringContaining('json'),
    });
    expect(await get('/live')).toMatchObject({ status: 200, text: '{"status":"alive"}' });
    expect(await get('/other')).toMatchObject({ status: 404 });
    expect(await get('/ready', 'POST')).toMatchObject({ status: 405 });

    await billing.send('orders', new OrderPlaced({ id: '1' }));
    await expect.poll(() => billing.counters().orders?.acknowledged).toBe(1);
    const metrics = await get('/metrics');
    expect(metrics).toMatchObject({ status: 200, type: 'text/plain; version=0.0.4; charset=utf-8' });
    expect(metrics.text).toBe(await metricsText(billing));
    const labels = 'messaging_system="melange_memory",messaging_destination_name="orders"';
    const consumed = 'messaging_client_consumed_messages_total';
    expect(metrics.text).toContain(`# TYPE ${consumed} counter\n`);
    expect(metrics.text).toContain(`${consumed}{${labels},messaging_operation_name="receive"} 1\n`);
    expect(metrics.text).toContain('melange_health{melange_service="billing \\"b\\""} 0\n');
    expect(metrics.text).toContain(`melange_health{${labels}} 0\n`);
    expect(metrics.text).toContain('melange_health{melange_backend="default"} 0\n');
    expect(metrics.text).toMatch(/^messaging_client_sent_messages_total\{.*"orders"\} 1$/m);
    expect(await get('/queues')).toMatchObject({
      status: 200,
      text: '{"queues":{"orders":{"waiting":0,"inFlight":0,"total":0}}}',
    });
    await endpoints.close();
    await billing.stop();
  });

  it('serve the metrics that they are given, and say why they cannot', async () => {
    const billing = defineService({ name: 'billing', backend: new MemoryBackend(), messages });
    const texts = ['mine', undefined];
    const endpoints = await serveEndpoints(billing, 0, '127.0.0.1', ({ name }) => {
      const text = texts.shift();
      if (text === undefined) throw new Error('no metrics today');
      return `${text} of ${name}`;
    });
    const get = () => fetch(`http://127.0.0.1:${endpoints.port}/metrics`);
    expect(await (await get()).text()).toBe('mine of billing');
    const failed = await get();
    expect([failed.status, await failed.text()]).toEqual([500, 'no metrics today']);
    await endpoints.close();
    await billing.stop();
  });

  it('count only what is the own of each of two services in a process', async () => {
    const serviceOf = (name: string) =>
      defineService({
        name,
        backend: new MemoryBackend(),
        messages,
        queues: { [`${name}-orders`]: {} },
        sends: { [`${name}-orders`]: [OrderPlaced] },
      }).on(`${name}-orders`, OrderPlaced, () => undefined);
    const [one, other] = [serviceOf('one'), serviceOf('other')];
    const endpoints = await serveEndpoints(one, 0, '127.0.0.1');
    await Promise.all([one.start(), other.start()]);
    for (const service of [one, other]) {
      await service.send(`${service.name}-orders`, new OrderPlaced({ id: '1' }));
      await expect
        .poll(() => Object.values(service.counters()).map(({ acknowledged }) => acknowledged))
        .toEqual([1]);
    }
    const text = await (await fetch(`http://127.0.0.1:${endpoints.port}/metrics`)).text();
    expect(text).toContain('one-orders');
    expect(text).not.toContain('other-orders');
    await endpoints.close();
    await Promise.all([one.stop(), other.stop()]);
  });
});
