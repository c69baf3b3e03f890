import { MemoryBackend } from '@melange/backend-memory';
import { defineMessage } from '@melange/core';
import {
  acknowledged,
  MelangeModule,
  MelangePublisher,
  MelangeService,
  MessageHandler,
} from '@melange/nestjs';
import { MelangeHealthIndicator } from '@melange/nestjs/terminus';
import type { HandlerContext } from '@melange/service';
import {
  type ArgumentMetadata,
  type CanActivate,
  Catch,
  type ExceptionFilter,
  type ExecutionContext,
  Injectable,
  Module,
  type OnModuleDestroy,
  type PipeTransform,
  SetMetadata,
  UseFilters,
  UseGuards,
  UsePipes,
} from '@nestjs/common';
// biome-ignore lint/style/useImportType: Nest injects by these classes.
import { NestFactory, Reflector } from '@nestjs/core';
import { TerminusModule } from '@nestjs/terminus';
import { z } from 'zod';

class OrderPlaced extends defineMessage('OrderPlaced', z.object({ id: z.string() })) {}
class InvoicePaid extends defineMessage('InvoicePaid', z.object({ orderId: z.string() })) {}

@Injectable()
class Database implements OnModuleDestroy {
  isOpen = true;
  onModuleDestroy(): void {
    this.isOpen = false;
  }
}

@Module({ providers: [Database], exports: [Database] })
class DatabaseModule {}

@Injectable()
class Guard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly database: Database,
  ) {}

  canActivate(context: ExecutionContext): boolean {
    return this.database.isOpen && this.reflector.get<string>('role', context.getHandler()) === 'billing';
  }
}

class Pipe implements PipeTransform {
  transform(value: unknown, { metatype, type }: ArgumentMetadata): unknown {
    console.log(`piped ${metatype?.name} as ${type}`);
    return value;
  }
}

@Catch()
class Filter implements ExceptionFilter {
  catch(error: Error): unknown {
    console.log(`filtered ${error.message}`);
    return acknowledged;
  }
}

@Injectable()
@UseGuards(Guard)
class Billing {
  constructor(
    private readonly database: Database,
    private readonly publisher: MelangePublisher,
  ) {}

  @SetMetadata('role', 'billing')
  @UsePipes(Pipe)
  @UseFilters(Filter)
  @MessageHandler(OrderPlaced, { queue: 'orders' })
  async bill(order: OrderPlaced, { attempt }: HandlerContext): Promise<void> {
    if (order.id === 'failing') throw new Error('no ledger');
    await new Promise((resolve) => setTimeout(resolve, 200));
    await this.publisher.publish('billing-events', new InvoicePaid({ orderId: order.id }));
    console.log(`billed ${order.id}, attempt ${attempt}, database open: ${this.database.isOpen}`);
  }
}

@Module({ imports: [DatabaseModule], providers: [Billing] })
class BillingModule {}

@Module({
  imports: [
    MelangeModule.forRootAsync({
      imports: [DatabaseModule],
      inject: [Database],
      useFactory: (_database: Database) => ({
        name: 'billing',
        backend: new MemoryBackend(),
        queues: { orders: {} },
        sends: { orders: [OrderPlaced] },
        publishes: { 'billing-events': [InvoicePaid] },
      }),
    }),
    BillingModule,
    TerminusModule,
  ],
  providers: [MelangeHealthIndicator],
})
class AppModule {}

async function main(): Promise<void> {
  const application = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
  const { send } = application.get(MelangePublisher);
  console.log(
    JSON.stringify((await application.get(MelangeHealthIndicator).isHealthy('melange')).melange.status),
  );
  await send('orders', new OrderPlaced({ id: 'failing' }));
  await send('orders', new OrderPlaced({ id: '1' }));
  const { service } = application.get(MelangeService);
  while ((service.counters().orders?.acknowledged ?? 0) < 1)
    await new Promise((resolve) => setTimeout(resolve, 10));
  await application.close();
  console.log(`acknowledged ${service.counters().orders?.acknowledged}`);
}

void main();
