import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { backendFor, inbox, noBroker, queueName, unique, url } from './support/scene.ts';

const documentation = new URL('../../../docs/wire-format.md', import.meta.url);

/** The block of RabbitMQ's section in this language, with the names of the test in place of the document's. */
async function example(language: string, names: Readonly<Record<string, string>>): Promise<string> {
  const [, section = ''] = (await readFile(documentation, 'utf8')).split('\n## RabbitMQ\n');
  const [, block = ''] = section.split(`\n\`\`\`${language}\n`);
  let [code = ''] = block.split('\n```\n');
  for (const [name, replacement] of Object.entries(names)) {
    expect(code).toContain(name);
    code = code.replaceAll(name, replacement);
  }
  return code;
}

describe.skipIf(url === '')(`docs/wire-format.md${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('the example of amqplib publishes what is read', async () => {
    const backend = backendFor();
    const topic = unique();
    const queue = queueName(backend);
    onTestFinished(() => backend.deleteTopic(topic));
    await backend.declareQueue(queue, { topics: [topic], filter: ['shop.v1.OrderPlaced'] });
    // Beside this file, where amqplib is found.
    const script = fileURLToPath(new URL(`${unique()}.mjs`, import.meta.url));
    onTestFinished(() => rm(script, { force: true }));
    await writeFile(script, await example('js', { 'amqp://localhost:5672': url, 'order-events': topic }));
    await promisify(execFile)(process.execPath, [script]);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await vi.waitFor(() => expect(received.deliveries).toHaveLength(1), { timeout: 15_000 });
    expect(received.deliveries[0]?.message).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      content: Uint8Array.from(Buffer.from('0a036f2d31', 'hex')),
      manifest: 'shop.v1.OrderPlaced',
      serializerId: 3,
      key: undefined,
      headers: {},
      publishedAt: undefined,
    });
  });
});
