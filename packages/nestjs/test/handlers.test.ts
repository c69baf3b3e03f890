import { MemoryBackend } from '@melange/backend-memory';
import { defineMessage, Reject, RetryLater } from '@melange/core';
import { MelangeModule, MelangePublisher, MelangeService, MessageHandler } from '@melange/nestjs';
import type { HandlerContext, ServiceBatchContext } from '@melange/service';
import {
  type CanActivate,
  Controller,
  createParamDecorator,
  type ExecutionContext,
  Inject,
  Injectable,
  Scope,
  UseGuards,
} from '@nestjs/common';
import { APP_GUARD, REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { billing, compiled, quiet, tested } from './support/application.ts';
import { InvoicePaid, OrderCancelled, OrderPlaced } from './support/messages.ts';

const queue = 'orders';

@Injectable()
class Ledger {
  readonly entries: string[] = [];
}

@Injectable()
class Orders {
  readonly ledger: Ledger;

  constructor(@Inject(Ledger) ledger: Ledger) {
    this.ledger = ledger;
  }

  @MessageHandler(OrderPlaced, { queue })
  async place(order: OrderPlaced, { attempt, publish }: HandlerContext): Promise<void> {
    this.ledger.entries.push(`${order instanceof OrderPlaced} ${order.id} ${attempt}`);
    await publish('billing-events', new InvoicePaid({ orderId: order.id }));
  }
}

describe('@MessageHandler', () => {
  it('has a method of a provider handle the messages of a class, with what was injected', async () => {
    const application = await compiled({ providers: [Orders, Ledger] });
    await using t = await application.get(MelangeService).service.test();
    await t.deliver(queue, new OrderPlaced({ id: '1' }));
    expect(application.get(Ledger).entries).toEqual(['true 1 1']);
    expect(t.published(InvoicePaid)).toEqual([new InvoicePaid({ orderId: '1' })]);
    expect(t.counters()).toMatchObject({ orders: { acknowledged: 1 } });
  });

  it('retries what throws, dead-letters what is rejected, and waits as it is told', async () => {
    const attempts: string[] = [];
    class Failing {
      @MessageHandler(OrderPlaced, { queue })
      handle({ id }: OrderPlaced, { attempt }: HandlerContext): void {
        attempts.push(`${id} ${attempt}`);
        if (id === 'rejected') throw new Reject('never');
        if (id === 'later' && attempts.length === 2) throw new RetryLater(60_000);
        if (id === 'failed' && attempt === 1) throw new Error('not yet');
      }
    }
    await using t = await tested({ providers: [Failing] });
    await t.deliver(queue, new OrderPlaced({ id: 'rejected' }));
    expect(t.deadLetters(queue)).toMatchObject([{ reason: 'rejected' }]);
    await t.deliver(queue, new OrderPlaced({ id: 'later' }));
    await t.advance('61s');
    await t.deliver(queue, new OrderPlaced({ id: 'failed' }));
    await t.advance('61s');
    expect(attempts).toEqual(['rejected 1', 'later 1', 'later 1', 'failed 1', 'failed 2']);
  });

  it('takes many messages in one call by `batch`, each with a result of its own', async () => {
    const calls: string[][] = [];
    class Batched {
      @MessageHandler(OrderPlaced, { queue, batch: { maxMessages: 10, maxWaitMs: 50 } })
      handle(
        orders: readonly OrderPlaced[],
        { contexts }: ServiceBatchContext,
      ): PromiseSettledResult<void>[] {
        calls.push(orders.map(({ id }, index) => `${id} ${contexts[index]?.attempt}`));
        return orders.map(({ id }) =>
          id === '2'
            ? { status: 'rejected', reason: new Reject('2') }
            : { status: 'fulfilled', value: undefined },
        );
      }
    }
    await using t = await tested({ providers: [Batched] });
    const delivered = t.deliverAll(
      queue,
      ['1', '2', '3'].map((id) => new OrderPlaced({ id })),
    );
    await t.advance('1s');
    await delivered;
    expect(calls).toEqual([['1 1', '2 1', '3 1']]);
    expect(t.counters()).toMatchObject({ orders: { acknowledged: 2, deadLettered: 1 } });
  });

  it('is inherited, unless a subclass overrides the method without it', async () => {
    const handled: string[] = [];
    class Base {
      @MessageHandler(OrderPlaced, { queue })
      place({ id }: OrderPlaced, { messageId }: HandlerContext): void {
        handled.push(`placed ${id} ${messageId}`);
      }

      @MessageHandler(OrderCancelled, { queue })
      cancel(_order: OrderCancelled): void {
        handled.push('cancelled');
      }
    }
    class Derived extends Base {
      override cancel(_order: OrderCancelled): void {}
    }
    await using t = await tested({ providers: [Derived] });
    const id = await t.deliver(queue, new OrderPlaced({ id: '1' }));
    await t.deliver(queue, new OrderCancelled({ id: '1' }));
    expect(handled).toEqual([`placed 1 ${id}`]);
    expect(t.deadLetters(queue)).toMatchObject([{ reason: 'unhandled' }]);
  });

  it('of a method twice has it handle two classes', async () => {
    const handled: string[] = [];
    class Both {
      @MessageHandler(OrderPlaced, { queue })
      @MessageHandler(OrderCancelled, { queue })
      handle(order: OrderPlaced | OrderCancelled, { manifest }: HandlerContext): void {
        handled.push(`${manifest} ${order.id}`);
      }
    }
    await using t = await tested({ providers: [Both] });
    await t.deliver(queue, new OrderPlaced({ id: '1' }));
    await t.deliver(queue, new OrderCancelled({ id: '2' }));
    expect(handled).toEqual(['OrderPlaced 1', 'OrderCancelled 2']);
  });

  it('understands @Payload() and @Ctx() of @nestjs/microservices, and decorators of createParamDecorator', async () => {
    const Tenant = createParamDecorator(
      (name: string, context: ExecutionContext) =>
        context.switchToRpc().getContext<HandlerContext>().headers[name],
    );
    const handled: unknown[] = [];
    class Decorated {
      @MessageHandler(OrderPlaced, { queue })
      handle(
        @Payload() order: OrderPlaced,
        @Tenant('tenant') tenant: string,
        @Ctx() context: HandlerContext,
        @Payload('id') id: string,
      ): void {
        handled.push(order instanceof OrderPlaced, tenant, context.queue, id);
      }
    }
    await using t = await tested({ providers: [Decorated] });
    await t.deliver(queue, new OrderPlaced({ id: '1' }), { headers: { tenant: 'acme' } });
    expect(handled).toEqual([true, 'acme', queue, '1']);
  });

  it('adds its class to the messages of the service; a class that others extend need not be one', async () => {
    class Shipped extends defineMessage('Shipped', z.object({ by: z.string() })) {}
    abstract class Order {
      abstract readonly id: string;
    }
    class Small extends Order {
      readonly id: string = 'small';
    }
    const handled: string[] = [];
    class Handlers {
      @MessageHandler(Shipped, { queue })
      ship(): void {
        handled.push('shipped');
      }

      @MessageHandler(Order, { queue })
      order({ id }: Order): void {
        handled.push(id);
      }
    }
    await using t = await tested({ providers: [Handlers] }, { messages: [Small] });
    await t.deliver(queue, new Shipped({ by: 'rail' }));
    await t.deliver(queue, new Small());
    expect(handled).toEqual(['shipped', 'small']);
  });

  it('under standard decorators says what is missing', () => {
    const decorate = MessageHandler(OrderPlaced, { queue }) as unknown as (
      method: unknown,
      context: object,
    ) => void;
    expect(() => decorate(() => undefined, { kind: 'method', name: 'handle' })).toThrow(
      /experimentalDecorators/,
    );
  });
});

describe('a handler is refused, with the reason,', () => {
  class Handler {
    @MessageHandler(OrderPlaced, { queue })
    handle(): void {}
  }
  const refusal = async (
    ...providers: Parameters<typeof compiled>[0]['providers'] & object
  ): Promise<unknown> => {
    const application = await compiled({ providers });
    return application.init().catch((error: unknown) => error);
  };
  const refused = (text: RegExp) =>
    expect.objectContaining({ code: 'CONFIGURATION', message: expect.stringMatching(text) });

  it('when its provider is request-scoped', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Scoped extends Handler {}
    expect(await refusal(Scoped)).toEqual(
      refused(/^Scoped\.handle cannot handle OrderPlaced of "orders": it is made for each request/),
    );
  });

  it('when something that its provider injects is', async () => {
    @Injectable()
    class Injecting extends Handler {
      readonly request: object;
      constructor(@Inject(REQUEST) request: object) {
        super();
        this.request = request;
      }
    }
    expect(await refusal(Injecting)).toEqual(refused(/^Injecting\.handle .* is made for each request/));
  });

  it('when one of its guards is', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Guard implements CanActivate {
      canActivate(): boolean {
        return true;
      }
    }
    @UseGuards(Guard)
    class Guarded extends Handler {}
    expect(await refusal(Guarded)).toEqual(refused(/^Guarded\.handle .* is made for each request/));
  });

  it('when its provider is transient', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class Transient extends Handler {}
    expect(await refusal(Transient)).toEqual(refused(/^Transient\.handle .* transient/));
  });

  it('on a controller', async () => {
    @Controller()
    class Controlling extends Handler {}
    const application = await compiled({ controllers: [Controlling] });
    await expect(application.init()).rejects.toEqual(refused(/^Controlling\.handle .* is a controller/));
  });

  it.each([
    ['under another token', { provide: 'token', useClass: Handler }],
    ['by a factory', { provide: Handler, useFactory: () => new Handler() }],
    ['as a value', { provide: Handler, useValue: new Handler() }],
  ])('when it is provided %s', async (_, provider) => {
    expect(await refusal(provider)).toEqual(refused(/^Handler\.handle .* provide the class itself/));
  });

  it('but not for an alias', async () => {
    await using t = await tested({ providers: [Handler, { provide: 'alias', useExisting: Handler }] });
    await t.deliver(queue, new OrderPlaced({ id: '1' }));
    expect(t.counters()).toMatchObject({ orders: { acknowledged: 1 } });
  });

  it('when the class has a handler on that queue already', async () => {
    class Other extends Handler {}
    expect(await refusal(Handler, Other)).toEqual(refused(/has a handler for OrderPlaced already/));
  });

  it('when its queue is not declared', async () => {
    class Elsewhere {
      @MessageHandler(OrderPlaced, { queue: 'nowhere' })
      handle(): void {}
    }
    expect(await refusal(Elsewhere)).toEqual(refused(/has no queue "nowhere"/));
  });
});

