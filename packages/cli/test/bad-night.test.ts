import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { Reject, silentLogger } from '@melange/core';
import type { AnyService } from '@melange/service';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Installed, install } from './support/installed.ts';
import { message } from './support/letters.ts';
import { type PaymentDue, paymentsService } from './support/payments.ts';
import { run } from './support/run.ts';

const { RABBITMQ_URL } = process.env;
const prefix = `night-${randomUUID()}-`;
const [queue, dead] = [`${prefix}payments`, `${prefix}payments-dead`];
const page = await readFile(new URL('../../../docs/a-bad-night.md', import.meta.url), 'utf8');

/** Commands of the page, each with the answer that the page prints. */
const steps = [...page.matchAll(/```sh\n(.+?)\n```(?:\n\n```text\n(.+?)\n```)?/gs)].map(
  ([, command = '', answer]) => ({
    command,
    lines: (answer ?? '').split('\n').map(plain),
  }),
);

/** Words alone, without what differs from night to night. */
function plain(line: string): string {
  return (
    line
      .replaceAll(prefix, '')
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
      .replace(/\b[0-9a-f]{12}\b/g, '<group>')
      // Which letter comes first, and is the example, is not defined: payments fail ten at once.
      .replace(/\bpayment-\d+\b/g, '<payment>')
      .replace(/\s+/g, ' ')
      .trim()
  );
}

/** Words of a command line; what is in quotes is one. The queue has a name of its own here. */
function wordsOf(command: string): string[] {
  const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
  expect(words.shift()).toBe('melange');
  return words.map((word) => (word === 'payments' ? queue : word));
}

describe.skipIf(RABBITMQ_URL === undefined)('the page "A bad night, step by step", on RabbitMQ', () => {
  let installed: Installed;
  let backend: RabbitMqBackend;
  const charged: string[] = [];
  let isMended = false;
  let service: AnyService;
  const charge = ({ paymentId, currency }: PaymentDue): void => {
    const number = Number(paymentId.slice('payment-'.length));
    if (number >= 1_988) throw new Reject(`card ${number} was declined`);
    if (currency === undefined && !isMended) throw new Reject(`payment ${number} has no currency`);
    charged.push(paymentId);
  };
  beforeAll(async () => {
    installed = await install('./night.config.ts');
    backend = new RabbitMqBackend({ url: RABBITMQ_URL as string, logger: silentLogger });
    service = paymentsService(prefix, charge);
    await service.start();
    const due = Array.from({ length: 2_000 }, (_, n) => {
      const id = `payment-${n}`;
      return message(id, {
        manifest: 'PaymentDue',
        content: JSON.stringify({ paymentId: id, amount: n }),
        headers: {},
      });
    });
    await backend.publishToQueue(queue, due);
  });
  afterAll(async () => {
    await service.stop();
    for (const name of [queue, dead, `${dead}-redrive-lock`]) await backend.deleteQueue(name);
    await backend.close();
    await installed[Symbol.asyncDispose]();
  });

  it('does and answers what it says, and the books balance', { timeout: 180_000 }, async () => {
    expect(steps).toHaveLength(8);
    await expect.poll(async () => (await backend.describeQueue(dead)).depth, { timeout: 60_000 }).toBe(2_000);
    const setting = { installed, env: { RABBITMQ_URL: RABBITMQ_URL as string, CLI_PREFIX: prefix } };
    for (const { command, lines } of steps) {
      if (command.includes('redrive')) isMended = true;
      const { code, out, err } = await run(wordsOf(command), setting);
      expect(code, `${command}\n${out}${err}`).toBe(0);
      const answered = out.split('\n').map(plain);
      expect(answered, command).toEqual(expect.arrayContaining(lines));
      // RabbitMQ counts what was acknowledged a moment later.
      if (command.endsWith('--yes'))
        await expect.poll(async () => (await backend.describeQueue(dead)).depth).toBeOneOf([12, 0]);
    }
    expect(charged).toHaveLength(1_988);
    expect(new Set(charged).size).toBe(1_988);
    expect((await backend.describeQueue(dead)).depth).toBe(0);
    const kept = await readFile(join(installed.folder, 'night.ndjson'), 'utf8');
    expect(kept.trimEnd().split('\n')).toHaveLength(2_000);
  });
});
