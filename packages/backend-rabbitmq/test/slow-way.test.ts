import { silentLogger } from '@melange/core';
import { describe, expect, test, vi } from 'vitest';
import { slowReading, slowWriting } from '../src/client/amqplib-internals.ts';
import { arrived, backendFor, inbox, message, noBroker, queueName, url } from './support/scene.ts';

/** As with a version of amqplib that is made otherwise. */
const isChanged = vi.hoisted(() => ({ now: false }));
vi.mock('../src/client/amqplib-internals.ts', async (original) => {
  const internals = await original<typeof import('../src/client/amqplib-internals.ts')>();
  const { frameInlet, frameOutlet, propertiesPayload } = internals;
  return {
    ...internals,
    frameInlet: (model: never, reader: never) => (isChanged.now ? undefined : frameInlet(model, reader)),
    frameOutlet: (channel: never) => (isChanged.now ? undefined : frameOutlet(channel)),
    propertiesPayload: (properties: never) => (isChanged.now ? undefined : propertiesPayload(properties)),
  };
});

async function exchange(): Promise<{ warned: unknown[]; health: unknown }> {
  const warn = vi.fn();
  const backend = backendFor({ logger: { ...silentLogger, warn } });
  const queue = queueName(backend);
  await backend.declareQueue(queue);
  await backend.publishToQueue(queue, [message('1'), message('2')]);
  const received = inbox((delivery) => delivery.acknowledge());
  await backend.subscribe(queue, { maxInFlight: 2 }, received.receive);
  await arrived(received.deliveries, 2);
  expect(received.deliveries.map(({ message: { content } }) => content)).toEqual(['1', '2']);
  return { warned: warn.mock.calls.map(([line]) => line), health: await backend.health() };
}

describe.skipIf(url === '')(`amqplib${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('of a version that is made otherwise is used in its own way: one warning each, and a line in health', async () => {
    isChanged.now = true;
    const { warned, health } = await exchange();
    expect(warned).toEqual([slowReading, slowWriting]);
    expect(health).toEqual({ status: 'healthy', detail: `${slowReading}; ${slowWriting}` });
  });

  test('of this version is used in the fast way, of which nothing is said', async () => {
    isChanged.now = false;
    expect(await exchange()).toEqual({ warned: [], health: { status: 'healthy' } });
  });
});
