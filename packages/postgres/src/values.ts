/** A whole number that JavaScript may not hold: then as a bigint. */
export function wideInteger(text: string): number | bigint {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
}

/** The server's time as `now`, in ms since the epoch. */
export const serverTimeSql = `select extract(epoch from clock_timestamp())::float8 * 1000 as now`;
