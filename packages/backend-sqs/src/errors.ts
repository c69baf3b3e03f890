import { BrokerUnavailableError, MelangeError, MessageTooLargeError } from '@melange/core';

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

/** The service's code of an error, the same for both of its protocols; `''` for anything else. */
export function codeOf(error: unknown): string {
  const name = (error as SdkError | undefined)?.name;
  return typeof name === 'string' ? bare(name) : '';
}

/** Whether the same request may succeed later: the connection broke, the service was busy or failed. */
export function isTransient(error: unknown): boolean {
  const { $fault, $metadata } = error as SdkError;
  if (isTransientCode(codeOf(error))) return true;
  // Refused for the time in its signature: the SDK has learnt the service's time from the answer.
  if ($metadata?.clockSkewCorrected === true) return true;
  const status = $metadata?.httpStatusCode;
  // An answer of success that could not be read, such as one that broke off, says nothing of the request.
  if (status !== undefined) return status < 300 || status >= 500 || status === 408 || status === 429;
  // Without an answer nothing was refused; without credentials nothing was sent.
  return $fault === undefined && codeOf(error) !== 'CredentialsProviderError';
}

/** As `isTransient`, of one entry of a batch: some of the sender's faults are only a matter of time. */
export function isTransientEntry(entry: {
  readonly Code?: string | undefined;
  readonly SenderFault?: boolean | undefined;
}): boolean {
  return entry.SenderFault === false || isTransientCode(bare(entry.Code ?? ''));
}

/** Whether SQS says that there is no such queue. */
export function isMissingQueue(error: unknown): boolean {
  return ['QueueDoesNotExist', 'NonExistentQueue'].includes(codeOf(error));
}

/** Whether SQS says that a message is not ours any more: its lease is over, it was deleted, or its queue was. */
export function isLostReceipt(error: unknown): boolean {
  const code = codeOf(error);
  // The code of a receipt that has expired, and of a visibility that would end after the twelve hours.
  if (code === 'InvalidParameterValue') return !reasonOf(error).includes('VisibilityTimeout');
  const codes = ['ReceiptHandleIsInvalid', 'MessageNotInflight', 'InvalidIdFormat'];
  return codes.includes(code) || isMissingQueue(error);
}

/** Whether SNS says that there is no such topic. */
export function isMissingTopic(error: unknown): boolean {
  return codeOf(error) === 'NotFound';
}

/** Whether a message was refused for what it holds: not for its queue, the rights to it, or the moment. */
export function isEntryRefused(error: unknown): boolean {
  const cause = MelangeError.is(error) ? error.cause : error;
  const code = codeOf(cause);
  return /^(InvalidParameter|InvalidAttribute|InvalidMessageContents|MissingParameter|ValidationError)/.test(
    code,
  );
}

/** What users see of an error of the SDK; Melange's own stay as they are. */
export function asMelangeError(error: unknown): MelangeError {
  if (MelangeError.is(error)) return error;
  const reason = reasonOf(error);
  if (codeOf(error) === 'CredentialsProviderError') {
    const text = `AWS credentials cannot be had: ${reason}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or client.credentials.`;
    return new MelangeError('CONFIGURATION', text, { cause: error });
  }
  if (isTransient(error)) {
    return new BrokerUnavailableError(`SQS or SNS cannot be reached: ${reason}`, { cause: error });
  }
  // By the limit of one queue or topic, which may be lower than that of the service.
  if (/must be shorter than|too long/i.test(reason))
    return new MessageTooLargeError(reason, { cause: error });
  return new MelangeError('CONFIGURATION', `AWS refused the request: ${reason}`, { cause: error });
}

/** The SDK's text, or its code where there is none; the several errors of a failed connection are one line. */
export function reasonOf(error: unknown): string {
  const { name = 'Error', code } = error as SdkError;
  const text = error instanceof Error ? error.message : String(error);
  if (text !== '') return name === 'Error' || text.includes(name) ? text : `${name}: ${text}`;
  return typeof code === 'string' ? code : name;
}

/** Wait before a further attempt, in ms: half of it is random, so that failures that came together do not return together. */
export function backoffMs(attempt: number, longestMs = 2_000): number {
  return Math.min(50 * 2 ** (attempt - 1), longestMs) * (0.5 + Math.random() / 2);
}

/** Lets time pass; a process that has nothing else to do does not wait for it. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

function isTransientCode(code: string): boolean {
  return transientCodes.has(code);
}

/** Without what only one of the protocols adds. */
function bare(code: string): string {
  return code
    .replace(/^AWS\.SimpleQueueService\./, '')
    .replace(/^KMS\./, 'KMS')
    .replace(/Exception$/, '');
}
