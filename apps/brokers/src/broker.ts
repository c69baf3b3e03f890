/** A broker of our own, running. */
export interface StartedBroker {
  readonly url: string;
  /** What `stop` needs in another process, kept in the state file. */
  readonly handle: Readonly<Record<string, string>>;
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
  /** Whether the protocol answers there; an open port alone is not an answer. */
  answers(url: string): Promise<boolean>;
  /** Starts one from Debian's package, installing it if it is missing. Resolves when it answers. */
  start(): Promise<StartedBroker>;
  /** Stops what `start` started. */
  stop(handle: StartedBroker['handle']): Promise<void>;
}

/** A broker that can be used, or why it cannot. */
export type BrokerResult =
  | {
      readonly name: string;
      readonly url: string;
      readonly origin: 'environment' | 'already running' | 'docker compose' | 'package';
      readonly handle?: StartedBroker['handle'];
    }
  | { readonly name: string; readonly missing: string };

/** The address without what must not be printed. */
export function printable(url: string): string {
  const parsed = new URL(url);
  if (parsed.username !== '') parsed.username = '***';
  if (parsed.password !== '') parsed.password = '***';
  return parsed.href;
}
