import { MemoryBackend } from '@melange/backend-memory';
import { MelangeModule } from '@melange/nestjs';
import { MelangeHealthIndicator } from '@melange/nestjs/terminus';
import { Module } from '@nestjs/common';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { expect, it } from 'vitest';
import { billing, quiet } from './support/application.ts';

it('MelangeHealthIndicator is up while the service runs, down before and after, and says why', async () => {
  @Module({ imports: [TerminusModule.forRoot({ logger: false })], providers: [MelangeHealthIndicator] })
  class HealthModule {}
  const application = await Test.createTestingModule({
    imports: [MelangeModule.forRoot({ ...billing, backend: new MemoryBackend() }), HealthModule],
  })
    .setLogger(quiet)
    .compile();
  const indicator = application.get(MelangeHealthIndicator, { strict: false });
  const health = application.get(HealthCheckService, { strict: false });
  const check = () => health.check([() => indicator.isHealthy('melange')]);
  await expect(check()).rejects.toMatchObject({
    response: {
      status: 'error',
      error: {
        melange: { status: 'down', health: 'unhealthy', detail: expect.stringContaining('not started') },
      },
    },
  });
  await application.init();
  expect(await check()).toMatchObject({
    status: 'ok',
    info: {
      melange: {
        status: 'up',
        health: 'healthy',
        queues: { orders: { status: 'healthy' } },
        backends: { default: { status: 'healthy' } },
      },
    },
  });
  await application.close();
  await expect(check()).rejects.toMatchObject({ response: { error: { melange: { status: 'down' } } } });
});
