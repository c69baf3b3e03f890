import type { Message, QueueOptions } from '@melange/core';
import {
  type Backend,
  type BackendClass,
  type BackendOptions,
  type Driver,
  type DriverContext,
  defineBackend,
  type PullSource,
  type Received,
  type Take,
} from '../../src/index.ts';
import {
  copied,
  turn as directTurn,
  explain,
  type Row,
  type Store,
  storePublishing,
  storeTopology,
} from './store.ts';
import type { Address } from './wire.ts';
import { Wire } from './wire.ts';

const directly = { answer: directTurn };

/** What a subscription was given. */
export interface LeasedRow extends Received {
  readonly row: Row;
  readonly fence: number;
}

/** What a broker can do that is asked for messages and gives them for a time, as SQS and Redis Streams do. */
export const leasingCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: false;
  readonly ordered: true;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly browse: false;
  readonly queuesKeepTopicMessages: true;
  readonly tombstones: true;
  readonly durable: false;
  readonly releaseKeepsAttempt: true;
  readonly deliveriesOutliveConnections: true;
  readonly exactDepth: true;
  readonly fencedSettlements: true;
  readonly tellsRedeliveries: true;
  readonly maxMessageBytes: undefined;
} = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: false,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: undefined,
};

/** Options of `LeasingBackend`. */
export interface LeasingOptions extends BackendOptions {
  readonly store: Store;
  readonly leaseMs?: number;
  /** Whether the store ignores a settlement by a former holder. Default: true. */
  readonly isFenced?: boolean;
  /** Where the store answers over a network. Default: it is asked directly. */
  readonly address?: Address;
}

/** A backend on a store that leases. */
export const LeasingBackend: BackendClass<LeasingOptions, typeof leasingCapabilities> = defineBackend({
  name: 'leasing',
  capabilities: leasingCapabilities,
  driver: leasingDriver,
});
/** An instance of `LeasingBackend`. */
export type LeasingBackend = Backend<typeof leasingCapabilities, QueueOptions>;

function leasingDriver(
  { store, leaseMs = 1_000, isFenced = true, address }: LeasingOptions,
  context: DriverContext,
): Driver<QueueOptions, Message, LeasedRow> {
  const { clock } = store;
  let wire: Wire | undefined;
  const turn = (): Promise<void> => (wire ?? directly).answer();
  const finish = (name: string, { row, fence }: LeasedRow): void => {
    if (row.fence === fence || !isFenced) store.remove(name, row);
  };
  const isOurs = ({ row, fence }: LeasedRow): boolean =>
    row.fence === fence && row.isTaken && row.visibleAt > clock.monotonicNow();

  return {
    names: { maxBytes: 200 },
    ...(address !== undefined && {
      connection: {
        address: `${address.host}:${address.port}`,
        timeoutMs: 1_000,
        async connect() {
          wire = await Wire.connect(address, (reason) => context.connectionLost(reason));
        },
      },
    }),
    topology: storeTopology(store, context, turn),
    publishing: storePublishing(store, turn),
    consuming: {
      kind: 'pull',
      open({ queue: name, wake }): PullSource<LeasedRow> {
        store.queue(name).wake.add(wake);
        return {
          leases: {
            leaseMs,
            async renew(batch) {
              await turn();
              const lost = batch.filter((one) => !isOurs(one));
              for (const one of batch)
                if (!lost.includes(one)) one.row.visibleAt = clock.monotonicNow() + leaseMs;
              return lost;
            },
          },
          async take(max): Promise<Take<LeasedRow>> {
            await turn();
            const queue = store.queue(name);
            queue.wake.add(wake);
            const now = clock.monotonicNow();
            const taken = store
              .ready(name)
              .slice(0, max)
              .map((row) => {
                if (row.isTaken) row.redeliveries += 1;
                row.fence += 1;
                row.isTaken = true;
                row.visibleAt = now + leaseMs;
                const { attempt, redeliveries, fence } = row;
                return { message: copied(row.message), attempt, redeliveries, row, fence };
              });
            return { taken, nextMs: 20 };
          },
          async acknowledge(batch) {
            await turn();
            for (const one of batch) finish(name, one);
            return undefined;
          },
          async retry(taken, { delayMs, attempt, redeliveries }) {
            await turn();
            if (taken.row.fence !== taken.fence) return;
            finish(name, taken);
            store.put(name, taken.row.message, delayMs, attempt, redeliveries);
          },
          async deadLetter(taken, deadLetterQueue, copy) {
            await turn();
            store.put(deadLetterQueue, copied(copy), 0);
            finish(name, taken);
          },
          async release(batch) {
            await turn();
            for (const { row, fence } of batch) {
              if (row.fence !== fence) continue;
              row.isTaken = false;
              row.visibleAt = clock.monotonicNow();
            }
            store.wake(name);
          },
          close() {
            store.queues.get(name)?.wake.delete(wake);
          },
        };
      },
    },
    explain,
    close() {
      // The store lives on: other backends may use it.
      wire?.end();
    },
  };
}
