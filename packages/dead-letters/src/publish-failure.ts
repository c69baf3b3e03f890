import { MelangeError, type PublishError } from '@melange/core';

/** Why one message was not published. */
export function reasonOf(error: unknown): unknown {
  return MelangeError.is(error, 'PUBLISH_FAILED')
    ? ((error as PublishError).failures[0]?.error ?? error)
    : error;
}

/** Whether the broker surely did not take the message. */
export function isRefused(error: unknown): boolean {
  const reason = reasonOf(error);
  return (
    MelangeError.is(reason) &&
    !['BROKER_UNAVAILABLE', 'PUBLISH_TIMEOUT', 'CLOSED', 'PUBLISH_FAILED'].includes(reason.code)
  );
}
