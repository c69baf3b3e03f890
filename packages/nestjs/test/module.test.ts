import { MemoryBackend } from '@melange/backend-memory';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import {
  MELANGE_BACKEND,
  MELANGE_CACHE,
  type MelangeAsyncOptions,
  MelangeModule,
  type MelangeOptions,
  type MelangeOptionsFactory,
  MelangePublisher,
  MelangeService,
  MessageHandler,
} from '@melange/nestjs';
import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { billing, compiled, quiet } from './support/application.ts';
import { InvoicePaid, OrderCancelled, OrderPlaced } from './support/messages.ts';

const invoice = new InvoicePaid({ orderId: '1' });

describe('forRoot', () => {
  it('has the application consume when it has started, and MelangePublisher injected anywhere', async () => {
    let handle: (paid: InvoicePaid) => void;
    const handled = new Promise<InvoicePaid>((resolve) => {
      handle = resolve;
    });
    @Injectable()
    class Mailing {
      readonly publisher: MelangePublisher;

      constructor(@Inject(MelangePublisher) publisher: MelangePublisher) {
        this.publisher = publisher;
      }

      @MessageHandler(InvoicePaid, { queue: 'invoices' })
      send(paid: InvoicePaid): void {
        handle(paid);
      }
    }
    @Module({ providers: [Mailing] })
    class MailingModule {}
    const application = await compiled(
      { imports: [MailingModule] },
      { queues: { invoices: { topics: ['billing-events'] } } },
    );
    await application.init();
    await application.get(Mailing, { strict: false }).publisher.publish('billing-events', invoice);
    expect(await handled).toEqual(invoice);
    expect(await application.get(MelangeService).service.health()).toMatchObject({ status: 'healthy' });
    await application.close();
  });

  it('is refused twice', async () => {
    const again = MelangeModule.forRoot({ ...billing, name: 'another', backend: new MemoryBackend() });
    const application = await compiled({ imports: [again] });
    await expect(application.init()).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(/forRoot is imported twice/),
    });
  });
});

describe('forRootAsync', () => {
  const backend = new MemoryBackend();
  const options: MelangeOptions = { ...billing, backend };
  @Injectable()
  class Configuration implements MelangeOptionsFactory {
    readonly options: MelangeOptions = options;
    createMelangeOptions(): Promise<MelangeOptions> {
      return Promise.resolve(this.options);
    }
  }
  @Module({ providers: [Configuration], exports: [Configuration] })
  class ConfigurationModule {}
  const named = (given: MelangeAsyncOptions) =>
    Test.createTestingModule({ imports: [MelangeModule.forRootAsync(given)] }).compile();

  it.each<[string, MelangeAsyncOptions]>([
    [
      'useFactory',
      {
        imports: [ConfigurationModule],
        inject: [Configuration],
        useFactory: (configuration: Configuration) => configuration.createMelangeOptions(),
      },
    ],
    ['useFactory without inject', { useFactory: () => options }],
    ['useClass', { useClass: Configuration }],
    ['useExisting', { imports: [ConfigurationModule], useExisting: Configuration }],
  ])('takes its options from %s', async (_, given) => {
    const application = await named(given);
    expect(application.get(MelangeService).service.name).toBe('billing');
    expect(application.get(MELANGE_BACKEND)).toBe(backend);
  });

  it('without any of them is refused', () => {
    expect(() => MelangeModule.forRootAsync({})).toThrow(/needs useFactory, useClass or useExisting/);
  });
});

describe('forFeature', () => {
  class Cancelling {
    @MessageHandler(OrderCancelled, { queue: 'cancellations' })
    handle(): void {}
  }
  const cancellations = { queues: { cancellations: { topics: ['orders'] } } } as const;

  it('adds queues, topics and messages to the service', async () => {
    const more = {
      publishes: { 'billing-events': [OrderPlaced], more: [OrderPlaced] },
      sends: { mail: [InvoicePaid] },
    };
    const application = await compiled(
      { providers: [Cancelling], imports: [MelangeModule.forFeature(more)] },
      cancellations,
    );
    expect(application.get(MelangeService).service.plan).toMatchObject({
      queues: [{ name: 'orders' }, { name: 'cancellations', filter: ['OrderCancelled'] }],
      topics: [
        { name: 'billing-events', manifests: ['InvoicePaid', 'OrderPlaced'] },
        { name: 'more', manifests: ['OrderPlaced'] },
      ],
      sends: [{ name: 'mail', manifests: ['InvoicePaid'] }],
    });
  });

  it('of one declaration, imported by several modules, adds it once', async () => {
    const application = await compiled({ imports: [MelangeModule.forFeature(cancellations)] }, cancellations);
    expect(application.get(MelangeService).service.plan.queues).toHaveLength(2);
  });

  it('that declares a queue once more is refused', async () => {
    const application = await compiled({}, { queues: { orders: {} } });
    await expect(application.init()).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(/two modules declare the queue "orders"/),
    });
  });

  it('that has a topic on another backend is refused, and on the same one is not', async () => {
    const bound = (backend: string) => ({ publishes: { audit: { messages: [InvoicePaid], backend } } });
    const backends = { default: new MemoryBackend(), other: new MemoryBackend() };
    const planOf = async (one: string, other: string) => {
      const imports = [
        MelangeModule.forRoot({ ...billing, backend: backends }),
        MelangeModule.forFeature(bound(one)),
        MelangeModule.forFeature(bound(other)),
      ];
      const application = await Test.createTestingModule({ imports }).compile();
      return application.get(MelangeService).service.plan.topics;
    };
    await expect(planOf('default', 'other')).rejects.toThrow(/have "audit" on different backends/);
    expect(await planOf('other', 'other')).toContainEqual({
      name: 'audit',
      backends: ['other'],
      manifests: ['InvoicePaid'],
    });
  });

  it('without forRoot ends the start of the application', async () => {
    const testing = Test.createTestingModule({ imports: [MelangeModule.forFeature(cancellations)] });
    await expect(testing.setLogger(quiet).compile()).rejects.toThrow(/MelangeService/);
  });
});

it('a test overrides the backend and the cache', async () => {
  const [backend, cache] = [new MemoryBackend(), new MemoryDeduplicationCache()];
  const handled: string[] = [];
  class Handler {
    @MessageHandler(OrderPlaced, { queue: 'orders' })
    handle({ id }: OrderPlaced): void {
      handled.push(id);
    }
  }
  const unreachable = new MemoryBackend();
  await unreachable.close();
  const application = await Test.createTestingModule({
    imports: [MelangeModule.forRoot({ ...billing, backend: unreachable, sends: { orders: [OrderPlaced] } })],
    providers: [Handler],
  })
    .overrideProvider(MELANGE_BACKEND)
    .useValue(backend)
    .overrideProvider(MELANGE_CACHE)
    .useValue(cache)
    .compile();
  await application.init();
  const { send } = application.get(MelangePublisher);
  for (const acknowledged of [1, 2]) {
    await send('orders', new OrderPlaced({ id: '1' }), { id: 'same' });
    await expect
      .poll(() => application.get(MelangeService).service.counters().orders)
      .toMatchObject({ acknowledged });
  }
  expect(handled).toEqual(['1']);
  await application.close();
});
