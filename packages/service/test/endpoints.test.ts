import { MemoryBackend } from '@melange/backend-memory';
import { defineService, prometheusText, serveEndpoints } from '@melange/service';
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
    expect(metrics.text).toBe(await prometheusText(billing));
    const labels = 'service="billing \\"b\\"",queue="orders"';
    expect(metrics.text).toContain(`# TYPE melange_acknowledged_total counter\n`);
    expect(metrics.text).toContain(`melange_acknowledged_total{${labels}} 1\n`);
    expect(metrics.text).toContain(`melange_health{service="billing \\"b\\""} 0\n`);
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
});
