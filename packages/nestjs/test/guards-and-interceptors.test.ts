import { Reject } from '@melange/core';
import { isMelangeContext, MessageHandler } from '@melange/nestjs';
import type { HandlerContext } from '@melange/service';
import {
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  SetMetadata,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, Reflector } from '@nestjs/core';
import { catchError, map, type Observable, of, tap } from 'rxjs';
import { beforeEach, describe, expect, it } from 'vitest';
import { OrderPlaced } from './support/messages.ts';
import { done, Failing, outcomes, queue, Recording, rejected, retried, seen } from './support/outcomes.ts';

beforeEach(() => {
  seen.length = 0;
});

describe('a guard', () => {
  @Injectable()
  class Roles {
    readonly allowed: string = 'billing';
  }
  @Injectable()
  class RoleGuard implements CanActivate {
    readonly reflector: Reflector;
    readonly roles: Roles;

    constructor(@Inject(Reflector) reflector: Reflector, @Inject(Roles) roles: Roles) {
      this.reflector = reflector;
      this.roles = roles;
    }

    canActivate(context: ExecutionContext): boolean {
      const role = this.reflector.get<string>('role', context.getHandler());
      const [message] = context.getArgs<[OrderPlaced]>();
      const { queue: from } = context.switchToRpc().getContext<HandlerContext>();
      seen.push(
        isMelangeContext(context),
        context.getClass().name,
        context.getHandler().name,
        message.id,
        from,
      );
      return role === this.roles.allowed;
    }
  }

  it('that lets a message through sees class, method, metadata, message and context, with what was injected', async () => {
    @UseGuards(RoleGuard)
    class Guarded {
      @SetMetadata('role', 'billing')
      @MessageHandler(OrderPlaced, { queue })
      handle(message: OrderPlaced, { attempt }: HandlerContext): void {
        seen.push('handled', message.id, attempt);
      }
    }
    expect(await outcomes({ providers: [Guarded, Roles] })).toEqual(done);
    expect(seen).toEqual([true, 'Guarded', 'handle', '1', queue, 'handled', '1', 1]);
  });

  it('that refuses is a failure of the message: it is retried, and not handled', async () => {
    class Guarded {
      @UseGuards(RoleGuard)
      @SetMetadata('role', 'mailing')
      @MessageHandler(OrderPlaced, { queue })
      handle(): void {
        seen.push('handled');
      }
    }
    expect(await outcomes({ providers: [Guarded, Roles] })).toEqual(retried('Forbidden resource'));
    expect(seen).not.toContain('handled');
  });

  it('that throws Reject has the message dead-lettered at once', async () => {
    class Rejecting implements CanActivate {
      canActivate(): boolean {
        throw new Reject('not for us');
      }
    }
    expect(await outcomes({ providers: [Recording, { provide: APP_GUARD, useClass: Rejecting }] })).toEqual(
      rejected('not for us'),
    );
  });
});

describe('an interceptor', () => {
  class Around implements NestInterceptor {
    intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
      seen.push('before');
      return next.handle().pipe(tap(() => seen.push('after')));
    }
  }

  it.each([
    ['of the method', (target: typeof Recording) => [target], true],
    [
      'of the whole application',
      (target: typeof Recording) => [target, { provide: APP_INTERCEPTOR, useClass: Around }],
      false,
    ],
  ])('runs around the handler: %s', async (_, providers, isOwn) => {
    class Own extends Recording {}
    if (isOwn) UseInterceptors(Around)(Own);
    expect(await outcomes({ providers: providers(Own) })).toEqual(done);
    expect(seen).toEqual(['before', 'handled', '1', 1, 'after']);
  });

  it('that throws fails the message, and one that catches an error has it acknowledged', async () => {
    class Throwing implements NestInterceptor {
      intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
        return next.handle().pipe(
          map(() => {
            throw new Error('too late');
          }),
        );
      }
    }
    class Catching implements NestInterceptor {
      intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
        return next.handle().pipe(catchError(() => of(undefined)));
      }
    }
    @UseInterceptors(Throwing)
    class Thrown extends Recording {}
    @UseInterceptors(Catching)
    class Caught extends Failing {}
    expect(await outcomes({ providers: [Thrown] })).toEqual(retried('too late'));
    expect(await outcomes({ providers: [Caught] })).toEqual(done);
  });
});
