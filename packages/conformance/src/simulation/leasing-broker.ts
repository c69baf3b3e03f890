import {
  type BackendClass,
  type BackendOptions,
  type Driver,
  defineBackend,
  type PullSource,
  type Received,
} from '@melange/backend-kit';
import type { Capabilities, Message, QueueOptions } from '@melange/core';
import { AnswerLost, type Network } from './network.ts';
import { Missing, type Row, type Store } from './store.ts';

interface LeasedRow extends Received {
  readonly row: Row;
  readonly fence: number;
}

/** Where a simulated backend finds its broker. */
export interface SimulatedBroker extends BackendOptions {
  readonly store: Store;
  readonly network: Network;
  readonly deadLetterQueue: string | undefined;
}

const leaseMs = 10_000;

/** What a broker of the leasing family can do. */
export const leasingCapabilities: Capabilities & { readonly delayedDelivery: true } = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: true,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: undefined,
};

/** A backend whose broker gives messages for a time, as SQS and Redis Streams do. */
export const LeasingBackend: BackendClass<SimulatedBroker, typeof leasingCapabilities> = defineBackend({
  name: 'leasing',
  capabilities: leasingCapabilities,
  driver: leasingDriver,
});

function leasingDriver({
  store,
  network,
  deadLetterQueue,
  clock,
}: SimulatedBroker): Driver<QueueOptions, Message, LeasedRow> {
  const now = (): number => clock?.monotonicNow() ?? 0;
  const isOurs = ({ row, fence }: LeasedRow): boolean => row.fence === fence && row.isTaken;
  return {
    names: { maxBytes: 200 },
    topology: {
      declareTopic: async () => undefined,
      declareQueue: (name) => network.ask(() => store.declare(name)),
      describeQueue: (name) =>
        network.ask(() => ({ exists: true, depth: store.rows(name).length, deadLetterQueue })),
      deleteQueue: async () => undefined,
      deleteTopic: async () => undefined,
    },
    publishing: {
      encode: (message) => message,
      bytesOf: () => 1,
      limitsOf: () => ({ maxMessages: 10, maxBytes: 1_000 }),
      send: ({ name }, batch) =>
        network.ask(() => {
          for (const { encoded, delayMs } of batch) store.put(name, encoded, delayMs);
          return undefined;
        }),
    },
    consuming: {
      kind: 'pull',
      open({ queue, wake }): PullSource<LeasedRow> {
        const stopListening = store.onPut(() => clock?.schedule(wake, 1));
        return {
          leases: {
            leaseMs,
            renew: (batch) =>
              network.ask(() => {
                const lost = batch.filter((one) => !isOurs(one));
                for (const one of batch) if (isOurs(one)) one.row.visibleAt = now() + leaseMs;
                return lost;
              }),
          },
          take: (max) =>
            network.ask(() => ({
              nextMs: 250,
              taken: store
                .ready(queue)
                .slice(0, max)
                .map((row) => {
                  if (row.isTaken) row.redeliveries += 1;
                  row.isTaken = true;
                  row.fence += 1;
                  row.visibleAt = now() + leaseMs;
                  const { message, attempt, redeliveries, fence } = row;
                  return { message, attempt, redeliveries, row, fence };
                }),
            })),
          acknowledge: (batch) =>
            network.ask(() => {
              for (const one of batch) if (isOurs(one)) store.remove(queue, one.row);
              return undefined;
            }),
          retry: (taken, { delayMs, attempt, redeliveries }) =>
            network.ask(() => {
              if (!isOurs(taken)) return;
              store.put(queue, taken.message, delayMs, attempt, redeliveries);
              store.remove(queue, taken.row);
            }),
          deadLetter: (taken, target, copy) =>
            network.ask(() => {
              if (!isOurs(taken)) return;
              store.put(target, copy, 0);
              store.remove(queue, taken.row);
            }),
          release: (batch) =>
            network.ask(() => {
              for (const one of batch) {
                if (!isOurs(one)) continue;
                one.row.isTaken = false;
                one.row.visibleAt = now();
              }
              store.wake();
            }),
          close: stopListening,
        };
      },
    },
    explain(error) {
      if (error instanceof Missing) return { kind: 'missing' };
      if (error instanceof AnswerLost) return { kind: 'unavailable', reason: error.message };
      throw error;
    },
    close: () => undefined,
  };
}
