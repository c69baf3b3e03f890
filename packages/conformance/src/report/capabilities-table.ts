import type { Capabilities } from '@melange/core';
import { aligned } from './table.ts';

/** One row for each capability; one that is forgotten here does not compile. */
const meanings: Readonly<Record<keyof Capabilities, string>> = {
  delayedDelivery: 'delays a publish',
  ordered: 'one subscriber receives in order',
  orderingByKey: 'competing subscribers keep the order of a key',
  brokerSideFilters: 'filters topics at the broker',
  replay: 'reads a queue again from an earlier position',
  browse: 'looks into a queue without taking its messages',
  queuesKeepTopicMessages: 'keeps what came through a topic that is deleted',
  tombstones: 'carries messages without content',
  durable: 'outlives a restart of the broker',
  releaseKeepsAttempt: 'gives a message back without counting an attempt',
  deliveriesOutliveConnections: 'settles a delivery after its connection was lost',
  exactDepth: 'tells exactly how many messages wait',
  fencedSettlements: 'ignores a settlement by a holder that lost the message',
  tellsRedeliveries: 'tells how often a message was handed out before',
  maxMessageBytes: 'largest content',
};

/** What each backend declares, as a Markdown table: one column for each. */
export function capabilitiesTable(backends: Readonly<Record<string, Capabilities>>): string {
  const names = Object.keys(backends);
  const rows = Object.entries(meanings).map(([capability, meaning]) => [
    meaning,
    ...Object.values(backends).map((capabilities) => text(capabilities[capability as keyof Capabilities])),
  ]);
  return aligned([['', ...names], ['', ...names].map(() => '-'), ...rows]).join('\n');
}

function text(value: boolean | number | undefined): string {
  if (typeof value === 'number') return `${value.toLocaleString('en-US')} bytes`;
  if (value === undefined) return 'no fixed limit';
  return value ? 'yes' : 'no';
}
