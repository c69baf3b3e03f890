import {
  type BackendClass,
  type Driver,
  defineBackend,
  type PullSource,
  type Received,
} from '@melange/backend-kit';
import type { Message, QueueOptions } from '@melange/core';
import type { Row } from './queue-store.ts';
import { explain, type SimulatedBroker, simulatedCapabilities } from './simulated-broker.ts';
import { publishingTo, topologyOf } from './topology.ts';

interface LeasedRow extends Received {
  readonly row: Row;
  readonly fence: number;
}

const leaseMs = 10_000;
/** Looks at a queue that is empty, in ms. */
const pollMs = 5_000;

/** A backend whose broker gives messages for a time, as SQS and Redis Streams do. */
export const LeasingBackend: BackendClass<SimulatedBroker, typeof simulatedCapabilities> = defineBackend({
  name: 'leasing',
  capabilities: simulatedCapabilities,
  driver: leasingDriver,
});

function leasingDriver(broker: SimulatedBroker): Driver<QueueOptions, Message, LeasedRow> {
  return {
    names: { maxBytes: 200 },
    topology: topologyOf(broker),
    publishing: publishingTo(broker),
    consuming: {
      kind: 'pull',
      open({ queue, wake }): PullSource<LeasedRow> {
        const stopListening = broker.store.onPut(() => broker.network.process.schedule(wake, 1));
        return { ...leasedSource(broker, queue), close: stopListening };
      },
    },
    explain,
    close: () => undefined,
  };
}

function leasedSource(
  { store, network }: SimulatedBroker,
  queue: string,
): Omit<PullSource<LeasedRow>, 'close'> {
  const { process } = network;
  const now = (): number => process.monotonicNow();
  // A row that was given anew has another fence, and its lease may be over before anybody else has it.
  const isOurs = ({ row, fence }: LeasedRow): boolean =>
    row.fence === fence && row.isTaken && store.rows(queue).includes(row);
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
      network.ask(() => {
        const rows = store.rows(queue).filter(({ visibleAt }) => visibleAt <= now());
        const taken = rows.slice(0, max).map((row) => {
          if (row.isTaken) row.redeliveries += 1;
          const fence = store.take(row, process);
          row.visibleAt = now() + leaseMs;
          const { message, attempt, redeliveries } = row;
          return { message, attempt, redeliveries, row, fence };
        });
        return { nextMs: nextLookMs(store.rows(queue), now()), taken };
      }),
    acknowledge: (batch) =>
      network.ask(() => {
        for (const one of batch) if (isOurs(one)) store.remove(queue, one.row, process);
        return undefined;
      }),
    retry: (taken, { delayMs, attempt, redeliveries }) =>
      network.ask(() => {
        if (!isOurs(taken)) return;
        store.replace(taken.row, queue, taken.message, delayMs, attempt, redeliveries);
        store.remove(queue, taken.row, process);
      }),
    deadLetter: (taken, target, copy) =>
      network.ask(() => {
        if (!isOurs(taken)) return;
        store.replace(taken.row, target, copy, 0, 1, 0);
        store.remove(queue, taken.row, process);
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
  };
}

/** As a broker at which a request waits: it is answered when the next message is due. */
function nextLookMs(rows: readonly Row[], now: number): number {
  let next = pollMs;
  for (const { visibleAt } of rows) if (visibleAt > now) next = Math.min(next, visibleAt - now);
  return Math.max(1, next);
}
