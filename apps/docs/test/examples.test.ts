import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { parsePage, root } from '../src/markdown-page.ts';

const execute = promisify(execFile);
const tsx = join(root, 'node_modules/.bin/tsx');

/** Where each broker is, as in the names that `brokers up` takes. */
const addresses: Readonly<Record<string, string>> = {
  rabbitmq: 'RABBITMQ_URL',
  redis: 'REDIS_URL',
  sqs: 'SQS_URL',
  kafka: 'KAFKA_URL',
  nats: 'NATS_URL',
  postgres: 'POSTGRES_URL',
};

const examples = readdirSync(join(root, 'apps'))
  .filter((name) => name.startsWith('example-'))
  .map((name) => {
    const path = `apps/${name}/README.md`;
    const { blocks } = parsePage(path, readFileSync(join(root, path), 'utf8'));
    const commands = blocks.find(({ language }) => language === 'sh')?.code ?? '';
    return {
      name,
      brokers: /brokers up (.+)/.exec(commands)?.[1]?.split(' ') ?? [],
      program: /^npx -y pnpm@12 exec tsx (\S+)$/m.exec(commands)?.[1] ?? '',
      output: blocks.find(({ language }) => language === 'text')?.code,
    };
  });

test('the examples are numbered', () => {
  const numbers = examples.map(({ name }) => Number(/^example-(\d\d)-/.exec(name)?.[1]));
  expect(numbers).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test.for(examples)('$name prints what its README says', { timeout: 60_000 }, async (example, { skip }) => {
  const missing = example.brokers.filter((broker) => process.env[addresses[broker] ?? ''] === undefined);
  skip(missing.length > 0, `no ${missing.join(', ')} here`);
  const { stdout } = await execute(tsx, [example.program], { cwd: root });
  expect(stdout).toBe(example.output);
});
