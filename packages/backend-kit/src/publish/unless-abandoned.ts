import { MelangeError } from '@melange/core';

/** The answer, or a rejection when nobody waits for it any more: a driver that never answers must not stop the destination. */
export function unlessAbandoned<Answer>(answer: Promise<Answer>, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const abandon = (): void =>
      reject(new MelangeError('PUBLISH_TIMEOUT', 'Nobody waits for the answer any more.'));
    if (signal.aborted) abandon();
    signal.addEventListener('abort', abandon);
    answer.then(resolve, reject).finally(() => signal.removeEventListener('abort', abandon));
  });
}
