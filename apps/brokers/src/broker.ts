/** What stopping a broker of ours needs, in another process too: it is kept in the state file. */
export type Handle = Readonly<Record<string, string>>;

/** A broker of our own, running. */
export interface StartedBroker {
  readonly url: string;
  readonly handle: Handle;
}

/** One technology: how to find it, ask it, start it and stop it. */
export interface Broker {
  readonly name: string;
  /** Environment variable with the address to use. */
  readonly variable: string;
  /** Where it listens by default. */
  readonly standardUrl: string;
  /** Service in `compose.yaml`. */
  readonly service: string;
  /** Whether the protocol answers there; an open port alone is not an answer. Never rejects. */
  answers(url: string): Promise<boolean>;
  /** How long one that was started may take to answer, in ms. */
  readonly readyWithinMs: number;
  /** Starts one from its package, installing it if it is missing. Resolves when its process is there, before it answers. */
  start(): Promise<StartedBroker>;
  /** Whether what `start` started is still there, answering or not. */
  isThere(handle: Handle): Promise<boolean>;
  /** Stops what `start` started; resolves when it is gone, also if it was gone already. */
  stop(handle: Handle): Promise<void>;
}

/** A broker that can be used. */
export interface AvailableBroker {
  readonly name: string;
  readonly url: string;
  readonly origin: 'environment' | 'already running' | 'docker compose' | 'package';
  /** Present when `up` started it, now or before: then `down` stops it. */
  readonly handle?: Handle;
}

/** A broker that cannot be used: why, and what to do. */
export interface MissingBroker {
  readonly name: string;
  readonly missing: string;
}

/** What became of one name. */
export type BrokerResult = AvailableBroker | MissingBroker;

/** The address without what must not be printed. */
export function printable(url: string): string {
  // Some brokers are given as `host:port`.
  if (!url.includes('://')) {
    const withScheme = printable(`kafka://${url}`);
    return withScheme.replace('kafka://', '');
  }
  if (!URL.canParse(url)) return '(not an address)';
  const parsed = new URL(url);
  if (parsed.username !== '') parsed.username = '***';
  if (parsed.password !== '') parsed.password = '***';
  // Some clients take credentials in the query.
  parsed.search = '';
  return parsed.href;
}
