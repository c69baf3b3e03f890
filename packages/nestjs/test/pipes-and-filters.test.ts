import { MemoryBackend } from '@melange/backend-memory';
import { Reject } from '@melange/core';
import {
  acknowledged,
  MelangeModule,
  MelangePublisher,
  MelangeService,
  MessageHandler,
} from '@melange/nestjs';
import type { HandlerContext } from '@melange/service';
import {
  type ArgumentMetadata,
  type ArgumentsHost,
  BadRequestException,
  type CanActivate,
  Catch,
  type ExceptionFilter,
  type PipeTransform,
  UseFilters,
  UseGuards,
  UsePipes,
  ValidationPipe,
} from '@nestjs/common';
import { APP_FILTER, APP_PIPE } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { IsString } from 'class-validator';
import { of, throwError } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { tested } from './support/application.ts';
import { OrderPlaced } from './support/messages.ts';
import {
  done,
  Failing,
  order,
  outcomes,
  queue,
  Recording,
  rejected,
  retried,
  seen,
} from './support/outcomes.ts';

beforeEach(() => {
  seen.length = 0;
});

describe('a pipe', () => {
  class Describing implements PipeTransform {
    transform(value: unknown, { type, metatype }: ArgumentMetadata): unknown {
      seen.push(type, metatype, value instanceof OrderPlaced);
      return new OrderPlaced({ id: `${(value as OrderPlaced).id}, piped` });
    }
  }

  it('is given the message, and not the context, and its answer is handled', async () => {
    @UsePipes(Describing)
    class Piped extends Recording {}
    expect(await outcomes({ providers: [Piped] })).toEqual(done);
    expect(seen).toEqual(['custom', OrderPlaced, true, 'handled', '1, piped', 1]);
  });

  it('that throws fails the message', async () => {
    class Refusing implements PipeTransform {
      transform(): never {
        throw new BadRequestException('no');
      }
    }
    expect(await outcomes({ providers: [Recording, { provide: APP_PIPE, useClass: Refusing }] })).toEqual(
      retried('no'),
    );
  });

  describe('ValidationPipe, with whitelist,', () => {
    const pipe = { provide: APP_PIPE, useValue: new ValidationPipe({ whitelist: true }) };
    class Plain {
      @IsString()
      readonly id!: string;
    }
    class PlainHandler {
      @MessageHandler(Plain, { queue })
      handle({ id }: Plain): void {
        seen.push('handled', id);
      }
    }

    it('leaves a message that its schema has validated as it is', async () => {
      expect(await outcomes({ providers: [Recording, pipe] })).toEqual(done);
      expect(seen).toEqual(['handled', '1', 1]);
    });

    it('validates a message of a plain class, also where the compiler emits no metadata', async () => {
      await using t = await tested({ providers: [PlainHandler, pipe] });
      await t.deliver(queue, Object.assign(new Plain(), { id: 'good' }));
      await t.deliver(queue, Object.assign(new Plain(), { id: 7 }));
      expect(seen).toEqual(['handled', 'good']);
      expect(t.errors()).toMatchObject([{ error: { response: { message: ['id must be a string'] } } }]);
    });
  });
});

