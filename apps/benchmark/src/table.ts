import type { Task } from './contestant.ts';

/** The brokers of `apps/brokers` that tables are measured on. */
export type BrokerName = 'rabbitmq' | 'sqs' | 'kafka' | 'redis' | 'postgres';

/** One of those that are compared. */
export interface Contender {
  /** As the report names it. */
  readonly name: string;
  /** File in `contestants`, without its ending. */
  readonly file: string;
  readonly parameters?: Readonly<Record<string, number>>;
  /** Where it differs from the table's. */
  readonly messages?: number;
  readonly inFlight?: number;
  /** Of a table that shows how cost grows: where the point lies, and on which line. */
  readonly point?: { readonly line: string; readonly x: number };
}

/** What Melange is to reach. Ratios are to the first contender, in the same round. */
export interface Goal {
  /** Name of the contender. */
  readonly contender: string;
  readonly figure: 'rate' | 'cpu' | 'requests';
  readonly bound: 'at least' | 'at most';
  readonly value: number;
}

/** What a run needs of the broker, and what is checked when it is over. */
export interface Stage {
  /** Makes and fills what the run works on. */
  before(contender: Contender, task: Task): Promise<void>;
  /** @throws Error when the work was not done, such as messages that were not acknowledged. */
  after(contender: Contender, task: Task): Promise<void>;
  close(): Promise<void>;
}

/** One benchmark. */
export interface Table {
  /** As on the command line. */
  readonly name: string;
  readonly title: string;
  /** What is measured, with which settings; Markdown. */
  readonly about: string;
  readonly broker: BrokerName | undefined;
  readonly messages: number;
  readonly warmUp: number;
  readonly inFlight: number;
  /** The first one is what the others are compared with. */
  readonly contenders: readonly Contender[];
  readonly goals: readonly Goal[];
  /** npm packages whose versions the report names. */
  readonly libraries: readonly string[];
  /** Of a table that shows how cost grows: its axes. Default: a comparison. */
  readonly growth?: { readonly x: string; readonly y: 'rate' | 'cpu' | 'peak' };
  /** Whether HTTP requests are paid for, and shown. */
  readonly countsRequests?: boolean;
  readonly stage?: (address: string) => Promise<Stage>;
}
