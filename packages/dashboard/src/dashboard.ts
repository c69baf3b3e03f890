import { type Logger, MelangeError, type MessagingBackend, warningLogger } from '@melange/core';
import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { secureHeaders } from 'hono/secure-headers';
import { Access, isOwnRequest } from './access.ts';
import type { BrokerView, Overview } from './api.ts';
import { readChange } from './change-request.ts';
import { Jobs } from './jobs.ts';
import { Looks, type LookTarget, type RowFilter } from './looks.ts';
import type { AuditEntry, DashboardOptions, DashboardQueue } from './options.ts';
import { PageFiles } from './page-files.ts';
import { WatchedQueues } from './watched-queues.ts';

/** What only the server of a request knows. */
interface Bindings {
  /** Whether the request comes from this machine. Default: no. */
  readonly isLocal?: boolean;
}

type Environment = { Bindings: Bindings; Variables: { user: string } };
type NamedQueue = DashboardQueue & { readonly broker: string };

/** A dashboard without a server. */
export interface Dashboard {
  /** Answers a request. Never rejects. */
  fetch(request: Request, bindings?: Bindings): Promise<Response>;
  /** Ends looks and changes under way: each letter is in one place, or with one id in two. Backends stay open. */
  close(): Promise<void>;
}

const maxPageOfLetters = 500;

/** @throws MelangeError `CONFIGURATION` for options that make no sense. */
export function createDashboard(options: DashboardOptions): Dashboard {
  const { allowChanges = false, basePath = '', sampleEveryMs = 5_000, maxLetters = 100_000 } = options;
  const logger: Logger = options.logger ?? warningLogger;
  check('sampleEveryMs', sampleEveryMs);
  check('maxLetters', maxLetters);
  if (basePath !== '' && !/^(?:\/[\w.~-]+)+$/.test(basePath))
    wrong(`"basePath" must be a path such as /queues, not ${JSON.stringify(basePath)}.`);
  const queues = named(options.queues);
  const access = new Access(options);
  const files = new PageFiles();
  const looks = new Looks(maxLetters);
  const watched = new WatchedQueues(queues, { counters: options.counters, everyMs: sampleEveryMs, logger });
  const jobs = new Jobs({
    audit: options.audit ?? auditToStandardError,
    onEnd: (target) => {
      looks.forget(target);
      void watched.refresh();
    },
    logger,
  });

  const app = new Hono<Environment>().basePath(basePath === '' ? '/' : basePath);
  app.use(secureHeaders(headers));
  app.use(bodyLimit({ maxSize: 8_000_000, onError: (c) => refusal(c, 413, 'The request is too large.') }));
  app.onError((error, c) => {
    if (MelangeError.is(error, 'QUEUE_NOT_FOUND')) return refusal(c, 404, error.message);
    if (MelangeError.is(error, 'BROKER_UNAVAILABLE')) return refusal(c, 503, error.message);
    logger.error('dashboard: a request failed', { path: c.req.path, error });
    return refusal(c, 500, error.message);
  });
  app.notFound((c) => refusal(c, 404, 'There is nothing here.'));

  app.get('/page.css', () => files.response('page.css'));
  app.post('/sign-in', async (c) => {
    const { token } = await c.req.parseBody();
    if (!access.hasSignIn || typeof token !== 'string' || !access.isToken(token))
      return files.response('sign-in.html', 401);
    c.header('set-cookie', access.signIn(basePath || '/'));
    return c.redirect(`${basePath}/`, 303);
  });

  const authorized: MiddlewareHandler<Environment> = async (c, next) => {
    const user = await access.userOf(c.req.raw, c.env?.isLocal === true);
    if (user === undefined) {
      const wantsPage = (c.req.header('accept') ?? '').includes('text/html');
      return access.hasSignIn && wantsPage
        ? files.response('sign-in.html', 401)
        : refusal(c, access.hasSignIn ? 401 : 403, 'You may not see this.');
    }
    c.set('user', user);
    await next();
  };
  app.use(authorized);

  // The page names its files by relative addresses, which need the slash.
  for (const path of ['', '/']) {
    app.get(path, async (c) =>
      c.req.path.endsWith('/') ? files.response('index.html') : c.redirect(`${basePath}/`, 301),
    );
  }
  app.get('/page.js', () => files.response('page.js'));

  app.get('/api/overview', async (c) => {
    const [views, brokers] = await Promise.all([watched.views(), brokersOf(queues)]);
    const overview: Overview = {
      allowChanges,
      user: c.get('user'),
      brokers,
      queues: views,
      jobs: jobs.views(),
    };
    return c.json(overview);
  });
  app.get('/api/audit', (c) => c.json(jobs.entries()));

  app.get('/api/dead/:broker/:queue', async (c) => {
    const target = await targetOf(c, queues);
    if (target === undefined) return refusal(c, 404, 'No such dead-letter queue is shown here.');
    return c.json(await looks.view(target, filterOf(c), c.req.query('fresh') === '1'));
  });
  app.get('/api/dead/:broker/:queue/letters', async (c) => {
    const target = await targetOf(c, queues);
    if (target === undefined) return refusal(c, 404, 'No such dead-letter queue is shown here.');
    const [offset, limit] = [Number(c.req.query('offset') ?? 0), Number(c.req.query('limit') ?? 100)];
    const isRange = Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(limit) && limit > 0;
    if (!isRange) return refusal(c, 400, '"offset" and "limit" must be whole numbers.');
    return c.json(await looks.page(target, filterOf(c), offset, Math.min(limit, maxPageOfLetters)));
  });
  app.get('/api/dead/:broker/:queue/letters/:id', async (c) => {
    const target = await targetOf(c, queues);
    if (target === undefined) return refusal(c, 404, 'No such dead-letter queue is shown here.');
    const letter = await looks.letter(target, c.req.param('id'));
    return letter === undefined
      ? refusal(c, 404, 'The letter is not in the queue any more.')
      : c.json(letter);
  });

  const mayChange: MiddlewareHandler<Environment> = async (c, next) => {
    if (!allowChanges) return refusal(c, 403, 'This dashboard is read-only.');
    if (!isOwnRequest(c.req.raw)) return refusal(c, 403, 'This request was not made by the dashboard.');
    await next();
  };
  app.post('/api/dead/:broker/:queue/changes', mayChange, async (c) => {
    const target = await targetOf(c, queues);
    if (target === undefined) return refusal(c, 404, 'No such dead-letter queue is shown here.');
    const request = readChange(await c.req.json().catch(() => undefined));
    if (typeof request === 'string') return refusal(c, 400, request);
    const { group, text } = request;
    const ids = request.ids ?? (request.all ? undefined : await looks.idsOf(target, { group, text }));
    if (ids?.length === 0) return refusal(c, 409, 'No letter is meant.');
    const { action, maxPerSecond, canaryFirst, canaryPatienceMs } = request;
    const job = jobs.begin({
      action,
      ...(maxPerSecond !== undefined && { maxPerSecond }),
      ...(canaryFirst !== undefined && { canaryFirst }),
      ...(canaryPatienceMs !== undefined && { canaryPatienceMs }),
      target,
      user: c.get('user'),
      ids,
      letters: lettersText(ids, group),
      expected: ids?.length,
    });
    return job === undefined
      ? refusal(c, 409, 'Another change of this queue is under way.')
      : c.json(job, 202);
  });
  app.post('/api/jobs/:id/cancel', mayChange, (c) =>
    jobs.cancel(c.req.param('id'), c.get('user'))
      ? c.json({}, 202)
      : refusal(c, 404, 'No such change is under way.'),
  );

  return {
    fetch: async (request, bindings = {}) => app.fetch(request, bindings),
    async close() {
      looks.close();
      await Promise.all([jobs.close(), watched.close()]);
    },
  };
}

