import { MemoryBackend } from '@melange/backend-memory';
import { silentLogger } from '@melange/core';
import { type MelangeFeature, MelangeModule, MelangeService } from '@melange/nestjs';
import type { ServiceTest } from '@melange/service';
import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { InvoicePaid, OrderCancelled, OrderPlaced } from './messages.ts';

/** A service "billing" with a queue `orders` that keeps its dead letters. */
export const billing = {
  name: 'billing',
  messages: [OrderPlaced, OrderCancelled, InvoicePaid],
  queues: { orders: { deadLetterQueue: 'orders-dead' } },
  publishes: { 'billing-events': [InvoicePaid] },
  logger: silentLogger,
} as const;

/** An application in memory with these providers. */
export function compiled(metadata: ModuleMetadata, feature: MelangeFeature = {}): Promise<TestingModule> {
  const { imports = [], ...others } = metadata;
  const root = MelangeModule.forRoot({ ...billing, backend: new MemoryBackend() });
  const all = [root, MelangeModule.forFeature(feature), ...imports];
  return Test.createTestingModule({ imports: all, ...others })
    .setLogger(quiet)
    .compile();
}

/** Its handlers, in memory and virtual time. */
export async function tested(metadata: ModuleMetadata, feature?: MelangeFeature): Promise<ServiceTest> {
  const application = await compiled(metadata, feature);
  return application.get(MelangeService).service.test();
}

const nothing = (): undefined => undefined;
/** Nest writes of its start. */
export const quiet = { log: nothing, error: nothing, warn: nothing };
