import { MemoryBackend } from '@melange/backend-memory';
import { MelangeError } from '@melange/core';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type DashboardOptions, dashboardHandler, serveDashboard } from '../src/index.ts';
import { buildPage } from './support/browser.ts';
import { letter, queuePair } from './support/scene.ts';

const token = 'a-token-of-the-tests';
const ours = { 'content-type': 'application/json', 'x-melange-dashboard': '1' };

let backend: MemoryBackend;
let pair: { queue: string; dead: string };
beforeAll(async () => {
  await buildPage();
  backend = new MemoryBackend();
  pair = await queuePair(backend);
  await backend.publishToQueue(pair.dead, [letter({ id: 'a', sourceQueue: pair.queue })]);
});
afterAll(() => backend.close());

const optionsOf = (options: Partial<DashboardOptions> = {}): DashboardOptions => ({
  queues: [{ backend, name: pair.queue }],
  audit: () => undefined,
  ...options,
});

async function served(options: Partial<DashboardOptions> = {}): Promise<string> {
  const dashboard = await serveDashboard({ ...optionsOf(options), port: 0 });
  onTestFinished(() => dashboard.close());
  return dashboard.url;
}

const post = (
  url: string,
  headers: Record<string, string>,
  body: unknown = { action: 'discard', ids: ['x'] },
) => fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });

describe('without a token', () => {
  it('answers this machine', async () => {
    const response = await fetch(`${await served()}api/overview`);
    expect(await response.json()).toMatchObject({ user: 'loopback', allowChanges: false });
  });

  it.each([
    ['a name that points to this machine', { host: 'evil.example' }],
    ['a proxy on this machine', { 'x-forwarded-for': '192.0.2.7' }],
    ['a proxy that says so', { forwarded: 'for=192.0.2.7' }],
  ])('refuses %s', async (_, headers) => {
    const { port } = new URL(await served());
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      const sent = request({ port, path: '/api/overview', headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      });
      sent.on('error', reject).end();
    });
    expect(status).toBe(403);
  });

  it('does not listen for other machines', async () => {
    await expect(serveDashboard({ ...optionsOf(), host: '0.0.0.0', port: 0 })).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringContaining('token'),
    });
  });

  it('answers no `fetch`, which does not know who asks', async () => {
    const { fetch: answer } = dashboardHandler(optionsOf());
    expect((await answer(new Request('http://127.0.0.1/api/overview'))).status).toBe(403);
  });
});

describe('with a token', () => {
  it('refuses what has none, or another one, and gives a form to browsers', async () => {
    const url = await served({ token });
    expect((await fetch(`${url}api/overview`)).status).toBe(401);
    const wrong = { authorization: `Bearer ${token}!` };
    expect((await fetch(`${url}api/overview`, { headers: wrong })).status).toBe(401);
    const page = await fetch(url, { headers: { accept: 'text/html' } });
    expect([page.status, await page.text()]).toEqual([401, expect.stringContaining('type="password"')]);
  });

  it('answers who has it, in a header or signed in by the form', async () => {
    const url = await served({ token });
    const bearer = await fetch(`${url}api/overview`, { headers: { authorization: `Bearer ${token}` } });
    expect(await bearer.json()).toMatchObject({ user: 'token' });
    const body = new URLSearchParams({ token });
    const signedIn = await fetch(`${url}sign-in`, { method: 'POST', body, redirect: 'manual' });
    expect([signedIn.status, signedIn.headers.get('location')]).toEqual([303, '/']);
    const cookie = signedIn.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(token);
    const headers = { cookie: cookie.split(';')[0] as string };
    expect((await fetch(`${url}api/overview`, { headers })).status).toBe(200);
    const wrong = await fetch(`${url}sign-in`, {
      method: 'POST',
      body: new URLSearchParams({ token: 'no' }),
    });
    expect([wrong.status, wrong.headers.get('set-cookie')]).toEqual([401, null]);
  });

  it('is refused when it is short', () => {
    expect(() => dashboardHandler(optionsOf({ token: 'short' }))).toThrow(MelangeError);
  });
});

it('asks an application that knows its users', async () => {
  const authorize = (request: Request) => request.headers.get('x-user') ?? undefined;
  const { fetch: answer } = dashboardHandler(optionsOf({ authorize, basePath: '/queues' }));
  const path = 'http://app.example/queues/api/overview';
  expect((await answer(new Request(path))).status).toBe(403);
  const known = await answer(new Request(path, { headers: { 'x-user': 'ada' } }));
  expect(await known.json()).toMatchObject({ user: 'ada' });
  const page = await answer(new Request('http://app.example/queues/', { headers: { 'x-user': 'ada' } }));
  expect(await page.text()).toContain('<div id="page">');
});

describe('a change', () => {
  const changes = () => `api/dead/memory/${pair.dead}/changes`;

  it('is refused by a dashboard that only reads', async () => {
    const response = await post(`${await served()}${changes()}`, ours);
    expect([response.status, await response.json()]).toEqual([
      403,
      { error: 'This dashboard is read-only.' },
    ]);
  });

  it.each([
    ['a form of another site', { 'content-type': 'text/plain' }],
    ['a script of another site', { ...ours, origin: 'https://evil.example' }],
    ['a browser that says so', { ...ours, 'sec-fetch-site': 'cross-site' }],
    ['what does not have the header of the page', { 'content-type': 'application/json' }],
  ])('is refused to %s', async (_, headers) => {
    const url = await served({ allowChanges: true });
    expect((await post(`${url}${changes()}`, headers as Record<string, string>)).status).toBe(403);
    expect((await backend.describeQueue(pair.dead)).depth).toBe(1);
  });

  it.each([
    ['nothing', {}],
    ['no letters', { action: 'redrive' }],
    ['two ways to say which letters', { action: 'redrive', all: true, ids: ['a'] }],
    ['ids that are none', { action: 'redrive', ids: [1] }],
    ['a rate that is none', { action: 'redrive', all: true, maxPerSecond: 0 }],
    ['a trial that is none', { action: 'redrive', all: true, canaryFirst: 1.5 }],
  ])('is refused with %s', async (_, body) => {
    const url = await served({ allowChanges: true });
    expect((await post(`${url}${changes()}`, ours, body)).status).toBe(400);
  });

  it('is refused for a queue that is not shown', async () => {
    await backend.declareQueue('secret', { deadLetterQueue: 'secret-dead' });
    const url = await served({ allowChanges: true });
    for (const queue of ['secret-dead', pair.queue]) {
      const response = await post(`${url}api/dead/memory/${queue}/changes`, ours, {
        action: 'discard',
        all: true,
      });
      expect(response.status).toBe(404);
    }
  });
});

it('lets no other site frame it, and runs no script but its own', async () => {
  const { headers } = await fetch(await served());
  const policy = headers.get('content-security-policy') ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self'");
  expect(policy).toContain("frame-ancestors 'none'");
  expect(headers.get('x-content-type-options')).toBe('nosniff');
});

it.each([
  ['no queues', { queues: [] }],
  ['a path that is none', { basePath: 'queues/' }],
  ['a period that is none', { sampleEveryMs: 0 }],
  ['a bound that is none', { maxLetters: Number.NaN }],
])('refuses %s', (_, options) => {
  expect(() => dashboardHandler(optionsOf(options))).toThrow(/^dashboard: /);
});

it('refuses two backends of one name', async () => {
  await using other = new MemoryBackend();
  const queues = [
    { backend, name: 'one' },
    { backend: other, name: 'two' },
  ];
  expect(() => dashboardHandler({ queues })).toThrow('broker');
});