/** The page runs its own script alone, is shown in no frame, and sends nothing anywhere else. */
const headers = {
  contentSecurityPolicy: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    connectSrc: ["'self'"],
    formAction: ["'self'"],
    baseUri: ["'none'"],
    frameAncestors: ["'none'"],
  },
  referrerPolicy: 'no-referrer',
  xFrameOptions: 'DENY',
};

function refusal(c: Context, status: 400 | 401 | 403 | 404 | 409 | 413 | 500 | 503, error: string): Response {
  return c.json({ error }, status);
}

function filterOf(c: Context): RowFilter {
  return { group: c.req.query('group') || undefined, text: c.req.query('text') || undefined };
}

function lettersText(ids: readonly string[] | undefined, group: string | undefined): string {
  if (ids === undefined) return 'all letters';
  const count = ids.length === 1 ? `letter ${ids[0]}` : `${ids.length} letters`;
  return group === undefined ? count : `${count} of group ${group}`;
}

/** Only dead-letter queues of queues that are shown: the page is no way to any other. */
async function targetOf(c: Context, queues: readonly NamedQueue[]): Promise<LookTarget | undefined> {
  const [broker, queue] = [c.req.param('broker') ?? '', c.req.param('queue') ?? ''];
  for (const shown of queues) {
    if (shown.broker !== broker) continue;
    const { backend, name } = shown;
    const dead = shown.deadLetterQueue ?? (await backend.describeQueue(name)).deadLetterQueue;
    if (dead === queue) return { backend, broker, queue };
  }
  return undefined;
}

async function brokersOf(queues: readonly NamedQueue[]): Promise<readonly BrokerView[]> {
  const backends = new Map<string, MessagingBackend>(queues.map(({ broker, backend }) => [broker, backend]));
  return Promise.all(
    [...backends].map(async ([name, backend]) => {
      const { status, detail } = await backend.health();
      return { name, technology: backend.name, address: backend.address, status, detail };
    }),
  );
}

function named(queues: readonly DashboardQueue[]): readonly NamedQueue[] {
  if (queues.length === 0) wrong('"queues" is empty.');
  const byName = new Map<string, MessagingBackend>();
  return queues.map((queue) => {
    const { backend, broker = backend.name } = queue;
    if ((byName.get(broker) ?? backend) !== backend)
      wrong(`two backends are called "${broker}". Give them names with "broker".`);
    byName.set(broker, backend);
    return { ...queue, broker };
  });
}

function auditToStandardError(entry: AuditEntry): void {
  process.stderr.write(`${JSON.stringify(entry)}\n`);
}

function check(name: string, value: number): void {
  if (!(Number.isSafeInteger(value) && value > 0))
    wrong(`"${name}" must be a whole number above 0, not ${value}.`);
}

function wrong(text: string): never {
  throw new MelangeError('CONFIGURATION', `dashboard: ${text}`);
}
