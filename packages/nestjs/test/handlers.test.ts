import { defineMessage, Reject, RetryLater } from '@melange/core';
import { MelangeService, MessageHandler } from '@melange/nestjs';
import type { HandlerContext, ServiceBatchContext } from '@melange/service';
import { createParamDecorator, type ExecutionContext, Inject, Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { compiled, tested } from './support/application.ts';
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
        if (id === 'later' && attempts.length === 2) throw new RetryLater('later', { delayMs: 60_000 });
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
