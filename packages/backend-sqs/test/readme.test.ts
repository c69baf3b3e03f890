import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type SqsBackend, sqsCapabilities } from '../src/index.ts';
import type { HttpProxy } from './support/http-proxy.ts';
import {
  backendAt,
  eventually,
  isMissing,
  numbered,
  receive,
  sharedUrl,
  throughProxy,
  uniqueName,
} from './support/scene.ts';

/** Cells of the rows of the table of a page with this first heading. */
function tableOf(page: string, heading: string): string[][] {
  const text = readFileSync(new URL(page, import.meta.url), 'utf8');
  const table = text.slice(text.indexOf(`| ${heading} `)).split('\n\n')[0] ?? '';
  const [, , ...rows] = table.split('\n');
  return rows.map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

test('the README says of each capability what the data say', () => {
  const rows = tableOf('../README.md', 'capability').map(([name, value]) => [name, value]);
  expect(rows).toEqual(
    Object.entries(sqsCapabilities).map(([name, value]) => [`\`${name}\``, String(value)]),
  );
});

describe.skipIf(isMissing)(
  'docs/sqs.md names the permissions that are needed (skipped without SQS_URL)',
  () => {
    let backend: SqsBackend;
    let proxy: HttpProxy;
    let [queue, topic, deadLetterQueue] = ['', '', ''];

    beforeEach(async () => {
      [queue, topic, deadLetterQueue] = [uniqueName(), uniqueName(), uniqueName()];
      ({ backend, proxy } = await throughProxy());
    });
    afterEach(() => backendAt(sharedUrl as string).deleteTopic(topic));

    const others = (): SqsBackend => backendAt(sharedUrl as string);
    const prepared = () => others().declareQueue(queue, { topics: [topic], deadLetterQueue });

    const uses: Record<string, () => Promise<unknown>> = {
      'publish to queues': async () => {
        await others().declareQueue(queue);
        await backend.publishToQueue(queue, numbered(1));
      },
      'publish to topics': async () => {
        await others().declareTopic(topic);
        await backend.publishToTopic(topic, numbered(1));
      },
      subscribe: async () => {
        await prepared();
        await others().publishToQueue(queue, numbered(3));
        const { deliveries } = await receive(backend, queue);
        await eventually(() => expect(deliveries).toHaveLength(3));
        await deliveries[0]?.acknowledge();
        await deliveries[1]?.retry({ delayMs: 60_000 });
        await deliveries[2]?.deadLetter({ reason: 'test' });
      },
      describe: async () => {
        await prepared();
        await backend.describeQueue(queue);
      },
      'declare topics': () => backend.declareTopic(topic),
      'declare queues': () => backend.declareQueue(queue, { deadLetterQueue }),
      'declare queues of topics': async () => {
        await backend.declareQueue(queue, { topics: [topic], filter: ['A'] });
        await backend.declareQueue(queue, { topics: [topic], filter: ['B'] });
      },
      'look up': async () => {
        await prepared();
        const looking = await throughProxy({ topology: 'look-up' });
        ({ proxy } = looking);
        await looking.backend.declareTopic(topic);
        await looking.backend.declareQueue(queue, { topics: [topic], deadLetterQueue });
      },
      delete: async () => {
        await prepared();
        const another = uniqueName();
        await others().declareTopic(another);
        await backend.deleteTopic(another);
        await backend.deleteQueue(queue);
      },
    };

    test('for each use', () => {
      expect(tableOf('../../../docs/sqs.md', 'to').map(([use]) => use)).toEqual(Object.keys(uses));
    });

    test.each(Object.entries(uses))('to %s', async (use, run) => {
      await run();
      const [, named = ''] = tableOf('../../../docs/sqs.md', 'to').find(([name]) => name === use) ?? [];
      const actions = [...named.matchAll(/`(\w+:\w+)`/g)].map(([, action]) => action);
      const used = new Set(proxy.calls.map(({ action }) => permissionOf(action)));
      expect(actions.filter((action, index) => actions.indexOf(action) === index).sort()).toEqual(
        [...used].sort(),
      );
    });
  },
);

/** The permission of an action: that of a batch is that of its entries. */
function permissionOf(action: string): string {
  const service = /Topic|[Ss]ubscri|Publish/.test(action) ? 'sns' : 'sqs';
  return `${service}:${action.replace(/Batch$/, '')}`;
}
