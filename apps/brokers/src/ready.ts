import type { Broker, StartedBroker } from './broker.ts';
import { until } from './processes.ts';

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
