import { type Health, severity } from '../contract/health.ts';
import type { LoopHealth } from './options.ts';

/** A key that stands still for so many ms is reported by `health()`. */
const standsStillAfterMs = 30_000;

/** `degraded`, never `unhealthy`: other keys go on, and restarting the process would not help. */
export function standstill({ queue, standing }: LoopHealth): Health {
  if (standing === undefined || standing.forMs < standsStillAfterMs) return { status: 'healthy' };
  const { key, forMs, keys, parked } = standing;
  const others = keys > 1 ? `, ${keys} keys in all` : '';
  const seconds = Math.round(forMs / 1_000);
  return {
    status: 'degraded',
    detail: `queue "${queue}": key "${key}" stands still for ${seconds} s${others}, ${parked} messages are parked`,
  };
}

/** The health with the worst status; of several the first. */
export function worstOf(parts: readonly Health[]): Health {
  return parts.reduce((left, right) => (severity[right.status] > severity[left.status] ? right : left));
}
