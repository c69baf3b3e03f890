import { parseArgs } from 'node:util';

/** The brokers that a service can run on. */
export const backendNames = [
  'memory',
  'rabbitmq',
  'sqs',
  'kafka',
  'redis-streams',
  'nats',
  'postgres',
] as const;
export type BackendName = (typeof backendNames)[number];

/** The services. */
export const serviceNames = ['orders', 'payments', 'saga'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** What to run. */
export interface RunOptions {
  readonly backends: Readonly<Record<'orders' | 'payments' | 'saga', BackendName>>;
  readonly orders: number;
  readonly failureRate: number;
  /** One service alone, of which `orders` places the orders; `undefined` runs all of them. */
  readonly service: ServiceName | undefined;
  readonly runId: string | undefined;
  /** Folder of what outlives the process: the ledger of a run that can be resumed, and the data of a Postgres without a server. */
  readonly folder: string;
  /** Whether to go on with the run that the folder has, which was killed. */
  readonly resume: boolean;
  /** The run is given up after so long without progress. */
  readonly patienceSeconds: number;
}

/** A flag that cannot be used: its message is the one line that the user sees. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Where a run keeps what outlives it, in the working directory. */
const defaultFolder = '.order-saga';

/** Part of the names of queues. RabbitMQ keeps `amq.` for itself. */
const runIdForm = /^[\w-]{1,64}$/;

/**
 * @param environment `MELANGE_BACKEND` there is the default of `--backend`.
 * @throws UsageError
 */
export function readArguments(
  parameters: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): RunOptions {
  const values = parse(parameters);
  const general =
    values.backend === undefined
      ? backend('MELANGE_BACKEND', environment.MELANGE_BACKEND || 'memory')
      : backend('--backend', values.backend);
  const backends = {
    orders: backend('--orders-backend', values['orders-backend'] ?? general),
    payments: backend('--payments-backend', values['payments-backend'] ?? general),
    saga: backend('--saga-backend', values['saga-backend'] ?? general),
  };
  const service =
    values.service === undefined ? undefined : choice('--service', values.service, serviceNames);
  if (service !== undefined && Object.values(backends).includes('memory')) {
    throw new UsageError('--service needs a broker that processes share: add --backend rabbitmq');
  }
  if (service !== undefined && values['run-id'] === undefined) {
    throw new UsageError('--service needs --run-id, the same for every service of a run');
  }
  const folder = values.folder ?? defaultFolder;
  const resume = values.resume ?? false;
  if (resume && !Object.values(backends).every((name) => name === 'postgres')) {
    throw new UsageError('--resume needs a ledger that outlives the process: add --backend postgres');
  }
  if (resume && service !== undefined) {
    throw new UsageError('--resume is for a run of all services: leave out --service');
  }
  const runId = values['run-id'];
  if (runId !== undefined && (!runIdForm.test(runId) || runId === 'amq')) {
    throw new UsageError(`--run-id must be up to 64 letters, digits, - and _, not "${runId}"`);
  }
  return {
    backends,
    orders: number(
      '--orders',
      values.orders ?? '100',
      (value) => Number.isInteger(value) && value > 0,
      'a whole number above 0',
    ),
    failureRate: number(
      '--failure-rate',
      values['failure-rate'] ?? '0.1',
      (value) => value >= 0 && value < 1,
      'from 0 to below 1',
    ),
    service,
    runId,
    folder,
    resume,
    patienceSeconds: number(
      '--patience-seconds',
      values['patience-seconds'] ?? '240',
      (value) => value > 0,
      'above 0',
    ),
  };
}

function parse(parameters: readonly string[]) {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      args: [...parameters],
      options: {
        backend: text,
        'orders-backend': text,
        'payments-backend': text,
        'saga-backend': text,
        orders: text,
        'failure-rate': text,
        service: text,
        'run-id': text,
        'patience-seconds': text,
        folder: text,
        resume: { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

function backend(flag: string, value: string): BackendName {
  return choice(flag, value, backendNames);
}

function choice<Choice extends string>(flag: string, value: string, choices: readonly Choice[]): Choice {
  const chosen = choices.find((candidate) => candidate === value);
  if (chosen === undefined)
    throw new UsageError(`${flag} must be one of ${choices.join(', ')}, not "${value}"`);
  return chosen;
}

function number(flag: string, text: string, isValid: (value: number) => boolean, what: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (!isValid(value)) throw new UsageError(`${flag} must be ${what}, not "${text}"`);
  return value;
}
