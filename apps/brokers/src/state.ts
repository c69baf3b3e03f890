import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StartedBroker } from './broker.ts';

/** What `up` started and `down` stops, by the broker's name. */
export type State = Readonly<Record<string, StartedBroker>>;

const stateFile = join(tmpdir(), 'melange-brokers.json');

/** What is recorded as started; nothing, if there is no record. */
export async function readState(): Promise<State> {
  try {
    return JSON.parse(await readFile(stateFile, 'utf8')) as State;
  } catch {
    return {};
  }
}

/** Records a start. */
export async function remember(name: string, { url, handle }: StartedBroker): Promise<void> {
  await writeState({ ...(await readState()), [name]: { url, handle } });
}

/** Forgets a start: the broker is stopped. */
export async function forget(name: string): Promise<void> {
  const { [name]: _forgotten, ...rest } = await readState();
  await writeState(rest);
}

async function writeState(state: State): Promise<void> {
  if (Object.keys(state).length === 0) await rm(stateFile, { force: true });
  else await writeFile(stateFile, `${JSON.stringify(state)}\n`);
}