describe('a filter', () => {
  const filter = (answer: (error: Error, host: ArgumentsHost) => unknown) => {
    @Catch()
    class Filter implements ExceptionFilter {
      catch(error: Error, host: ArgumentsHost): unknown {
        seen.push(error.message, host.getType());
        return answer(error, host);
      }
    }
    return Filter;
  };
  const filtered = (
    answer: (error: Error, host: ArgumentsHost) => unknown,
    type: typeof Failing = Failing,
  ) => {
    class Filtered extends type {}
    UseFilters(filter(answer))(Filtered);
    return outcomes({ providers: [Filtered] });
  };

  it.each([
    ['nothing', () => undefined],
    ['a promise', async () => 'sent a response'],
    ['a value', () => ({ statusCode: 500 })],
  ])('that answers %s has looked at the error: the message is retried', async (_, answer) => {
    expect(await filtered(answer)).toEqual(retried('no ledger'));
    expect(seen).toEqual(['no ledger', 'melange']);
  });

  it.each([
    ['', () => acknowledged],
    ['in a promise', async () => acknowledged],
    ['in an observable', () => of(acknowledged)],
  ])('that answers `acknowledged` %s has the message acknowledged', async (_, answer) => {
    expect(await filtered(answer)).toEqual(done);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Reject('never');
      },
    ],
    [
      'answers as an observable, as filters of @nestjs/microservices do,',
      () => throwError(() => new Reject('never')),
    ],
  ])('that %s another error has that one counted', async (_, answer) => {
    expect(await filtered(answer)).toEqual(rejected('never'));
  });

  it('sees message and context', async () => {
    expect(
      await filtered((_error, host) => {
        const rpc = host.switchToRpc();
        seen.push(rpc.getData<OrderPlaced>().id, rpc.getContext<HandlerContext>().queue);
      }),
    ).toEqual(retried('no ledger'));
    expect(seen).toEqual(['no ledger', 'melange', '1', queue]);
  });

  it('of the whole application is asked, of the method first, and of the class that it catches only', async () => {
    class Special extends Error {}
    @Catch(Special)
    class Specially implements ExceptionFilter {
      catch(): unknown {
        return acknowledged;
      }
    }
    class Both {
      @UseFilters(Specially)
      @MessageHandler(OrderPlaced, { queue })
      handle({ id }: OrderPlaced): void {
        throw id === '1' ? new Special('special') : new Error('another');
      }
    }
    const general = {
      provide: APP_FILTER,
      useClass: filter(() => new Promise((resolve) => resolve(undefined))),
    };
    await using t = await tested({ providers: [Both, general] });
    await t.deliver(queue, order);
    await t.deliver(queue, new OrderPlaced({ id: '2' }));
    expect(t.counters()).toMatchObject({ orders: { acknowledged: 1, retried: 1 } });
    expect(seen).toEqual(['another', 'melange']);
  });

  it('sees what guards throw, and neither Reject nor RetryLater', async () => {
    class Refusing implements CanActivate {
      canActivate(): boolean {
        return false;
      }
    }
    @UseGuards(Refusing)
    class Guarded extends Failing {}
    class Rejecting {
      @MessageHandler(OrderPlaced, { queue })
      handle(): void {
        throw new Reject('never');
      }
    }
    expect(await filtered(() => undefined, Guarded)).toEqual(retried('Forbidden resource'));
    expect(await filtered(() => acknowledged, Rejecting)).toEqual(rejected('never'));
    expect(seen).toEqual(['Forbidden resource', 'melange']);
  });
});

it('a message of a class without a schema is told to pipes as the body', async () => {
  class Bare {
    readonly id: string = '1';
  }
  class Handling {
    @MessageHandler(Bare, { queue })
    handle(): void {}
  }
  class Describing implements PipeTransform {
    transform(value: unknown, { type, metatype }: ArgumentMetadata): unknown {
      seen.push(type, metatype);
      return value;
    }
  }
  UsePipes(Describing)(Handling);
  await using t = await tested({ providers: [Handling] });
  await t.deliver(queue, new Bare());
  expect(seen).toEqual(['body', Bare]);
});

it('an error is logged once, with what becomes of the message, whether a filter has looked at it or not', async () => {
  const lines: string[] = [];
  const line = (...parts: readonly unknown[]): void => void lines.push(String(parts[0]));
  const logger = { log: () => undefined, warn: line, error: line };
  class Looking implements ExceptionFilter {
    catch(): void {}
  }
  Catch()(Looking);
  class Looked extends Failing {}
  UseFilters(Looking)(Looked);
  for (const provider of [Failing, Looked]) {
    const root = MelangeModule.forRoot({
      name: 'billing',
      backend: new MemoryBackend(),
      queues: { [queue]: {} },
      sends: { [queue]: [OrderPlaced] },
    });
    const application = await Test.createTestingModule({ imports: [root], providers: [provider] })
      .setLogger(logger)
      .compile();
    await application.init();
    const { service } = application.get(MelangeService);
    await application.get(MelangePublisher).send(queue, order);
    await expect.poll(() => service.counters()[queue]?.retried).toBe(1);
    await application.close();
  }
  expect(lines).toEqual([expect.stringContaining('no ledger'), expect.stringContaining('no ledger')]);
});
