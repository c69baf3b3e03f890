import type { MessagingBackend } from '@melange/core';
import type { BackendName } from './arguments.ts';

const looksEveryMs = 250;
const repeatsEveryMs = 10_000;

interface Outage {
  readonly since: Date;
  readonly begun: number;
  saidAt: number;
}

/**
 * Says which broker is away and since when, every ten seconds again, and when it is back.
 *
 * @returns ends the watch.
 */
export function watchOutages(
  backends: ReadonlyMap<BackendName, MessagingBackend>,
  say: (line: string) => void,
): () => void {
  const outages = new Map<BackendName, Outage>();
  const look = async (name: BackendName, backend: MessagingBackend): Promise<void> => {
    const { status, detail = status } = await backend.health();
    const now = performance.now();
    const outage = outages.get(name);
    if (status === 'healthy') {
      if (outage === undefined) return;
      outages.delete(name);
      say(`${name} is back after ${seconds(now - outage.begun)}`);
    } else if (outage === undefined) {
      const since = new Date();
      outages.set(name, { since, begun: now, saidAt: now });
      say(`${name} is away since ${timeOfDay(since)}: ${detail}; the run goes on when it is back`);
    } else if (now - outage.saidAt >= repeatsEveryMs) {
      outage.saidAt = now;
      say(`${name} is away since ${timeOfDay(outage.since)}, for ${seconds(now - outage.begun)} now`);
    }
  };
  const timer = setInterval(() => {
    for (const [name, backend] of backends) void look(name, backend).catch(() => undefined);
  }, looksEveryMs);
  return () => clearInterval(timer);
}

function seconds(milliseconds: number): string {
  return `${Math.round(milliseconds / 1_000)} s`;
}

/** As the clock on the wall has it. */
function timeOfDay(time: Date): string {
  return time.toTimeString().slice(0, 'hh:mm:ss'.length);
}
