import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { root } from '../src/markdown-page.ts';

const program = `
import { MemoryBackend } from '@melange/backend-memory';
import { MessageDispatcher, QueuePublisher, SerializerRegistry, SingleDispatchConsumer } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';

class OrderPlaced {
  constructor(readonly id: string) {}
}
class Billing extends SingleDispatchConsumer {
  constructor() {
    super('billing');
    this.on(OrderPlaced, ({ id }) => console.log(\`billed \${id}\`));
  }
}
const backend = new MemoryBackend();
await backend.declareQueue('orders');
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer([OrderPlaced]) }, default: 'json' });
await new QueuePublisher({ backend, serializers }).publish('orders', new OrderPlaced('4711'));
const dispatcher = new MessageDispatcher({ backend, serializers });
dispatcher.attachConsumer(new Billing());
await dispatcher.consumeLoop('orders');
`;

test('a program with consumeLoop in memory stays when it is idle, and says nothing of a promise that never settles', {
  timeout: 60_000,
}, async () => {
  const folder = await mkdtemp(join(root, 'apps/docs/.markdown-idle-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'program.ts'), program);
  const child = spawn(process.execPath, ['--import', 'tsx', join(folder, 'program.ts')], { cwd: root });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (data: Buffer) => {
    said += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  const ended = once(child, 'exit');
  while (!said.includes('billed')) await Promise.race([once(child.stdout, 'data'), ended]);
  // It has nothing to do from here on; without anything that holds it, it ends with its last turn.
  await Promise.race([ended, delay(1_000)]);
  expect([said, child.exitCode]).toEqual(['billed 4711\n', null]);
});
