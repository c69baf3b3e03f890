import { rabbitMqStage } from '../stages/rabbitmq.ts';
import type { Contender, Table } from '../table.ts';

const common = { warmUp: 2_000, inFlight: 100, goals: [] } as const;

const dispatcherAlone = {
  ...common,
  broker: undefined,
  messages: 200_000,
  warmUp: 50_000,
  libraries: [],
} as const;

/** A line of points, each measured as a contender of its own. */
function line(
  name: string,
  file: string,
  values: readonly number[],
  at: (x: number) => Pick<Contender, 'parameters' | 'messages' | 'inFlight'>,
): Contender[] {
  return values.map((x) => ({
    name: `${name}, ${x.toLocaleString('en-US')}`,
    file,
    point: { line: name, x },
    ...at(x),
  }));
}

const types: Table = {
  ...dispatcherAlone,
  name: 'growth-types',
  title: 'How cost grows: types of messages',
  about: 'The dispatcher alone, one consumer with a handler for each type, messages of all types in turn.',
  growth: { x: 'types of messages', y: 'cpu' },
  contenders: line('Melange', 'dispatcher-melange', [1, 10, 100, 1_000], (types) => ({
    parameters: { types },
  })),
};

const consumers: Table = {
  ...dispatcherAlone,
  name: 'growth-consumers',
  title: 'How cost grows: consumers',
  about:
    'The dispatcher alone, each consumer with a handler for a type of its own, messages of all types in turn.',
  growth: { x: 'consumers', y: 'cpu' },
  contenders: line('Melange', 'dispatcher-melange', [1, 10, 30, 100], (consumers) => ({
    parameters: { consumers, types: consumers },
  })),
};

const rabbitMq = { ...common, broker: 'rabbitmq', libraries: ['amqplib'] } as const;

const depths = [1, 1_000, 100_000, 1_000_000];
const takenOfDepth = 10_000;

const depth: Table = {
  ...rabbitMq,
  name: 'growth-depth',
  title: 'How cost grows: depth of the queue',
  about: `RabbitMQ, \`concurrency: 100\`: ${takenOfDepth.toLocaleString('en-US')} messages are consumed, with so many more waiting behind them.`,
  messages: takenOfDepth,
  growth: { x: 'messages in the queue', y: 'peak' },
  contenders: line('Melange', 'rabbitmq-consume-melange', depths, () => ({})),
  stage: (address) => rabbitMqStage(address, { depth: ({ point }, taken) => taken + (point?.x ?? 0) }),
};

const both = (
  values: readonly number[],
  at: (x: number) => Pick<Contender, 'parameters' | 'messages' | 'inFlight'>,
): Contender[] => [
  ...line('amqplib', 'rabbitmq-consume-naive', values, at),
  ...line('Melange', 'rabbitmq-consume-melange', values, at),
];

const payload: Table = {
  ...rabbitMq,
  name: 'growth-payload',
  title: 'How cost grows: payload',
  about: 'RabbitMQ, `concurrency: 100`: consuming messages whose JSON has so many bytes.',
  messages: 10_000,
  growth: { x: 'bytes of JSON', y: 'cpu' },
  contenders: both([200, 2_000, 20_000, 200_000, 1_048_576], (bytes) => ({
    parameters: { noteBytes: Math.max(0, bytes - 200) },
    messages: Math.min(50_000, Math.round(200_000_000 / bytes)),
  })),
  stage: (address) => rabbitMqStage(address),
};

const concurrency: Table = {
  ...rabbitMq,
  name: 'growth-concurrency',
  title: 'How cost grows: concurrency',
  about: 'RabbitMQ, a handler of 1 ms: messages per second with so many in flight.',
  messages: 10_000,
  growth: { x: 'messages in flight', y: 'rate' },
  contenders: both([1, 10, 100, 1_000], (inFlight) => ({
    inFlight,
    messages: Math.min(20_000, inFlight * 1_000),
    parameters: { handlerMs: 1 },
  })),
  stage: (address) => rabbitMqStage(address),
};

const handlerTime: Table = {
  ...rabbitMq,
  name: 'growth-handler-time',
  title: 'How cost grows: time of the handler',
  about: 'RabbitMQ, `concurrency: 100`: messages per second with handlers that wait for so long.',
  messages: 10_000,
  growth: { x: 'ms that the handler takes', y: 'rate' },
  contenders: both([0, 1, 10, 100], (handlerMs) => ({
    messages: Math.min(20_000, Math.round(200_000 / (handlerMs + 1))),
    parameters: { handlerMs },
  })),
  stage: (address) => rabbitMqStage(address),
};

/** How the cost of a message grows with what surrounds it. */
export const growthTables: readonly Table[] = [types, consumers, depth, payload, concurrency, handlerTime];
