import { MelangeError } from '@melange/core';
import { Cron } from 'croner';

/**
 * The first time of a cron expression after a time, both in ms since the epoch; Infinity where none is left.
 *
 * @throws MelangeError `CONFIGURATION` for an expression or a time zone that is none.
 */
export function nextTime(cron: string, timeZone: string, after: number): number {
  try {
    const next = new Cron(cron, { timezone: timeZone, paused: true }).nextRun(new Date(after))?.getTime();
    // A time that does not go on would be published without end.
    return next !== undefined && next > after ? next : Number.POSITIVE_INFINITY;
  } catch (error) {
    throw new MelangeError('CONFIGURATION', `"${cron}" in the time zone "${timeZone}" is no schedule.`, {
      cause: error,
    });
  }
}
