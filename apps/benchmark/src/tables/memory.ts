import type { Table } from '../table.ts';

export const memory: Table = {
  name: 'memory',
  title: 'In memory: publish, dispatch, acknowledge',
  about:
    'Everything in one process, through the JSON serializer. Melange: `QueuePublisher.publish` of a typed message by single calls, `concurrency: 100`, all else default; the bare call has the same message through `JSON.stringify` and `JSON.parse`.',
  broker: undefined,
  messages: 1_000_000,
  warmUp: 100_000,
  inFlight: 100,
  contenders: [
    { name: 'bare call with JSON', file: 'memory-bare' },
    { name: 'EventEmitter without JSON', file: 'memory-emitter' },
    { name: 'Melange', file: 'memory-melange' },
  ],
  goals: [{ contender: 'Melange', figure: 'rate', bound: 'at least', value: 0.6 }],
  libraries: [],
};
