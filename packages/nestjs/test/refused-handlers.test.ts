import { MemoryBackend } from '@melange/backend-memory';
import { MelangeModule, MelangeService, MessageHandler } from '@melange/nestjs';
import { type CanActivate, Controller, Inject, Injectable, Scope, UseGuards } from '@nestjs/common';
import { APP_GUARD, REQUEST } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { billing, compiled, quiet, tested } from './support/application.ts';
import { OrderPlaced } from './support/messages.ts';

const queue = 'orders';

class Handler {
  @MessageHandler(OrderPlaced, { queue })
  handle(): void {}
}

describe('a handler is refused, with the reason,', () => {
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
    providers: [Handler, { provide: APP_GUARD, useClass: Guard }],
  })
    .setLogger(quiet)
    .compile();
  await using t = await application.get(MelangeService).service.test();
  await t.deliver(queue, new OrderPlaced({ id: '1' }));
  expect(t.counters()).toMatchObject({ orders: { acknowledged: 1 } });
  expect(warnings).toEqual([expect.stringMatching(/not called for messages: APP_GUARD Guard$/)]);
});
