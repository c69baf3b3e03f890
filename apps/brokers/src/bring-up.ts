import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Broker, BrokerResult, StartedBroker } from './broker.ts';
import { isInstalled, run, until } from './processes.ts';
import { rabbitMq } from './rabbitmq.ts';
import { redis } from './redis.ts';

/** The brokers that can be had, by name. */
export const brokers: ReadonlyMap<string, Broker> = new Map(
  [rabbitMq, redis].map((broker) => [broker.name, broker]),
);

const root = fileURLToPath(new URL('../../..', import.meta.url));
const stateFile = join(tmpdir(), 'melange-brokers.json');
const composeReadyWithinMs = 120_000;

/** What `up` started and `down` stops, by broker. */
type State = Record<string, { readonly url: string; readonly handle: StartedBroker['handle'] }>;

/** Gives each broker: from its variable, else running, else by compose, else from Debian's package. */
export async function bringUp(
  names: readonly string[],
  options: { readonly log?: (line: string) => void } = {},
): Promise<BrokerResult[]> {
  const results: BrokerResult[] = [];
  for (const name of names) {
    const broker = brokers.get(name);
    results.push(
      broker === undefined
        ? { name, missing: `unknown; known are ${[...brokers.keys()].join(', ')}` }
        : await provide(broker, options.log ?? (() => undefined)),
    );
  }
  return results;
}

/** Where a broker answers now, without starting anything. */
export async function find(broker: Broker): Promise<BrokerResult> {
  const { name, variable, standardUrl } = broker;
  const configured = process.env[variable];
  if (configured !== undefined && configured !== '') {
    if (await broker.answers(configured)) return { name, url: configured, origin: 'environment' };
    return { name, missing: `nothing answers at the address in ${variable}: correct it, or unset it` };
  }
  const started = (await readState())[name];
  if (started !== undefined && (await broker.answers(started.url))) {
    return { name, url: started.url, origin: 'already running', handle: started.handle };
  }
  if (await broker.answers(standardUrl)) return { name, url: standardUrl, origin: 'already running' };
  return { name, missing: `not running: pnpm brokers up ${name}, or set ${variable}` };
}

/** Stops those of the named brokers (default: all) that `up` started; answers their names. */
export async function takeDown(names: readonly string[] = [...brokers.keys()]): Promise<string[]> {
  const state = await readState();
  const stopped: string[] = [];
  for (const name of names) {
    const started = state[name];
    if (started === undefined) continue;
    await stopStarted(name, started.handle);
    stopped.push(name);
    delete state[name];
  }
  await writeState(state);
  return stopped;
}

async function provide(broker: Broker, log: (line: string) => void): Promise<BrokerResult> {
  const { name, variable } = broker;
  const found = await find(broker);
  if ('url' in found || (process.env[variable] ?? '') !== '') return found;
  try {
    const withCompose = await hasDockerEngine();
    log(`${name}: starting (${withCompose ? 'docker compose' : 'package'})`);
    const started = withCompose ? await startByCompose(broker) : await broker.start();
    await writeState({ ...(await readState()), [name]: started });
    return { name, ...started, origin: withCompose ? 'docker compose' : 'package' };
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split('\n')[0];
    return { name, missing: `${reason}. Set ${variable}, or start Docker, or install it yourself` };
  }
}

async function hasDockerEngine(): Promise<boolean> {
  if (!(await isInstalled('docker'))) return false;
  return run('docker', ['info']).then(
    ({ stdout }) => stdout.includes('Server Version'),
    () => false,
  );
}

async function startByCompose(broker: Broker): Promise<StartedBroker> {
  await run('docker', ['compose', 'up', '-d', broker.service], { cwd: root });
  await until(() => broker.answers(broker.standardUrl), composeReadyWithinMs, broker.name);
  return { url: broker.standardUrl, handle: { compose: broker.service } };
}

async function stopStarted(name: string, handle: StartedBroker['handle']): Promise<void> {
  const { compose } = handle;
  if (compose !== undefined) await run('docker', ['compose', 'rm', '-s', '-f', compose], { cwd: root });
  else await brokers.get(name)?.stop(handle);
}

async function readState(): Promise<State> {
  try {
    return JSON.parse(await readFile(stateFile, 'utf8')) as State;
  } catch {
    return {};
  }
}

async function writeState(state: State): Promise<void> {
  if (Object.keys(state).length === 0) await rm(stateFile, { force: true });
  else await writeFile(stateFile, JSON.stringify(state));
}
