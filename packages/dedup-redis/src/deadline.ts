/** There was no answer in time. */
export class NoAnswer extends Error {}

/** Rejects with `NoAnswer` at `deadline` (of `performance.now()`); what comes later is for who keeps the promise. */
export function before<Value>(deadline: number, promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new NoAnswer('No answer in time')),
      Math.max(0, deadline - performance.now()),
    );
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