it('a request-scoped guard of the whole application is named in a warning', async () => {
  @Injectable({ scope: Scope.REQUEST })
  class Guard implements CanActivate {
    canActivate(): boolean {
      return false;
    }
  }
  const warnings: string[] = [];
  const logger = { ...billing.logger, warn: (message: string) => void warnings.push(message) };
  const application = await Test.createTestingModule({
    imports: [MelangeModule.forRoot({ ...billing, backend: new MemoryBackend(), logger })],
    providers: [Orders, Ledger, { provide: APP_GUARD, useClass: Guard }],
  })
    .setLogger(quiet)
    .compile();
  await using t = await application.get(MelangeService).service.test();
  await t.deliver(queue, new OrderPlaced({ id: '1' }));
  expect(t.counters()).toMatchObject({ orders: { acknowledged: 1 } });
  expect(warnings).toEqual([expect.stringMatching(/not called for messages: APP_GUARD Guard$/)]);
});

describe('MelangePublisher', () => {
  class Invoicing {
    readonly publisher: MelangePublisher;

    constructor(@Inject(MelangePublisher) publisher: MelangePublisher) {
      this.publisher = publisher;
    }

    async invoice(orderId: string): Promise<void> {
      await new Promise((resolve) => setImmediate(resolve));
      await this.publisher.publish('billing-events', new InvoicePaid({ orderId }));
    }
  }

  it('carries on what the message says, deep below the handler', async () => {
    class Deep {
      readonly invoicing: Invoicing;

      constructor(@Inject(Invoicing) invoicing: Invoicing) {
        this.invoicing = invoicing;
      }

      @MessageHandler(OrderPlaced, { queue })
      async handle({ id }: OrderPlaced): Promise<void> {
        await this.invoicing.invoice(id);
      }
    }
    await using t = await tested({ providers: [Deep, Invoicing] });
    const id = await t.deliver(queue, new OrderPlaced({ id: '1' }), { correlationId: 'c-1' });
    expect(t.publications()).toMatchObject([{ headers: { correlationId: 'c-1', causationId: id } }]);
  });

  it('is replaced by a fake', async () => {
    const published: unknown[] = [];
    const application = await Test.createTestingModule({
      imports: [MelangeModule.forRoot({ ...billing, backend: new MemoryBackend() })],
      providers: [Invoicing],
    })
      .overrideProvider(MelangePublisher)
      .useValue({ publish: async (...given: unknown[]) => void published.push(given) })
      .compile();
    await application.get(Invoicing).invoice('1');
    expect(published).toEqual([['billing-events', new InvoicePaid({ orderId: '1' })]]);
  });

  it('refuses what is not declared', async () => {
    const application = await compiled({});
    const { publish } = application.get(MelangePublisher);
    await expect(publish('nowhere', new InvoicePaid({ orderId: '1' }))).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
    await expect(publish('billing-events', new OrderPlaced({ id: '1' }))).rejects.toMatchObject({
      code: 'MESSAGE_INVALID',
    });
  });
});
