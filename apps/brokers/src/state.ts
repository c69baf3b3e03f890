import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import type { StartedBroker } from './broker.ts';
import { ownFile } from './own-file.ts';
import { isAlive } from './processes.ts';

/** A broker that `up` or a test run started, and who uses it. */
export interface RecordedBroker extends StartedBroker {
  /** Processes that use it until they end, or say that they do no longer. */
  readonly users: readonly number[];
  /** `pnpm brokers up` asked for it: it stays when its last user has gone. */
  readonly stays: boolean;
}

/** What `up` started and `down` stops, by the broker's name. */
export type State = Readonly<Record<string, RecordedBroker>>;

const stateFile = ownFile('json');

/** What is recorded as started; nothing, if there is no record. */
export async function readState(): Promise<State> {
  try {
    const state = JSON.parse(await readFile(stateFile, 'utf8')) as Record<string, Partial<RecordedBroker>>;
    return Object.fromEntries(
      Object.entries(state).map(([name, one]) => [
        name,
        { users: [], stays: true, ...one } as RecordedBroker,
      ]),
    );
  } catch {
    return {};
  }
}

/** Records a start. The caller holds the lock, as for every change of the record. */
export async function remember(name: string, { url, handle }: StartedBroker): Promise<void> {
  await change((state) => ({ ...state, [name]: { url, handle, users: [], stays: false } }));
}

/** Forgets a start: the broker is stopped. */
export async function forget(name: string): Promise<void> {
  await change(({ [name]: _forgotten, ...rest }) => rest);
}

/** Records that the broker stays until somebody takes it down. */
export async function keep(name: string): Promise<void> {
  await changeOne(name, (broker) => ({ ...broker, stays: true }));
}

/** Records this process as a user. */
export async function addUser(name: string): Promise<void> {
  await changeOne(name, (broker) => ({ ...broker, users: [...othersOf(broker), process.pid] }));
}

/** Takes this process out of the users. True if nobody uses the broker any more, and nobody asked that it stay. */
export async function removeUser(name: string): Promise<boolean> {
  let isLast = false;
  await changeOne(name, (broker) => {
    const users = othersOf(broker);
    isLast = users.length === 0 && !broker.stays;
    return { ...broker, users };
  });
  return isLast;
}

/** A run that was killed never said that it had ended. */
function othersOf({ users }: RecordedBroker): number[] {
  return users.filter((pid) => pid !== process.pid && isAlive(pid));
}

function changeOne(name: string, alter: (broker: RecordedBroker) => RecordedBroker): Promise<void> {
  return change((state) => {
    const broker = state[name];
    return broker === undefined ? state : { ...state, [name]: alter(broker) };
  });
}

async function change(alter: (state: State) => State): Promise<void> {
  const state = alter(await readState());
  if (Object.keys(state).length === 0) {
    await rm(stateFile, { force: true });
    return;
  }
  // Who only reads takes no lock: it finds the old record or the new one, never half of it.
  const next = `${stateFile}.${process.pid}`;
  await writeFile(next, `${JSON.stringify(state)}\n`);
  await rename(next, stateFile);
}
