import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { RedisStreamsBackend } from '@melange/backend-redis-streams';
import type { MessagingBackend } from '@melange/core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { type DashboardOptions, serveDashboard } from '../src/index.ts';
import { buildPage, findBrowser, launchBrowser } from './support/browser.ts';
import { letter, publishAll, queuePair } from './support/scene.ts';

const { RABBITMQ_URL, REDIS_URL } = process.env;
const isMissing = RABBITMQ_URL === undefined || REDIS_URL === undefined;
const why = await findBrowser();

// Installing the browser may take a while on a new machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

/** Where the pictures of the docs are made: `MELANGE_PICTURES=docs/pictures pnpm test packages/dashboard/test/page`. */
const { MELANGE_PICTURES: pictures } = process.env;

const hostile = '<img src=x onerror="window.stolen=1"><script>window.stolen=1</script>';

describe.skipIf(isMissing || why !== undefined)(
  `the page in Chromium (skipped without RABBITMQ_URL and REDIS_URL${why === undefined ? '' : `: ${why}`})`,
  () => {
    let browser: Browser;
    let rabbitmq: MessagingBackend;
    let redis: MessagingBackend;
    let folder: string;
    beforeAll(async () => {
      await buildPage();
      browser = await launchBrowser();
      rabbitmq = new RabbitMqBackend({ url: RABBITMQ_URL as string });
      redis = new RedisStreamsBackend({ url: REDIS_URL as string });
      folder = pictures ?? (await mkdtemp(join(tmpdir(), 'melange-dashboard-')));
      await mkdir(folder, { recursive: true });
    });
    afterAll(async () => {
      await browser?.close();
      await Promise.all([rabbitmq?.close(), redis?.close()]);
      if (pictures === undefined) await rm(folder, { recursive: true, force: true });
    });

    /** A page of a dashboard over both brokers, and what went wrong in it. */
    async function open(
      queues: DashboardOptions['queues'],
      {
        width = 1280,
        colorScheme = 'light',
        ...options
      }: Partial<DashboardOptions> & { width?: number; colorScheme?: 'light' | 'dark' } = {},
    ): Promise<{ page: Page; errors: string[]; url: string }> {
      const dashboard = await serveDashboard({ queues, port: 0, audit: () => undefined, ...options });
      const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
      onTestFinished(async () => {
        await context.close();
        await dashboard.close();
      });
      const page = await context.newPage();
      const errors: string[] = [];
      page.on('pageerror', (error) => errors.push(String(error)));
      page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
      await page.goto(dashboard.url);
      return { page, errors, url: dashboard.url };
    }

    async function failed(backend: MessagingBackend, count: number, parts: object = {}) {
      const pair = await queuePair(backend);
      const start = Date.now() - count * 1_000;
      const letters = Array.from({ length: count }, (_, index) =>
        letter({
          id: `letter-${index}`,
          sourceQueue: pair.queue,
          at: start + index * 1_000,
          ...(index % 3 === 0 && { errorMessage: `order ${index} is unknown` }),
          ...parts,
        }),
      );
      await publishAll(backend, pair.dead, letters);
      return { ...pair, backend, name: pair.queue, deadLetterQueue: pair.dead, letters };
    }

    test('queues of two brokers, down to a message and back', async () => {
      const [one, two] = [await failed(rabbitmq, 30), await failed(redis, 5)];
      await one.backend.publishToQueue(one.queue, [letter({ sourceQueue: one.queue })]);
      const { page, errors } = await open([one, two]);
      const row = page.getByRole('row', { name: one.name });
      await expect.poll(() => row.textContent()).toMatch(/rabbitmq[\s\S]*\b1\b[\s\S]*30/);
      await expect
        .poll(() => page.getByRole('listitem').filter({ hasText: 'redis' }).textContent())
        .toContain('healthy');

      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).click();
      const groups = page.getByRole('list', { name: 'Groups' }).getByRole('button');
      await expect.poll(() => groups.allTextContents()).toHaveLength(2);
      expect(await groups.first().textContent()).toMatch(/^20\s*Error the bank is down/);
      expect(await page.getByRole('img', { name: /30 letters dead-lettered from/ }).count()).toBe(1);
      await page.screenshot({ path: join(folder, 'dashboard-dead-letters.png') });
      await groups.nth(1).click();
      const list = page.getByRole('listbox', { name: 'Dead letters: 10' });
      await list.getByRole('option').first().click();
      const dialog = page.getByRole('dialog', { name: 'Letter letter-0' });
      await expect.poll(() => dialog.textContent()).toMatch(/order 0 is unknown[\s\S]*"orderId": "17"/);
      expect(await dialog.textContent()).toMatch(/melange_source_queue\s*pay-/);
      await page.screenshot({ path: join(folder, 'dashboard-letter.png') });
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      // Nothing was taken, and a page that only reads offers no change.
      expect(await page.getByRole('button', { name: /Redrive|Discard/ }).count()).toBe(0);
      expect(await page.getByText('read-only').count()).toBe(1);
      await page.goBack();
      await row.waitFor();
      expect((await one.backend.describeQueue(one.dead)).depth).toBe(30);
      expect(errors).toEqual([]);
    });

    test('a redrive of a selection with the keyboard alone, then of the rest', async () => {
      const one = await failed(rabbitmq, 12);
      const { page, errors } = await open([one], { allowChanges: true });
      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).focus();
      await page.keyboard.press('Enter');
      const list = page.getByRole('listbox', { name: 'Dead letters: 12' });
      await list.getByRole('option', { name: 'letter-0' }).waitFor();
      await list.focus();
      await page.keyboard.press('Space');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Space');
      await expect.poll(() => list.getByRole('option', { selected: true }).count()).toBe(2);
      await page.getByRole('button', { name: 'Redrive …' }).focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog', { name: 'Redrive 2 letters' });
      await dialog.getByRole('button', { name: 'Redrive' }).focus();
      await page.keyboard.press('Enter');
      await page.getByRole('listbox', { name: 'Dead letters: 10' }).waitFor();
      expect((await rabbitmq.describeQueue(one.queue)).depth).toBe(2);
      expect(await page.getByText('2 moved').count()).toBe(1);

      await page.getByRole('button', { name: 'Redrive …' }).click();
      await page.getByLabel('At most so many a second').fill('100');
      await page
        .getByRole('dialog', { name: 'Redrive 10 letters' })
        .getByRole('button', { name: 'Redrive' })
        .click();
      await page.getByRole('listbox', { name: 'Dead letters: 0' }).waitFor();
      expect((await rabbitmq.describeQueue(one.queue)).depth).toBe(12);
      await page.getByRole('link', { name: 'Audit log' }).click();
      await expect
        .poll(() => page.getByRole('list').last().textContent())
        .toMatch(/loopback ended redrive of all letters/);
      expect(errors).toEqual([]);
    });

    test('a redrive with a trial and a rate shows how far it is, and ends when it is cancelled', async () => {
      const one = await failed(redis, 200);
      const { page } = await open([one], { allowChanges: true });
      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).click();
      await page.getByRole('button', { name: 'Redrive …' }).click();
      await page.getByLabel('At most so many a second').fill('2');
      await page.getByLabel('Letters that go first, as a trial').fill('1');
      await page.getByLabel('Seconds to wait').fill('0');
      await page.getByRole('dialog').getByRole('button', { name: 'Redrive' }).click();
      const progress = page.getByRole('progressbar');
      await progress.waitFor();
      await page.getByRole('button', { name: 'Cancel' }).click();
      await expect
        .poll(() => page.getByRole('status').allTextContents())
        .toContainEqual(expect.stringContaining('cancelled'));
      // The page looks again, and holds what it looks at until it is through.
      const sum = async (): Promise<number> => {
        const all = await Promise.all([one.queue, one.dead].map((name) => redis.describeQueue(name)));
        return all.reduce((total, { depth }) => total + depth, 0);
      };
      await expect.poll(sum).toBe(200);
    });

    test('a discard asks twice', async () => {
      const one = await failed(rabbitmq, 3);
      const { page } = await open([one], { allowChanges: true });
      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).click();
      await page.getByRole('button', { name: 'Discard …' }).click();
      const dialog = page.getByRole('dialog', { name: 'Discard 3 letters' });
      const button = dialog.getByRole('button', { name: 'Discard' });
      expect(await button.isDisabled()).toBe(true);
      await dialog.getByLabel('Remove them for good').check();
      await button.click();
      await page.getByRole('listbox', { name: 'Dead letters: 0' }).waitFor();
      expect((await rabbitmq.describeQueue(one.dead)).depth).toBe(0);
    });

    test('content, headers and errors that are scripts stay text', async () => {
      const one = await failed(rabbitmq, 1, {
        id: hostile,
        content: JSON.stringify({ note: hostile, escape: '\u001b[2J\u202e' }),
        errorName: hostile,
        errorMessage: hostile,
      });
      const { page, errors } = await open([one]);
      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).click();
      await page.getByRole('listbox', { name: 'Dead letters' }).getByRole('option').first().click();
      const dialog = page.getByRole('dialog');
      await expect.poll(() => dialog.locator('pre').textContent()).toContain('onerror=');
      expect(await dialog.locator('pre').textContent()).not.toContain('\u202e');
      expect(await page.evaluate('window.stolen')).toBeUndefined();
      expect(await page.locator('img').count()).toBe(0);
      expect(errors).toEqual([]);
    });

    test.each(['light', 'dark'] as const)(
      'the theme of the system (%s), and one that is chosen',
      async (colorScheme) => {
        const one = await failed(redis, 3);
        const { page } = await open([one], { colorScheme });
        const back = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
        await page.getByRole('table').waitFor();
        const shown = await back();
        await page.screenshot({ path: join(folder, `dashboard-queues-${colorScheme}.png`) });
        const other = colorScheme === 'light' ? 'dark' : 'light';
        await page.getByLabel('Theme').selectOption(other);
        await expect.poll(back).not.toBe(shown);
        await page.reload();
        await page.getByRole('table').waitFor();
        expect(await page.getByLabel('Theme').inputValue()).toBe(other);
        expect(await back()).not.toBe(shown);
      },
    );

    test('on a phone nothing is wider than the screen', async () => {
      const one = await failed(rabbitmq, 40, { errorMessage: `long ${'x'.repeat(300)}` });
      const { page } = await open([one], { width: 390, allowChanges: true });
      const overflow = () => page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).waitFor();
      expect(await overflow()).toBeLessThanOrEqual(0);
      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).click();
      await page.getByRole('listbox', { name: 'Dead letters' }).getByRole('option').first().click();
      await page.getByRole('dialog').locator('pre').waitFor();
      expect(await overflow()).toBeLessThanOrEqual(0);
      await page.keyboard.press('Escape');
      await page.screenshot({ path: join(folder, 'dashboard-dead-letters-phone.png') });
      expect(await overflow()).toBeLessThanOrEqual(0);
    });

    test('20,000 letters are scrolled through with a few in the document', async () => {
      const one = await failed(redis, 20_000);
      const { page } = await open([one]);
      await page.getByRole('link', { name: `Dead letters of ${one.name}` }).click();
      const list = page.getByRole('listbox', { name: 'Dead letters: 20,000' });
      await list.waitFor();
      await list.focus();
      await page.keyboard.press('End');
      await list.getByRole('option', { name: 'letter-19999' }).waitFor();
      expect(await list.getByRole('option').count()).toBeLessThan(100);
      await page.getByLabel('Filter').fill('order 19998 is');
      await page.keyboard.press('Enter');
      await page.getByRole('listbox', { name: 'Dead letters: 1' }).waitFor();
    });

    test('a dashboard that is away says so, and goes on when it is back', async () => {
      const one = await failed(redis, 1);
      const { page } = await open([one]);
      await page.getByRole('table').waitFor();
      await page.route('**/api/overview', (route) => route.abort());
      await page.getByRole('alert').filter({ hasText: 'does not answer' }).waitFor();
      await page.unroute('**/api/overview');
      await page.getByRole('alert').waitFor({ state: 'detached' });
    });
  },
);
