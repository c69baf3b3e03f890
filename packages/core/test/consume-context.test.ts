import { consumeContext } from '@melange/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Scene } from './support/scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

test('a handler is told the conversation of its message, which begins with a message that is in none', async () => {
  const id = await scene.publisher.publish('orders', { n: 1 });
  await scene.publisher.publish('orders', { n: 2 }, { correlationId: 'c-1' });
  const told: string[] = [];
  await scene.dispatcher((_message, { correlationId }) => told.push(correlationId)).consumeEvent('orders');
  expect(told).toEqual([id, 'c-1']);
});

test('what a handler publishes because of its context is in the conversation of its message', async () => {
  await scene.publisher.publish('orders', { n: 1 }, { id: 'first' });
  const told: { messageId: string; correlationId: string }[] = [];
  await scene
    .dispatcher(async ({ n }, context) => {
      told.push({ messageId: context.messageId, correlationId: context.correlationId });
      const next = { id: `after-${context.messageId}`, causedBy: context };
      if (n < 3) await scene.publisher.publish('orders', { n: n + 1 }, next);
    })
    .consumeEvent('orders');
  expect(told).toEqual([
    { messageId: 'first', correlationId: 'first' },
    { messageId: 'after-first', correlationId: 'first' },
    { messageId: 'after-after-first', correlationId: 'first' },
  ]);
});

test('a handler is called directly with a context that is made for it', () => {
  const context = consumeContext({ messageId: 'm-1', attempt: 3, headers: { correlationId: 'c-1' } });
  expect(context).toMatchObject({ messageId: 'm-1', attempt: 3, correlationId: 'c-1', key: undefined });
  expect(context.signal.aborted).toBe(false);
  expect(consumeContext()).toMatchObject({
    messageId: 'test',
    attempt: 1,
    headers: {},
    correlationId: 'test',
  });
});
