import { GetQueueUrlCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { SqsBackend } from '@melange/backend-sqs';
import { silentLogger } from '@melange/core';
import { context, createTraceState, propagation, type SpanContext, trace } from '@opentelemetry/api';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { canStartHere, startRabbitMq } from '../../../apps/brokers/src/index.ts';
import { Scene } from './support/scene.ts';
import { idOf, linked, Telemetry } from './support/telemetry.ts';

const { RABBITMQ_URL, SQS_URL } = process.env;
const logger = silentLogger;

let telemetry: Telemetry;
beforeAll(() => {
  telemetry = new Telemetry();
});
afterAll(() => telemetry.close());
beforeEach(() => void telemetry.instrument());

describe.skipIf(RABBITMQ_URL === undefined)('on RabbitMQ (skipped without RABBITMQ_URL)', () => {
  test('the trace travels in the headers, through a retry and to what the handler publishes', async () => {
    await using backend = new RabbitMqBackend({ url: RABBITMQ_URL as string, logger });
    const scene = await Scene.open(backend);
    await scene.publisher.publish(scene.queue, { n: 1 }, { headers: { tenant: 'acme' } });
    const received: unknown[] = [];
    await scene.consume(
      async ({ n }, { attempt, headers }) => {
        received.push(headers.tenant);
        if (attempt === 1 && n === 1) throw new Error('once');
        if (n === 1) await scene.publisher.publish(scene.queue, { n: 2 });
      },
      3,
      { concurrency: 1 },
    );
    const [first, second] = telemetry.spans(`publish ${scene.queue}`);
    const [failed, repeated, followed] = telemetry.spans(`process ${scene.queue}`);
    if (!first || !second || !failed || !repeated || !followed) throw new Error('spans are missing');
    expect(failed.attributes).toMatchObject({
      'messaging.system': 'rabbitmq',
      'melange.attempt': 1,
      'melange.outcome': 'retry',
    });
    expect(repeated.attributes).toMatchObject({ 'melange.attempt': 2, 'melange.outcome': 'acknowledge' });
    expect([failed, repeated].flatMap(linked)).toEqual([idOf(first), idOf(first)]);
    expect(second.parentSpanContext?.spanId).toBe(idOf(repeated));
    expect(linked(followed)).toEqual([idOf(second)]);
    expect(received).toEqual(['acme', 'acme', undefined]);
    expect(telemetry.open).toBe(0);
    await backend.deleteQueue(scene.queue);
    await backend.deleteQueue(scene.dead);
  });
});

const canStart = canStartHere('rabbitmq');
test.skipIf(!canStart)(
  'a restart of the broker in the middle leaves no span open (skipped where no RabbitMQ can be started)',
  async () => {
    const broker = await startRabbitMq();
    try {
      await using backend = new RabbitMqBackend({ url: broker.url, logger });
      const scene = await Scene.open(backend);
      const publish = (n: number) => scene.publisher.publish(scene.queue, { n });
      await publish(1);
      let goOn = (): void => undefined;
      const wait = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      const seen: number[] = [];
      const stop = new AbortController();
      const consuming = scene
        .dispatcher(async ({ n }) => {
          seen.push(n);
          if (seen.length === 1) await wait;
        })
        .consumeLoop(scene.queue, { signal: stop.signal });
      await vi.waitFor(() => expect(seen).toEqual([1]), { timeout: 30_000 });
      const restarted = broker.restart();
      const publishing = publish(2);
      goOn();
      await Promise.all([restarted, publishing]);
      await vi.waitFor(() => expect(seen).toContain(2), { timeout: 60_000 });
      stop.abort();
      await consuming;
      expect(telemetry.open).toBe(0);
      // The first was not settled on the connection that it came by, and may come again.
      expect(telemetry.spans(`process ${scene.queue}`)).toHaveLength(seen.length);
      expect(telemetry.spans(`publish ${scene.queue}`)).toHaveLength(2);
    } finally {
      await broker.stop();
    }
  },
  180_000,
);

describe.skipIf(SQS_URL === undefined)('on SQS (skipped without SQS_URL)', () => {
  const client = {
    endpoint: SQS_URL as string,
    region: 'us-east-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  };

  async function attributesOnTheWire(queue: string): Promise<readonly string[]> {
    const sqs = new SQSClient(client);
    try {
      const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: queue }));
      const request = { QueueUrl, MessageAttributeNames: ['All'], WaitTimeSeconds: 5, VisibilityTimeout: 0 };
      const { Messages } = await sqs.send(new ReceiveMessageCommand(request));
      return Object.keys(Messages?.[0]?.MessageAttributes ?? {});
    } finally {
      sqs.destroy();
    }
  }

  async function attributesOf(scene: Scene): Promise<readonly string[]> {
    const attributes = await attributesOnTheWire(scene.queue);
    await scene.consume(() => undefined);
    return attributes;
  }

  test('the trace takes one of the ten attributes at most, with state and baggage too, and arrives', async () => {
    await using backend = new SqsBackend({ client, logger });
    const scene = await Scene.open(backend);
    const publish = () => scene.publisher.publish(scene.queue, { n: 1 });
    const instrumentation = telemetry.instrument({ enabled: false });
    await publish();
    const before = await attributesOf(scene);
    instrumentation.enable();
    await publish();
    const with1 = await attributesOf(scene);
    expect(with1.filter((name) => !before.includes(name))).toEqual(['traceparent']);

    const remote: SpanContext = {
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      spanId: '00f067aa0ba902b7',
      traceFlags: 1,
      isRemote: true,
      traceState: createTraceState('vendor=1'),
    };
    const baggage = propagation.createBaggage({ tenant: { value: 'acme' } });
    const active = propagation.setBaggage(trace.setSpanContext(context.active(), remote), baggage);
    await context.with(active, publish);
    const with3 = await attributesOnTheWire(scene.queue);
    expect(with3.filter((name) => !before.includes(name))).toEqual(['melange_headers']);
    const seen: unknown[] = [];
    await scene.consume((_, { headers }) => {
      seen.push(headers.tracestate, propagation.getActiveBaggage()?.getEntry('tenant')?.value);
    });
    expect(seen).toEqual(['vendor=1', 'acme']);
    const published = telemetry.spans(`publish ${scene.queue}`).at(-1);
    const processed = telemetry.spans(`process ${scene.queue}`).at(-1);
    expect(processed?.links[0]?.context.spanId).toBe(published?.spanContext().spanId);
    expect(processed?.attributes['messaging.system']).toBe('aws_sqs');
    await backend.deleteQueue(scene.queue);
    await backend.deleteQueue(scene.dead);
  });
});
