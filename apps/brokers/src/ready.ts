import type { Broker, StartedBroker } from './broker.ts';
import { tryAgain, until } from './processes.ts';

/** What to ask a broker that was just started. */
export type Starting = Pick<Broker, 'name' | 'answers' | 'isThere' | 'stop' | 'readyWithinMs'>;

/**
 * Resolves when what was just started answers, and not another one in its place: the port may have been taken
 * meanwhile. Else it is stopped.
 */
export async function untilReady(
  broker: Starting,
  { url, handle }: StartedBroker,
  looksEveryMs?: number,
): Promise<void> {
  const isReady = async (): Promise<boolean> => {
    const answers = await broker.answers(url);
    if (!(await broker.isThere(handle))) throw new Error(`${broker.name} ended as soon as it was started`);
    return answers;
  };
  try {
    await until(isReady, broker.readyWithinMs, `an answer of ${broker.name}`, looksEveryMs);
  } catch (error) {
    await broker.stop(handle).catch(() => undefined);
    throw error;
  }
}

/** On a loaded machine, long enough for several starts. */
const returnsWithinMs = 60_000;

/**
 * Starts a broker again on its data, and once more if it ends or does not answer: one failed start must not take the
 * broker from all tests that follow. Rejects with the last reason after a minute.
 *
 * @param broker whose `stop` ends the process and keeps its data.
 * @param start resolves with the handle of the new process, before it answers.
 */
export function startAgain(
  broker: Starting,
  start: () => Promise<StartedBroker>,
  looksEveryMs?: number,
): Promise<void> {
  return tryAgain(async () => untilReady(broker, await start(), looksEveryMs), returnsWithinMs);
}
