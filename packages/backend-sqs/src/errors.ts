import type { Fault } from '@melange/backend-kit';
import { MelangeError, MessageTooLargeError } from '@melange/core';

/** Codes that tell of a moment, not of the request: the same request may succeed later. */
const transientCodes: ReadonlySet<string> = new Set([
  'InternalError',
  'InternalFailure',
  'KmsThrottled',
  'KMSThrottling',
  'OverLimit',
  'RequestThrottled',
  'RequestTimeout',
  'ServiceUnavailable',
  'Throttled',
  'Throttling',
  'TooManyRequests',
]);

interface SdkError {
  readonly name?: string;
  readonly code?: unknown;
  readonly $fault?: 'client' | 'server';
  readonly $metadata?: { readonly httpStatusCode?: number; readonly clockSkewCorrected?: boolean };
}

/** What an error of the SDK means. */
export function explain(error: unknown): Fault {
  if (isMissingQueue(error) || isMissingTopic(error)) return { kind: 'missing' };
  const reason = reasonOf(error);
  const refused = (text: string): Fault => ({
    kind: 'refused',
    error: new MelangeError('CONFIGURATION', text, { cause: error }),
  });
  if (codeOf(error) === 'CredentialsProviderError')
    return refused(
      `AWS credentials cannot be had: ${reason}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or client.credentials.`,
    );
  if (isTransient(error)) return { kind: 'unavailable', reason };
  // By the limit of one queue or topic, which may be lower than that of the service.
  if (/must be shorter than|too long/i.test(reason))
    return { kind: 'refused', error: new MessageTooLargeError(reason, { cause: error }) };
  return refused(`AWS refused the request: ${reason}`);
}

/** The service's code of an error, the same for both of its protocols; `''` for anything else. */
export function codeOf(error: unknown): string {
  const name = (error as SdkError | undefined)?.name;
  if (typeof name !== 'string') return '';
  // Without what only one of the protocols adds.
  return name
    .replace(/^AWS\.SimpleQueueService\./, '')
    .replace(/^KMS\./, 'KMS')
    .replace(/Exception$/, '');
}

/** Whether the same request may succeed later: the connection broke, the service was busy or failed. */
export function isTransient(error: unknown): boolean {
  const { $fault, $metadata } = error as SdkError;
  const code = codeOf(error);
  if (transientCodes.has(code)) return true;
  // Refused for the time in its signature: the SDK has learnt the service's time from the answer.
  if ($metadata?.clockSkewCorrected === true) return true;
  const status = $metadata?.httpStatusCode;
  // An answer of success that could not be read, such as one that broke off, says nothing of the request.
  if (status !== undefined) return status < 300 || status >= 500 || status === 408 || status === 429;
  // Without an answer nothing was refused; without credentials nothing was sent.
  return $fault === undefined && code !== 'CredentialsProviderError';
}

/** Whether SQS says that there is no such queue. */
export function isMissingQueue(error: unknown): boolean {
  return ['QueueDoesNotExist', 'NonExistentQueue'].includes(codeOf(error));
}

/** Whether SNS says that there is no such topic. */
export function isMissingTopic(error: unknown): boolean {
  return codeOf(error) === 'NotFound';
}

/** Whether SQS says that a message is not ours any more: its lease is over, it was deleted, or its queue was. */
export function isLostReceipt(error: unknown): boolean {
  const code = codeOf(error);
  // The code of a receipt that has expired, and of a visibility that would end after the twelve hours.
  if (code === 'InvalidParameterValue') return !reasonOf(error).includes('VisibilityTimeout');
  const codes = ['ReceiptHandleIsInvalid', 'MessageNotInflight', 'InvalidIdFormat'];
  return codes.includes(code) || isMissingQueue(error);
}

/** Whether a message was refused for what it holds: not for its queue, the rights to it, or the moment. */
export function isMessageRefused(error: unknown): boolean {
  const cause = MelangeError.is(error) ? error.cause : error;
  return /^(InvalidParameter|InvalidAttribute|InvalidMessageContents|MissingParameter|ValidationError)/.test(
    codeOf(cause),
  );
}

/** The SDK's text, or its code where there is none; the several errors of a failed connection are one line. */
export function reasonOf(error: unknown): string {
  const { name = 'Error', code } = error as SdkError;
  const text = error instanceof Error ? error.message : String(error);
  if (text !== '') return name === 'Error' || text.includes(name) ? text : `${name}: ${text}`;
  return typeof code === 'string' ? code : name;
}
