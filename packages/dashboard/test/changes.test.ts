import { setTimeout as delay } from 'node:timers/promises';
import { MemoryBackend } from '@melange/backend-memory';
import type { Message } from '@melange/core';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { ChangeRequest, JobView, LetterView, LookView, Overview, PageOfLetters } from '../src/api.ts';
import { type AuditEntry, type DashboardOptions, dashboardHandler } from '../src/index.ts';
import { letter, publishAll, queuePair } from './support/scene.ts';

const token = 'a-token-of-the-tests';

let backend: MemoryBackend;
let pair: { queue: string; dead: string };
let audited: AuditEntry[];
beforeEach(async () => {
  backend = new MemoryBackend();
  pair = await queuePair(backend);
  audited = [];
});

/** A dashboard that may change things, and calls of its API. */
function open(options: Partial<DashboardOptions> = {}) {
  const dashboard = dashboardHandler({
    queues: [{ backend, name: pair.queue }],
    allowChanges: true,
    token,
    audit: (entry) => audited.push(entry),
    ...options,
  });
  onTestFinished(async () => {
    await dashboard.close();
    await backend.close();
  });
  const call = async <Answer>(path: string, body?: unknown): Promise<{ status: number; body: Answer }> => {
    const request = new Request(`http://dashboard.example/api/${path}`, {
      headers: {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        'x-melange-dashboard': '1',
      },
      ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    });
    const response = await dashboard.fetch(request);
    return { status: response.status, body: (await response.json()) as Answer };
  };
  const dead = `dead/memory/${pair.dead}`;
  const change = (request: ChangeRequest) => call<JobView>(`${dead}/changes`, request);
  const ended = async (): Promise<JobView> => {
    for (;;) {
      const [job] = (await call<Overview>('overview')).body.jobs;
      if (job?.endedAt !== undefined) return job;
      await delay(5);
    }
  };
  return { call, change, ended, dead, dashboard };
}

const fail = (count: number, parts: Partial<Parameters<typeof letter>[0]> = {}): Message[] =>
  Array.from({ length: count }, () => letter({ sourceQueue: pair.queue, ...parts }));

const depths = async (): Promise<[number, number]> => {
  const [source, dead] = await Promise.all([
    backend.describeQueue(pair.queue),
    backend.describeQueue(pair.dead),
  ]);
  return [source.depth, dead.depth];
};

it('shows queues with their depths, health and dead letters', async () => {
  await backend.publishToQueue(pair.dead, fail(3));
  await backend.publishToQueue(pair.queue, fail(2));
  const { body } = await open().call<Overview>('overview');
  expect(body).toMatchObject({
    allowChanges: true,
    brokers: [{ name: 'memory', technology: 'memory', status: 'healthy' }],
    queues: [{ name: pair.queue, deadLetterQueue: pair.dead, samples: [{ depth: 2, inFlight: 0, dead: 3 }] }],
  });
});

it('says what is wrong with a queue that it cannot describe, beside the others', async () => {
  const queues = [
    { backend, name: pair.queue },
    { backend, name: 'nowhere' },
  ];
  const { body } = await open({ queues, logger: { ...console, warn: () => undefined } }).call<Overview>(
    'overview',
  );
  expect(body.queues).toMatchObject([
    { samples: [{ depth: 0 }] },
    { samples: [], trouble: 'There is no queue "nowhere".' },
  ]);
});

it('tells rates from the counts of dispatchers', async () => {
  let acknowledged = 0;
  const zero = { received: 0, retried: 0, deadLettered: 0, unhandled: 0, undecodable: 0, duplicates: 0 };
  const { call } = open({
    sampleEveryMs: 5,
    counters: () => {
      acknowledged += 10;
      return { [pair.queue]: { ...zero, acknowledged } };
    },
  });
  await expect
    .poll(async () => (await call<Overview>('overview')).body.queues[0]?.samples.at(-1)?.processedPerSecond)
    .toBeGreaterThan(0);
});

it('groups letters, counts them over time, and pages through them', async () => {
  const start = Date.parse('2026-11-01T02:00:00Z');
  const down = Array.from({ length: 250 }, (_, index) =>
    letter({ sourceQueue: pair.queue, errorMessage: `order ${index} is unknown`, at: start + index * 1_000 }),
  );
  await publishAll(backend, pair.dead, [...down, ...fail(10, { at: start })]);
  const { call, dead } = open();
  const { body: look } = await call<LookView>(dead);
  expect(look).toMatchObject({ count: 260, isComplete: true });
  expect(look.groups.map(({ count, errorMessage }) => [count, errorMessage])).toEqual([
    [250, 'order <n> is unknown'],
    [10, 'the bank is down'],
  ]);
  expect(look.histogram).toMatchObject({ from: start, to: start + 249_000 });
  expect(look.histogram?.counts.reduce((sum, count) => sum + count)).toBe(260);
  const group = look.groups[0]?.group;
  const { body: page } = await call<PageOfLetters>(`${dead}/letters?group=${group}&offset=240&limit=100`);
  expect(page).toMatchObject({ total: 250, takenAt: look.takenAt });
  expect(page.rows.map(({ id }) => id)).toEqual(down.slice(240).map(({ id }) => id));
  const { body: found } = await call<PageOfLetters>(`${dead}/letters?text=order%2017%20`);
  expect(found.rows.map(({ id }) => id)).toEqual([down[17]?.id]);
  expect(await depths()).toEqual([0, 260]);
});

it('does not ask the broker again until somebody refreshes', async () => {
  const { call, dead } = open();
  expect((await call<LookView>(dead)).body.count).toBe(0);
  await backend.publishToQueue(pair.dead, fail(1));
  expect((await call<LookView>(dead)).body.count).toBe(0);
  expect((await call<LookView>(`${dead}?fresh=1`)).body.count).toBe(1);
});

