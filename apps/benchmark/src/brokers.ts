import { bringUp, release } from '@melange/brokers';
import type { BrokerName } from './table.ts';

/** A broker that can neither be found nor started. */
export class MissingBrokerError extends Error {
  override readonly name = 'MissingBrokerError';
}

/** Where a broker is. */
export interface BrokerAddress {
  readonly address: string;
  /** Started from its package by `apps/brokers`, whose version it then has. */
  readonly isOurs: boolean;
}

/** The brokers that were asked for, each brought up when it is first needed. */
export class Brokers {
  readonly #log: (line: string) => void;
  readonly #addresses = new Map<BrokerName, BrokerAddress>();
  readonly #used: string[] = [];

  constructor(log: (line: string) => void) {
    this.#log = log;
  }

  /** @throws MissingBrokerError */
  async find(name: BrokerName): Promise<BrokerAddress> {
    const known = this.#addresses.get(name);
    if (known !== undefined) return known;
    const [result] = await bringUp([name], { log: this.#log, until: 'release' });
    if (result === undefined || 'missing' in result)
      throw new MissingBrokerError(`${name} cannot be had: ${result?.missing ?? 'unknown'}`);
    if (result.handle !== undefined) this.#used.push(name);
    const isOurs = result.handle !== undefined && result.handle.compose === undefined;
    const found = { address: result.url, isOurs };
    this.#addresses.set(name, found);
    return found;
  }

  async release(): Promise<void> {
    if (this.#used.length > 0) await release(this.#used);
  }
}
