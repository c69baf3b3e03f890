/** A value or a promise of it. A value without a promise saves the caller an await. */
export type MaybePromise<T> = T | Promise<T>;

/** Whether it has to be awaited; true for any object with a `then` method. */
export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  // The type is checked first: most values are strings.
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
