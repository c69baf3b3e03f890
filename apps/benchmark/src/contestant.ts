/** What a contestant is to do, the same for every contestant of a table. */
export interface Task {
  /** Address of the broker; empty where there is none. */
  readonly address: string;
  /** Queue, topic or prefix of this run, which nobody else uses. */
  readonly queue: string;
  /** Messages handled before the measured window begins. */
  readonly warmUp: number;
  /** Messages of the measured window. */
  readonly messages: number;
  /** Messages under way at the same time. */
  readonly inFlight: number;
  /** What varies within a table, such as the time that a handler takes. */
  readonly parameters: Readonly<Record<string, number>>;
}

/** Marks the measured window. */
export interface Meter {
  /** Begins the window; what was warm-up is over. */
  begin(): void;
  /** Ends the window. */
  end(): void;
  /** One message was handled: begins the window after the warm-up, and ends it after the last message. */
  handled(): void;
  /** Resolves when the window has ended. */
  readonly ended: Promise<void>;
  /** Adds a figure of the contestant's own, such as bytes allocated per message. */
  report(name: string, value: number): void;
}

/** Does the work of one run, from its connection to its close. Default export of every file in `contestants`. */
export type Contestant = (task: Task, meter: Meter) => Promise<void>;

/** What a run measured. */
export interface Measurement {
  /** Length of the window. */
  readonly milliseconds: number;
  /** Time that the client's process spent on processors within the window, user and system. */
  readonly cpuMilliseconds: number;
  /** Most memory that the process ever held (resident set). */
  readonly peakBytes: number;
  /** HTTP requests that began within the window. */
  readonly requests: number;
  /** The contestant's own figures. */
  readonly figures: Readonly<Record<string, number>>;
}
