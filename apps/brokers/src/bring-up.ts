import type { Broker, BrokerResult, StartedBroker } from './broker.ts';
import { byCompose, hasDockerEngine, isOfCompose } from './compose.ts';
import { exclusively } from './lock.ts';
import { orphans } from './private-record.ts';
import { reasonOf, until } from './processes.ts';
import { untilReady } from './ready.ts';
import { addUser, forget, keep, readState, remember, removeUser } from './state.ts';
import { brokers, whyUnknown } from './table.ts';

/** How to bring brokers up. */
export interface BringUpOptions {
  /** Told what takes long, before it starts. */
  readonly log?: (line: string) => void;
  /**
   * For how long this process wants them: `'down'`, they stay until `takeDown`; `'release'`, until `release`, or the
   * end of this process. What several processes share stops with its last user. Default: `'down'`.
   */
  readonly until?: 'down' | 'release';
}

type Log = (line: string) => void;

const restartsWithinMs = 20_000;

/**
 * Gives each broker: from its environment variable, else the one that runs, else by Docker Compose, else from
 * Debian's package. One that cannot be had does not reject: its result says why, and what to do.
 */
export function bringUp(names: readonly string[], options: BringUpOptions = {}): Promise<BrokerResult[]> {
  const log = options.log ?? (() => undefined);
  return exclusively(async () => {
    const results: BrokerResult[] = [];
    await stopOrphans(log);
    for (const name of names) {
      const broker = brokers.get(name);
      const result: BrokerResult =
        broker === undefined ? { name, missing: whyUnknown(name) ?? 'unknown' } : await provide(broker, log);
      if ('url' in result && result.handle !== undefined) {
        await (options.until === 'release' ? addUser(name) : keep(name));
      }
      results.push(result);
    }
    return results;
  }, log);
}

/** Where a broker answers now, without starting anything. */
export async function find(broker: Broker): Promise<BrokerResult> {
  const { name, variable, standardUrl } = broker;
  const configured = process.env[variable] ?? '';
  if (configured !== '') {
    if (await broker.answers(configured)) return { name, url: configured, origin: 'environment' };
    return { name, missing: `no ${name} answers at the address in ${variable}: correct it, or unset it` };
  }
  const started = (await readState())[name];
  // What this machine runs is not asked where brokers of a run's own are wanted.
  const others = process.env.MELANGE_BROKERS === 'own' ? [] : [standardUrl];
  for (const url of new Set([...(started === undefined ? [] : [started.url]), ...others])) {
    if (!(await broker.answers(url))) continue;
    const found = { name, url, origin: 'already running' } as const;
    return started?.url === url && (await isThere(broker, started))
      ? { ...found, handle: started.handle }
      : found;
  }
  return { name, missing: `not running: start it with \`pnpm brokers up ${name}\`, or set ${variable}` };
}

/**
 * Stops those of the named brokers (default: all) that `bringUp` started, and what killed runs had started for
 * themselves; resolves with what was stopped.
 */
export function takeDown(names: readonly string[] = [...brokers.keys()]): Promise<string[]> {
  return exclusively(async () => {
    const stopped: string[] = [];
    for (const name of names) if (await stopRecorded(name)) stopped.push(name);
    return [...stopped, ...(await stopOrphans(console.error))];
  });
}

/** Says that this process no longer uses them: those that nobody else uses are stopped. Resolves with their names. */
export function release(names: readonly string[]): Promise<string[]> {
  return exclusively(async () => {
    const stopped: string[] = [];
    for (const name of names) if ((await removeUser(name)) && (await stopRecorded(name))) stopped.push(name);
    return stopped;
  });
}

async function stopOrphans(log: Log): Promise<string[]> {
  const stopped: string[] = [];
  for (const { name, handle, forget } of await orphans()) {
    try {
      await brokers.get(name)?.stop(handle);
      stopped.push(`${name} of a run that was killed`);
    } catch (error) {
      log(`${name}: one of a run that was killed does not stop: ${reasonOf(error)}`);
    }
    await forget();
  }
  return stopped;
}

async function stopRecorded(name: string): Promise<boolean> {
  const started = (await readState())[name];
  if (started === undefined) return false;
  const broker = brokers.get(name);
  if (broker !== undefined) await asStarted(broker, started).stop(started.handle);
  await forget(name);
  return true;
}

async function provide(broker: Broker, log: Log): Promise<BrokerResult> {
  const { name, variable } = broker;
  const found = await find(broker);
  // An address that somebody set is never replaced by another broker behind their back.
  if ('url' in found || (process.env[variable] ?? '') !== '') return found;
  const recorded = await recordedOne(broker, log);
  if (recorded !== undefined) return recorded;
  const reasons: string[] = [];
  for (const [origin, way] of await waysToStart(broker)) {
    log(`${name}: starting (${origin})`);
    try {
      const started = await way.start();
      // Before it answers: whoever is interrupted while it waits leaves a broker that `down` knows.
      await remember(name, started);
      await untilReady(way, started);
      return { name, ...started, origin };
    } catch (error) {
      await forget(name);
      reasons.push(`${origin}: ${reasonOf(error)}`);
    }
  }
  const advice = `set ${variable} to a running one, or start a Docker engine, or install ${name} here`;
  return { name, missing: `${reasons.join('; ')}. What to do: ${advice}` };
}

/** What an earlier `up` started, if it answers after a while; if not it is stopped, as the record holds one only. */
async function recordedOne(broker: Broker, log: Log): Promise<BrokerResult | undefined> {
  const { name } = broker;
  const started = (await readState())[name];
  if (started === undefined) return undefined;
  if (await isThere(broker, started)) {
    // Another test run may be restarting it just now.
    log(`${name}: the one that \`up\` started does not answer, waiting for it`);
    const answered = until(() => broker.answers(started.url), restartsWithinMs, 'an answer');
    if (
      await answered.then(
        () => true,
        () => false,
      )
    )
      return find(broker);
  }
  await stopRecorded(name).catch((error) => log(`${name}: an earlier one does not stop: ${reasonOf(error)}`));
  return undefined;
}

/** Ours may be gone, and another one answer in its place. */
function isThere(broker: Broker, started: StartedBroker): Promise<boolean> {
  return asStarted(broker, started).isThere(started.handle);
}

function asStarted(broker: Broker, { handle }: StartedBroker): Broker {
  return isOfCompose(handle) ? byCompose(broker) : broker;
}

type WayToStart = ['docker compose' | 'package', Broker];

async function waysToStart(broker: Broker): Promise<WayToStart[]> {
  const ways: WayToStart[] = [['package', broker]];
  if (await hasDockerEngine()) ways.unshift(['docker compose', byCompose(broker)]);
  return ways;
}
