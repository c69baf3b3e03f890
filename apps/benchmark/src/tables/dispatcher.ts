import type { Table } from '../table.ts';

export const dispatcher: Table = {
  name: 'dispatcher',
  title: 'One message through the dispatcher',
  about:
    'A backend that delivers at once and takes every acknowledgement: what is measured is `MessageDispatcher`, `JsonSerializer` and a typed handler, at `concurrency: 100`, alone and with `MemoryDeduplicationCache` and three middlewares. The bare call parses the same JSON. Bytes are those allocated per message.',
  broker: undefined,
  messages: 500_000,
  warmUp: 100_000,
  inFlight: 100,
  contenders: [
    { name: 'bare call with JSON.parse', file: 'dispatcher-bare' },
    { name: 'typed handler', file: 'dispatcher-melange' },
    { name: 'and memory cache', file: 'dispatcher-melange', parameters: { cache: 1 } },
    {
      name: 'and memory cache and three middlewares',
      file: 'dispatcher-melange',
      parameters: { cache: 1, middlewares: 3 },
    },
  ],
  goals: [],
  libraries: [],
};
