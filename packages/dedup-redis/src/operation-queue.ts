import { MelangeError } from '@melange/core';
import { before, NoAnswer } from './deadline.ts';
import { type Operation, runScript } from './deduplication-script.ts';
import { OrphanedClaims } from './orphaned-claims.ts';
import { type RedisConnection, textOf } from './redis-connection.ts';

interface Pending extends Operation {
  readonly resolve: (answer: string) => void;
  readonly reject: (error: MelangeError) => void;
}

/** Told how operations come out, one by one. */
export interface OutcomeObserver {
  onAnswer(operation: Operation, answer: string): void;
  /** `reason` is free of credentials. */
  onFailure(operation: Operation | undefined, reason: string): void;
}

/**
 * Redis works on one script while the answers of the one before are handled here: 100 claims at once take a third less
 * time in two scripts than in one. No script keeps Redis from others for long either: some 150 microseconds.
 */
const maxBatchOperations = 50;

/** A moment for ioredis to notice that its connection went, before the operations are sent again. */
const resendAfterMs = 10;

/** Sends the operations of one turn of the event loop together, and settles each within the timeout. */
export class OperationQueue {
  readonly #connection: RedisConnection;
  readonly #timeoutMs: number;
  readonly #observer: OutcomeObserver;
  readonly #underWay = new Set<Promise<void>>();
  readonly #orphans = new OrphanedClaims();
  #pending: Pending[] = [];

  constructor(connection: RedisConnection, timeoutMs: number, observer: OutcomeObserver) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
    this.#observer = observer;
    connection.onEveryReady(() => this.#releaseOrphans());
  }

  /**
   * Resolves with Redis's answer.
   *
   * @throws MelangeError `CACHE_UNAVAILABLE` when there is none within the timeout, or it is an error.
   */
  run(operation: Operation): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#pending.length === 0) setImmediate(() => this.#flush());
      this.#pending.push({ ...operation, resolve, reject });
    });
  }

  /** The fence of an earlier claim of the key that nobody got an answer to: claiming with it again takes it over. */
  orphanedFence(key: string): string | undefined {
    return this.#orphans.take(key);
  }

  /** Resolves when everything that was asked for is settled: within the timeout. */
  async drain(): Promise<void> {
    while (this.#pending.length > 0 || this.#underWay.size > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.all(this.#underWay);
    }
  }

  #flush(): void {
    const all = this.#pending;
    this.#pending = [];
    // The keys of a script must be in one slot of a cluster: there each goes alone, and shares only the pipeline.
    const size = this.#connection.isCluster ? 1 : maxBatchOperations;
    for (let start = 0; start < all.length; start += size) {
      const sending = this.#send(all.slice(start, start + size));
      this.#underWay.add(sending);
      void sending.finally(() => this.#underWay.delete(sending));
    }
  }

  /** Never rejects. */
  async #send(batch: readonly Pending[]): Promise<void> {
    try {
      const answers = await this.#answersOf(batch);
      for (const [index, operation] of batch.entries()) this.#settle(operation, answers[index] ?? '');
    } catch (error) {
      const reason = textOf(error);
      this.#observer.onFailure(undefined, reason);
      for (const { reject } of batch) reject(unavailable(reason));
    }
  }

  #settle(operation: Pending, answer: string): void {
    if (!answer.startsWith('error ')) {
      this.#observer.onAnswer(operation, answer);
      operation.resolve(answer);
      return;
    }
    this.#orphan(operation, false);
    const reason = answer.slice('error '.length);
    if (reason.includes('READONLY')) this.#connection.reconnect();
    this.#observer.onFailure(operation, reason);
    operation.reject(unavailable(reason));
  }

  /** Sends again after a lost connection while there is time: an operation repeated with its own fence is harmless. */
  async #answersOf(batch: readonly Pending[]): Promise<string[]> {
    const deadline = performance.now() + this.#timeoutMs;
    let isSent = false;
    try {
      for (;;) {
        await this.#connection.untilReady(deadline);
        const reply = runScript(this.#connection.runner, batch);
        isSent = true;
        try {
          return await before(deadline, reply);
        } catch (error) {
          if (error instanceof NoAnswer) {
            reply.then((answers) => this.#giveBack(batch, answers)).catch(() => undefined);
            throw new Error(`No answer within ${this.#timeoutMs} ms`);
          }
          if (isReply(error) || isOwnFault(error) || performance.now() + resendAfterMs >= deadline)
            throw error;
          await new Promise((resolve) => setTimeout(resolve, resendAfterMs));
        }
      }
    } catch (error) {
      for (const operation of batch) this.#orphan(operation, isSent && !isReply(error));
      throw error;
    }
  }

  #orphan({ name, key, fence, isRepeated = false }: Operation, isUnanswered: boolean): void {
    if (name === 'claim' && (isUnanswered || isRepeated)) this.#orphans.add(key, fence);
  }

  /** A claim granted when nobody waited for it any more would hold up its message for a whole lease. */
  #giveBack(batch: readonly Operation[], answers: readonly string[]): void {
    for (const [index, { name, key, fence }] of batch.entries()) {
      if (name !== 'claim' || !this.#orphans.takeExactly(key, fence)) continue;
      if (answers[index] === 'claimed') this.#release(key, fence);
    }
  }

  /** What was sent on the connection that died was taken before this one, or never. */
  #releaseOrphans(): void {
    for (const [key, fence] of this.#orphans.takeAll()) this.#release(key, fence);
  }

  #release(key: string, fence: string): void {
    // What cannot be released ends with its lease.
    this.run({ name: 'release', key, fence, milliseconds: 0 }).catch(() => undefined);
  }
}

/** Redis understood and refused; anything else is a matter of the connection. */
function isReply(error: unknown): boolean {
  return error instanceof Error && error.name === 'ReplyError';
}

/** A mistake in the program, which sending again cannot mend. */
function isOwnFault(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

function unavailable(reason: string): MelangeError {
  return new MelangeError('CACHE_UNAVAILABLE', `Redis: ${reason.replace(/\.$/, '')}. ${adviceFor(reason)}`);
}

function adviceFor(reason: string): string {
  const known = advice.find(([sign]) => reason.includes(sign));
  return known?.[1] ?? 'Check that Redis runs at the configured address and is not overloaded.';
}

const rights = 'Allow its user EVAL, EVALSHA, HMGET, HSET, HDEL, DEL, PTTL, PEXPIRE and TYPE on these keys.';

const advice: readonly (readonly [string, string])[] = [
  ['OOM', 'It is full: raise its maxmemory, or shorten ttlMs for keys to come.'],
  ['READONLY', 'This is a replica: connect to the primary, through Sentinel or Cluster where it moves.'],
  ['NOREPLICAS', 'It wants more replicas for a write (min-replicas-to-write): bring them back.'],
  ['MISCONF', 'It cannot save to its disk: make room there.'],
  ['WRONGTYPE', 'Something else uses this key: choose another prefix, or remove the key.'],
  ['WRONGPASS', 'Correct the user name and the password.'],
  ['NOAUTH', 'Configure the password.'],
  ['NOPERM', rights],
  // From within a script Redis 7 refuses in other words, and Redis 7.2 and later in others again.
  ['user executing the script', rights],
  ['ACL failure in script', rights],
];
