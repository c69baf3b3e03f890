import type { Assignment } from './assignment.ts';

/** A key or a partition of a queue that stands still, while others may go on. */
export interface Standing {
  readonly kind: 'key' | 'partition';
  readonly detail: string;
  readonly forMs: number;
}

/** The partition that is full and has not moved for longer than `minMs`, else the key that others have waited for as long. */
export function standingOf(
  assignment: Assignment,
  minMs: number,
  maxTrackedOffsets: number,
): Standing | undefined {
  for (const tracker of assignment.trackers.values()) {
    const { topic, partition, prefix, isPaused, size, unmovedMs: forMs } = tracker;
    if (!isPaused || size < maxTrackedOffsets || forMs <= minMs) continue;
    const detail = `partition ${topic}/${partition} stands still for ${seconds(forMs)} s: ${size} offsets wait for offset ${prefix}`;
    return { kind: 'partition', detail, forMs };
  }
  const standing = assignment.standingKey(minMs);
  if (standing === undefined) return undefined;
  const { key, forMs, keys } = standing;
  const others = keys > 1 ? `, ${keys} keys in all` : '';
  return { kind: 'key', detail: `key "${key}" stands still for ${seconds(forMs)} s${others}`, forMs };
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1_000);
}
