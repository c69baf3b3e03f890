import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Claim, ClaimToken } from '@melange/core';
import type { ClaimerReply, ClaimerRequest } from './claimer.ts';

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The suite's side of a process that runs `serveClaimer`. */
export class ClaimProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (reply) => this.#settle(reply as ClaimerReply));
    child.once('error', (error) => this.#fail(error));
    child.once('exit', () =>
      this.#fail(new Error('The process of the claimer ended: it must call serveClaimer.')),
    );
  }

  static async open(
    child: ChildProcess,
    settings: { readonly ttlMs: number; readonly clockSkewMs: number },
  ): Promise<ClaimProcess> {
    const opened = new ClaimProcess(child);
    await opened.#ask({ ask: 'open', ...settings });
    return opened;
  }

  /** How many of so many claimers are told that the key is theirs. */
  async race(key: string, claimers: number, leaseMs: number): Promise<number> {
    return (await this.#ask({ ask: 'race', key, claimers, leaseMs })) as number;
  }

  async claim(key: string, leaseMs: number): Promise<Claim> {
    return (await this.#ask({ ask: 'claim', key, leaseMs })) as Claim;
  }

  async extend(token: ClaimToken, leaseMs: number): Promise<boolean> {
    return (await this.#ask({ ask: 'extend', token, leaseMs })) as boolean;
  }

  async confirm(token: ClaimToken): Promise<boolean> {
    return (await this.#ask({ ask: 'confirm', token })) as boolean;
  }

  async release(token: ClaimToken): Promise<void> {
    await this.#ask({ ask: 'release', token });
  }

  /** As a crash does: nothing is closed or given back. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }

  #ask(request: ClaimerRequest): Promise<unknown> {
    this.#requests += 1;
    const number = this.#requests;
    return new Promise((resolve, reject) => {
      this.#waiting.set(number, { resolve, reject });
      this.#child.send({ ...request, number }, (error) => {
        if (error !== null) reject(error);
      });
    });
  }

  #settle({ number, answer, error }: ClaimerReply): void {
    const waiting = this.#waiting.get(number);
    this.#waiting.delete(number);
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(error));
  }

  #fail(error: Error): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
