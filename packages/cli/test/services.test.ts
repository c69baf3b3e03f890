import { randomUUID } from 'node:crypto';
import { Parser } from '@asyncapi/parser';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { silentLogger } from '@melange/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Installed, install } from './support/installed.ts';
import { drain } from './support/letters.ts';
import { json, run, type Setting, start } from './support/run.ts';

const { RABBITMQ_URL } = process.env;
const prefix = `cli-${randomUUID()}`;
const [queue, dead, topic] = [`${prefix}-orders`, `${prefix}-orders-dead`, `${prefix}-events`];
const env = { RABBITMQ_URL: RABBITMQ_URL ?? '', CLI_PREFIX: prefix };
let setting: Setting;
const melange = (...args: string[]) => run(args, setting);

interface Planned {
  readonly queue: string;
  readonly differences: readonly { readonly kind: string; readonly text: string }[];
}

describe.skipIf(RABBITMQ_URL === undefined)('melange with the services of a config, on RabbitMQ', () => {
  let backend: RabbitMqBackend;
  let installed: Installed;
  beforeAll(async () => {
    installed = await install('./shop.config.ts');
    setting = { installed, env };
    backend = new RabbitMqBackend({ url: RABBITMQ_URL as string, logger: silentLogger });
  });
  afterAll(async () => {
    for (const name of [queue, dead]) await backend.deleteQueue(name);
    for (const name of [topic, `${topic}-old`]) await backend.deleteTopic(name);
    await backend.close();
    await installed[Symbol.asyncDispose]();
  });

  it('plans what is missing, applies it only with --yes, and takes away only with --remove', async () => {
    const planned = async (): Promise<readonly string[]> =>
      (await json<readonly Planned[]>(['plan'], setting)).flatMap(({ differences }) =>
        differences.map(({ kind }) => kind),
      );
    const plan = await melange('plan');
    expect(plan.code).toBe(3);
    expect(plan.out).toContain('missing     the queue does not exist');
    const dry = await melange('apply');
    expect(dry).toMatchObject({ code: 0, err: 'Nothing was changed. To do it: --yes\n' });
    expect((await backend.describeQueue(queue)).exists).toBe(false);
    expect((await melange('apply', '--yes')).code).toBe(0);
    expect(await backend.describeQueue(queue)).toMatchObject({
      exists: true,
      deadLetterQueue: dead,
      topics: [topic],
      filter: ['OrderPlaced'],
    });
    await backend.declareQueue(queue, { topics: [`${topic}-old`], deadLetterQueue: dead });
    expect(await planned()).toContain('undeclared');
    expect((await melange('apply', '--yes')).code).toBe(3);
    expect((await backend.describeQueue(queue)).topics).toContain(`${topic}-old`);
    expect((await melange('apply', '--yes', '--remove')).code).toBe(0);
    expect((await backend.describeQueue(queue)).topics).toEqual([topic]);
  });

  it('publishes what the schema of the manifest allows, to queue and topic', async () => {
    const right = '{"orderId":"1","total":12}';
    const published = await melange(
      'publish',
      topic,
      right,
      '--manifest',
      'OrderPlaced',
      '--header',
      'tenant=acme',
    );
    expect(published).toMatchObject({ code: 0, err: `published 1 to the topic ${topic}\n` });
    const wrong = await melange('publish', topic, '{"orderId":1}', '--manifest', 'OrderPlaced');
    expect(wrong.code).toBe(2);
    expect(wrong.err).toMatch(/^error: The content is no OrderPlaced of the service billing: .*total/);
    const notJson = await melange('publish', queue, '{');
    expect(notJson).toMatchObject({ code: 2, err: expect.stringContaining('not JSON') });
    const lines = await run(['publish', queue, '--lines', '--manifest', 'OrderPlaced'], {
      ...setting,
      input: '{"orderId":"2","total":1}\n\n{"orderId":"3","total":1}\n',
    });
    expect(lines.code).toBe(0);
    const messages = await drain(backend, queue);
    expect(messages.map(({ content }) => content)).toEqual([
      right,
      '{"orderId":"2","total":1}',
      '{"orderId":"3","total":1}',
    ]);
    expect(messages[0]).toMatchObject({ id: published.out.trim(), headers: { tenant: 'acme' } });
    const nowhere = await melange('publish', `${prefix}-nowhere`, '{}');
    expect(nowhere).toMatchObject({ code: 4, out: '' });
  });

  it('tails a topic through a queue of its own, which is gone afterwards, and leaves the messages to their queue', async () => {
    const args = ['tail', topic, '--manifest', 'OrderPaid', '--count', '1', '--json'];
    const tail = start(args, setting);
    await tail.saw('listening to');
    await melange('publish', topic, '{"orderId":"1","total":1}', '--manifest', 'OrderPlaced');
    await melange('publish', topic, '{"orderId":"2"}', '--manifest', 'OrderPaid');
    const { code, out } = await tail.ended;
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ manifest: 'OrderPaid', content: { orderId: '2' } });
    expect(await drain(backend, queue)).toHaveLength(1);
  });

  it('shows queues, and says by its exit code that one is missing', async () => {
    const { code, out } = await melange('queues');
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^${queue} +billing +0 +- +0 +-$`, 'm'));
    expect((await melange('queues', `${prefix}-nowhere`)).code).toBe(4);
    const watch = start(['queues', '--watch', '200ms', '--json'], setting);
    await watch.saw('"queue"');
    watch.child.kill('SIGINT');
    expect((await watch.ended).code).toBe(0);
  });

  it('serves the dashboard of the queues of the config, which reads only unless told otherwise', async () => {
    const serving = start(['dashboard', '--port', '0', '--json'], setting);
    await serving.saw('"url"');
    const { url, allowChanges } = JSON.parse(serving.out());
    expect(allowChanges).toBe(false);
    const overview = await (await fetch(new URL('api/overview', url))).json();
    expect(overview).toMatchObject({
      user: 'loopback',
      allowChanges: false,
      queues: [{ broker: 'billing', name: queue, deadLetterQueue: dead }],
    });
    serving.child.kill('SIGINT');
    expect((await serving.ended).code).toBe(0);
    const open = await melange('dashboard', '--host', '0.0.0.0', '--port', '0');
    expect(open).toMatchObject({ code: 2, err: expect.stringContaining('token') });
  });

  it('writes an AsyncAPI document that its own parser accepts, with the schemas', async () => {
    const { code, out } = await melange('asyncapi');
    expect(code).toBe(0);
    const { document, diagnostics } = await new Parser().parse(out);
    expect(diagnostics.filter(({ severity }) => severity === 0)).toEqual([]);
    expect(document?.version()).toBe('3.0.0');
    expect(
      document
        ?.operations()
        .all()
        .map((operation) => [operation.action(), operation.channels().all()[0]?.address()])
        .sort(),
    ).toEqual([
      ['receive', queue],
      ['send', topic],
    ]);
    const placed = document
      ?.allMessages()
      .all()
      .find((one) => one.name() === 'OrderPlaced');
    expect(placed?.payload()?.required()).toEqual(['orderId', 'total']);
  });

  it('a doctor finds all well, and says of dead letters what to do', async () => {
    expect((await melange('doctor')).code).toBe(0);
    await backend.publishToQueue(dead, [
      {
        id: '1',
        content: '{}',
        manifest: 'OrderPlaced',
        serializerId: 1,
        key: undefined,
        headers: {},
        publishedAt: undefined,
      },
    ]);
    const { code, out } = await melange('doctor');
    expect(code).toBe(3);
    expect(out).toContain(
      `FAIL  billing: queue ${queue} of billing: 1 dead letters wait: melange dead summarize ${queue}`,
    );
  });
});
