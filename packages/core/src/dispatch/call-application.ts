import type { Logger } from '../contract/logger.ts';
import { isPromise } from '../contract/maybe-promise.ts';

/** Calls a callback of the application. What it throws, or its promise rejects with, is logged and changes nothing. */
export function callApplication(logger: Logger, callback: (() => unknown) | undefined): void {
  const failed = (error: unknown): void => logger.error('a callback of the application threw', { error });
  try {
    const result = callback?.();
    if (isPromise(result)) result.then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}
