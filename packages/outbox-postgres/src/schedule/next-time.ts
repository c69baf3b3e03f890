import { MelangeError } from '@melange/core';
import { Cron } from 'croner';

/**
 * The first time of a cron expression after a time, both in ms since the epoch.
 *
 * @throws MelangeError `CONFIGURATION` for an expression or a time zone that is none, and where no time is left.
 */
export function nextTime(cron: string, timeZone: string, after: number): number {
  let next: number | undefined;
  try {
    next = new Cron(cron, { timezone: timeZone, paused: true }).nextRun(new Date(after))?.getTime();
  } catch (error) {
    throw new MelangeError('CONFIGURATION', `"${cron}" in the time zone "${timeZone}" is no schedule.`, {
      cause: error,
    });
  }
  // A time that does not go on would be published without end.
  if (next !== undefined && next > after) return next;
  throw new MelangeError(
    'CONFIGURATION',
    `"${cron}" in the time zone "${timeZone}" has no time after ${new Date(after).toISOString()}.`,
  );
}
