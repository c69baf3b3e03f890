import { MemoryBackend } from '@melange/backend-memory';
import { BrokerUnavailableError, type Logger, type MessagingBackend } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import {
  MelangeModule,
  type MelangeOptions,
  MelangePublisher,
  MelangeService,
  MessageHandler,
} from '@melange/nestjs';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Module,
  type ModuleMetadata,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { billing, quiet } from './support/application.ts';
import { InvoicePaid, OrderPlaced } from './support/messages.ts';
import { gate } from './support/promises.ts';

let events: string[];
beforeEach(() => {
  events = [];
});

/** A backend that says when it is subscribed to and closed. */
function told(methods: Partial<MessagingBackend> = {}): MessagingBackend {
  const backend: MessagingBackend = new MemoryBackend();
  const own: Partial<MessagingBackend> = {
    subscribe: async (...given) => {
      events.push('subscribed');
      const subscription = await backend.subscribe(...given);
      const close = subscription.close.bind(subscription);
      return Object.assign(subscription, {
        close: () => {
          events.push('intake ended');
          return close();
        },
      });
    },
    close: () => {
      events.push('closed');
      return backend.close();
    },
    ...methods,
  };
  return new Proxy(backend, {
    get: (target, name) => {
      const value: unknown = own[name as keyof MessagingBackend] ?? Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

const options = { ...billing, sends: { orders: [OrderPlaced] } };
function application(
  more: Partial<MelangeOptions> & Pick<MelangeOptions, 'backend'>,
  metadata: ModuleMetadata = {},
) {
  const { imports = [], ...others } = metadata;
  const root = MelangeModule.forRoot({ ...options, ...more });
  return Test.createTestingModule({ imports: [...imports, root], ...others })
    .setLogger(quiet)
    .compile();
}
const place = (app: TestingModule) => app.get(MelangePublisher).send('orders', new OrderPlaced({ id: '1' }));

describe('an application', () => {
  /** What handlers use, opened and closed by Nest's hooks. */
  @Injectable()
  class Database implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy {
    onModuleInit(): void {
      events.push('database opened');
    }
    onApplicationBootstrap(): void {
      events.push('database ready');
    }
    onModuleDestroy(): void {
      events.push('database closed');
    }
  }
  @Module({ providers: [Database], exports: [Database] })
  class DatabaseModule {}

  const running = gate();
  const finish = gate();
  class Handler implements BeforeApplicationShutdown, OnApplicationShutdown {
    readonly database: Database;
    readonly publisher: MelangePublisher;

    constructor(@Inject(Database) database: Database, @Inject(MelangePublisher) publisher: MelangePublisher) {
      this.database = database;
      this.publisher = publisher;
    }

    @MessageHandler(OrderPlaced, { queue: 'orders' })
    async handle({ id }: OrderPlaced): Promise<void> {
      running.open();
      await finish.passed;
      await this.publisher.publish('billing-events', new InvoicePaid({ orderId: id }));
      events.push('handled');
    }

    async beforeApplicationShutdown(): Promise<void> {
      await this.publisher.publish('billing-events', new InvoicePaid({ orderId: 'late' }));
      events.push('published late');
    }

    onApplicationShutdown(): void {
      events.push('application ended');
    }
  }
  @Module({ imports: [DatabaseModule], providers: [Handler] })
  class BillingModule {}

  it('consumes when what handlers need is there, finishes running handlers before it goes, and closes the backend last', async () => {
    const app = await application({ backend: told() }, { imports: [BillingModule] });
    await app.init();
    await place(app);
    await running.passed;
    const closing = app.close();
    await expect.poll(() => events).toContain('intake ended');
    expect(await app.get(MelangeService).service.health()).toMatchObject({ status: 'unhealthy' });
    finish.open();
    await closing;
    expect(events).toEqual([
      'database opened',
      'database ready',
      'subscribed',
      'intake ended',
      'handled',
      'database closed',
      'published late',
      'application ended',
      'closed',
    ]);
  });
});

it('leaves backend and cache open where it is told to', async () => {
  const cache = new MemoryDeduplicationCache();
  const close = vi.spyOn(cache, 'close');
  const app = await application({ backend: told(), cache, closesResources: false });
  await app.init();
  await app.close();
  expect(events).not.toContain('closed');
  expect(close).not.toHaveBeenCalled();
});

it('closes every backend and the cache, whatever becomes of one', async () => {
  const cache = new MemoryDeduplicationCache();
  const close = vi.spyOn(cache, 'close');
  const failing = told({ close: () => Promise.reject(new Error('not now')) });
  const errors: string[] = [];
  const logger: Logger = { ...billing.logger, error: (message) => void errors.push(message) };
  const app = await application({ backend: { default: failing, other: told() }, cache, logger });
  await app.init();
  await app.close();
  expect(events).toContain('closed');
  expect(close).toHaveBeenCalledOnce();
  expect(errors).toEqual(['could not close a backend or the cache']);
});

it('closes an application that was compiled and never started', async () => {
  const app = await application({ backend: told() });
  await app.close();
  expect(events).toEqual(['closed']);
});

it('closes an application that could not start, as what it declares does not fit together', async () => {
  class Nowhere {
    @MessageHandler(OrderPlaced, { queue: 'nowhere' })
    handle(): void {}
  }
  const app = await application({ backend: told() }, { providers: [Nowhere] });
  await expect(app.init()).rejects.toMatchObject({ code: 'CONFIGURATION' });
  expect(events).toEqual(['closed']);
  // Nest 11 rejects here with what ended the start.
  await app.close().catch(() => undefined);
  expect(events).toEqual(['closed']);
});

describe('a broker that is away at the start', () => {
  const away = () =>
    told({ declareQueue: () => Promise.reject(new BrokerUnavailableError('The broker is away.')) });

  it('ends the start with failFast, and nothing is left open', async () => {
    const app = await application({ backend: away(), failFast: true });
    await expect(app.init()).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' });
    expect(events).toEqual(['closed']);
  });

  it('is not waited for by the application where it is told so; the service is unhealthy, and what fails is logged', async () => {
    const errors: unknown[] = [];
    const logger: Logger = { ...billing.logger, error: (...line) => void errors.push(line) };
    const app = await application({ backend: away(), logger, awaitsStart: false, failFast: true });
    await app.init();
    await expect
      .poll(() => errors)
      .toEqual([['could not start', { error: expect.objectContaining({ code: 'BROKER_UNAVAILABLE' }) }]]);
    expect(await app.get(MelangeService).service.health()).toMatchObject({ status: 'unhealthy' });
    await app.close();
  });
});

it('consumption that ends by an error is logged, and the service unhealthy', async () => {
  const errors: string[] = [];
  const logger: Logger = { ...billing.logger, error: (message) => void errors.push(message) };
  const backend = told({ subscribe: () => Promise.reject(new Error('no rights')) });
  const app = await application({ backend, logger });
  await app.init();
  await expect.poll(() => errors).toContain('does not consume any more');
  expect(await app.get(MelangeService).service.health()).toMatchObject({ status: 'unhealthy' });
  await app.close();
});

it('writes by the logger of Nest, with the facts of a line, and the stack of an error', async () => {
  const lines: unknown[][] = [];
  const logger = {
    ...quiet,
    error: (...line: unknown[]) => void lines.push(line),
    warn: (...line: unknown[]) => void lines.push(line),
  };
  const { logger: _silent, ...others } = options;
  class Failing {
    @MessageHandler(OrderPlaced, { queue: 'orders' })
    handle(): void {
      throw new Error('no ledger');
    }
  }
  const app = await Test.createTestingModule({
    imports: [MelangeModule.forRoot({ ...others, backend: new MemoryBackend() })],
    providers: [Failing],
  })
    .setLogger(logger)
    .compile();
  await app.init();
  await place(app);
  await expect.poll(() => lines.filter((line) => line.includes('Melange'))).not.toEqual([]);
  const [line = []] = lines.filter((one) => one.includes('Melange'));
  expect(line[0]).toMatch(/no ledger/);
  expect(line[0]).toMatch(/queue: 'orders'/);
  await app.close();
});
