import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { SqsBatchResponse, SqsEvent } from '../src/index.ts';
import { type Bundle, bundle } from './support/bundle.ts';
import { SqsEventSource } from './support/event-source.ts';
import { LambdaRuntime } from './support/lambda-runtime.ts';
import { backendFor, isMissing, uniqueName, url } from './support/scene.ts';

describe.skipIf(isMissing)('in Amazon’s runtime interface client (skipped without SQS_URL)', () => {
  let deployed: Bundle;

  beforeAll(async () => {
    deployed = await bundle('orders');
  });
  afterAll(() => deployed[Symbol.asyncDispose]());

  const order = (id: string) => ({
    id: randomUUID(),
    content: JSON.stringify({ id }),
    manifest: 'OrderPlaced',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: undefined,
  });

  async function scene(ids: readonly string[]) {
    const [backend, queue] = [backendFor(), uniqueName()];
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, ids.map(order));
    const runtime = await LambdaRuntime.start(deployed.folder, { SQS_URL: url as string, QUEUE: queue });
    const source = new SqsEventSource(url as string, queue);
    onTestFinished(async () => {
      await runtime[Symbol.asyncDispose]();
      await source[Symbol.asyncDispose]();
    });
    return { runtime, source };
  }

  test('the bundled function processes a batch, and names what is to come again', async () => {
    const { runtime, source } = await scene(['a', 'fails', 'b']);
    const invoke = (event: SqsEvent) => runtime.invoke<SqsBatchResponse>(event);
    const event = await source.batch(3);
    const failed = event.Records.find(({ body }) => body.includes('fails'));
    expect(await invoke(event)).toEqual({ batchItemFailures: [{ itemIdentifier: failed?.messageId }] });
    expect(runtime.output).toContain('handled a, attempt 1');
    expect(runtime.output).toContain('handled b, attempt 1');
    // The same environment goes on with the next one.
    expect(await invoke({ Records: event.Records.filter((one) => one !== failed) })).toEqual({
      batchItemFailures: [],
    });
  });

  test('the time that Lambda grants ends handlers', async () => {
    const { runtime, source } = await scene(['slow']);
    const begun = performance.now();
    expect(await runtime.invoke(await source.batch(1), 3_000)).toEqual({ batchItemFailures: [] });
    expect(performance.now() - begun).toBeGreaterThan(1_500);
  });

  test('an event of another queue is an error of the invocation', async () => {
    const { runtime, source } = await scene(['a']);
    const [record] = (await source.batch(1)).Records;
    const other = { Records: [{ ...record, eventSourceARN: 'arn:aws:sqs:us-east-1:1:payments' }] };
    await expect(runtime.invoke(other)).rejects.toThrow(/MelangeError.*map each queue to its own handler/s);
  });
});