it('says that there are more letters than a look goes through', async () => {
  await backend.publishToQueue(pair.dead, fail(11));
  const { call, dead } = open({ maxLetters: 10 });
  expect((await call<LookView>(dead)).body).toMatchObject({ count: 10, isComplete: false });
});

describe('a letter', () => {
  it.each([
    ['JSON in lines', '{"a":[1]}', 'json', '{\n  "a": [\n    1\n  ]\n}'],
    [
      'JSON with digits that would be rounded, as it is',
      '{"a":12345678901234567890}',
      'json',
      '{"a":12345678901234567890}',
    ],
    ['text', 'plain', 'text', 'plain'],
    ['JSON that is nested too deep, as text', `${'['.repeat(200_000)}`, 'text', '['.repeat(100_000)],
  ])('is shown as %s', async (_, content, form, text) => {
    await backend.publishToQueue(pair.dead, [letter({ id: 'one', sourceQueue: pair.queue, content })]);
    const { call, dead } = open();
    const { body } = await call<LetterView>(`${dead}/letters/one`);
    expect(body.content).toMatchObject({ form, text });
  });

  it('is shown as bytes where it is no text', async () => {
    const message = {
      ...letter({ id: 'one', sourceQueue: pair.queue }),
      content: new Uint8Array([0, 255, 16]),
    };
    await backend.publishToQueue(pair.dead, [message]);
    const { call, dead } = open();
    const { body } = await call<LetterView>(`${dead}/letters/one`);
    expect(body.content).toEqual({ form: 'bytes', text: '00 ff 10', bytes: 3, isCut: false });
  });

  it('is cut where it is large', async () => {
    const content = 'x'.repeat(10_000_000);
    await backend.publishToQueue(pair.dead, [letter({ id: 'one', sourceQueue: pair.queue, content })]);
    const { call, dead } = open();
    const { body } = await call<LetterView>(`${dead}/letters/one`);
    expect(body.content).toMatchObject({ bytes: 10_000_000, isCut: true });
    expect(body.content.text).toHaveLength(100_000);
  });

  it('that is gone is not found', async () => {
    const { call, dead } = open();
    expect((await call(`${dead}/letters/none`)).status).toBe(404);
  });
});

describe('a redrive', () => {
  it('moves the chosen letters and no others, and is audited', async () => {
    const [one, two, three] = fail(3) as [Message, Message, Message];
    await backend.publishToQueue(pair.dead, [one, two, three]);
    const { change, ended } = open();
    expect((await change({ action: 'redrive', ids: [one.id, three.id] })).status).toBe(202);
    expect(await ended()).toMatchObject({ moved: 2, failed: 0, expected: 2, result: '2 moved' });
    expect(await depths()).toEqual([2, 1]);
    const entry = {
      user: 'token',
      action: 'redrive',
      broker: 'memory',
      queue: pair.dead,
      letters: '2 letters',
    };
    expect(audited).toMatchObject([
      { ...entry, result: undefined },
      { ...entry, result: '2 moved' },
    ]);
  });

  it('of a group moves what was seen, and not what came since', async () => {
    await backend.publishToQueue(pair.dead, [...fail(2), ...fail(3, { errorMessage: 'no such order' })]);
    const { call, change, ended, dead } = open();
    const group = (await call<LookView>(dead)).body.groups[0]?.group as string;
    await backend.publishToQueue(pair.dead, fail(4, { errorMessage: 'no such order' }));
    await change({ action: 'redrive', group });
    expect(await ended()).toMatchObject({ moved: 3 });
    expect(await depths()).toEqual([3, 6]);
  });

  it('ends when the trial fails again', async () => {
    await backend.publishToQueue(pair.dead, fail(20));
    const { change, ended } = open();
    const subscription = await backend.subscribe(pair.queue, { maxInFlight: 10 }, (delivery) => {
      void delivery.deadLetter({ reason: 'exhausted' });
    });
    await change({ action: 'redrive', all: true, canaryFirst: 2, canaryPatienceMs: 60_000 });
    expect((await ended()).result).toContain('canary failed');
    await subscription.close();
    expect(await depths()).toEqual([0, 20]);
  });

  it('is one at once for a queue, and can be cancelled', async () => {
    await backend.publishToQueue(pair.dead, fail(500));
    const { call, change, ended } = open();
    const { body: job } = await change({ action: 'redrive', all: true, maxPerSecond: 1 });
    expect((await change({ action: 'discard', all: true })).status).toBe(409);
    expect((await call(`jobs/${job.id}/cancel`, {})).status).toBe(202);
    expect((await ended()).result).toContain('cancelled');
    const [source, dead] = await depths();
    expect(source + dead).toBe(500);
    expect((await call(`jobs/${job.id}/cancel`, {})).status).toBe(404);
  });
});

it('a discard removes the chosen letters', async () => {
  const [one, two] = fail(2) as [Message, Message];
  await backend.publishToQueue(pair.dead, [one, two]);
  const { change, ended } = open();
  await change({ action: 'discard', ids: [one.id] });
  expect(await ended()).toMatchObject({ moved: 1, result: '1 discarded' });
  expect(await depths()).toEqual([0, 1]);
});

it('closing in the middle of a redrive leaves each letter in its place', async () => {
  await backend.publishToQueue(pair.dead, fail(500));
  const { change, dashboard } = open();
  await change({ action: 'redrive', all: true, maxPerSecond: 1 });
  await dashboard.close();
  const [source, dead] = await depths();
  expect(source + dead).toBe(500);
});
