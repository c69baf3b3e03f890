import { MemoryBackend } from '@melange/backend-memory';
import { MelangeModule, MelangePublisher, MessageHandler } from '@melange/nestjs';
import { Inject } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { billing, compiled, tested } from './support/application.ts';
import { InvoicePaid, OrderPlaced } from './support/messages.ts';

const queue = 'orders';

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
