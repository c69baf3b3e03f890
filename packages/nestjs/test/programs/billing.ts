import 'reflect-metadata';
import { createInterface } from 'node:readline';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { MelangeModule, MelangePublisher, MessageHandler } from '@melange/nestjs';
import { MelangeHealthIndicator } from '@melange/nestjs/terminus';
import type { CanActivate } from '@nestjs/common';
import { Controller, Get, Inject, Injectable, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { OrderPlaced } from '../support/messages.ts';

/** An application whose handlers go on, one after the other, for each line of standard input. */
const { URL_OF_BROKER: url = '', QUEUE: queue = '', OPTIONS: options = '{}' } = process.env;
const waiting: (() => void)[] = [];
const lines = createInterface({ input: process.stdin });
lines.on('line', () => {
  for (const go of waiting.splice(0)) go();
});

@Injectable()
class Allowing implements CanActivate {
  canActivate(): boolean {
    return true;
  }
}

@Injectable()
@UseGuards(Allowing)
class Billing {
  readonly publisher: MelangePublisher;

  constructor(@Inject(MelangePublisher) publisher: MelangePublisher) {
    this.publisher = publisher;
  }

  @MessageHandler(OrderPlaced, { queue })
  async handle({ id }: OrderPlaced): Promise<void> {
    console.log(`begun ${id}`);
    await new Promise<void>((resolve) => waiting.push(resolve));
    await this.publisher.publish(`${queue}-events`, new OrderPlaced({ id }));
    console.log(`finished ${id}`);
  }
}

@Controller()
class Health {
  readonly checks: HealthCheckService;
  readonly melange: MelangeHealthIndicator;

  constructor(
    @Inject(HealthCheckService) checks: HealthCheckService,
    @Inject(MelangeHealthIndicator) melange: MelangeHealthIndicator,
  ) {
    this.checks = checks;
    this.melange = melange;
  }

  @Get('ready')
  ready(): Promise<object> {
    return this.checks.check([() => this.melange.isHealthy('melange')]);
  }
}

@Module({
  imports: [
    MelangeModule.forRoot({
      name: 'billing',
      backend: new RabbitMqBackend({ url }),
      queues: { [queue]: { deadLetterQueue: `${queue}-dead`, concurrency: 3 } },
      publishes: { [`${queue}-events`]: [OrderPlaced] },
      ...(JSON.parse(options) as object),
    }),
    TerminusModule.forRoot({ logger: false }),
  ],
  providers: [Billing, MelangeHealthIndicator],
  controllers: [Health],
})
class AppModule {}

const application = await NestFactory.create(AppModule);
application.enableShutdownHooks();
await application.listen(0, '127.0.0.1');
console.log(`listening at ${await application.getUrl()}`);
