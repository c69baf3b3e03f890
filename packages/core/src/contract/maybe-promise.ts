/** A value, or the promise of one: what is at hand costs no turn of the event loop. */
export type MaybePromise<T> = T | Promise<T>;

/** Whether it has to be waited for; also a promise of another realm, or a library's own. */
export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  // Text, which most values are, is told by its type alone.
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
