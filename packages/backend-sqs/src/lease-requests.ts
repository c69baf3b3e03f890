import { ChangeMessageVisibilityBatchCommand, DeleteMessageBatchCommand } from '@aws-sdk/client-sqs';
import { BrokerUnavailableError } from '@melange/core';
import type { AwsClients } from './aws-clients.ts';
import { Batcher, type BatcherSettings, type EntryFailure } from './batcher.ts';
import type { LeaseRequests, VisibilityChange } from './lease.ts';
import { isMissingQueue, isTransient, isTransientEntry, reasonOf } from './sqs-errors.ts';

interface FailedEntry {
  readonly Id?: string | undefined;
  readonly Code?: string | undefined;
  readonly Message?: string | undefined;
  readonly SenderFault?: boolean | undefined;
}

/** Batches the deletes and the changes of visibility of one queue. */
export function leaseRequestsOf(
  url: string,
  clients: AwsClients,
  settings: {
    readonly acknowledgeLingerMs: number;
    readonly visibilityTimeoutSeconds: number;
    /** Told what keeps failing, in words and facts. */
    readonly warn: (message: string, reason: string) => void;
  },
): LeaseRequests {
  const { sqs, requestTimeoutMs } = clients;
  const common = {
    isTransient,
    isEntryAtFault: (error: unknown) => !isMissingQueue(error),
    timeoutError: (timeoutMs: number, lastError: unknown) => {
      const why = lastError === undefined ? '' : `: ${reasonOf(lastError)}`;
      return new BrokerUnavailableError(`SQS did not answer within ${Math.round(timeoutMs)} ms${why}`);
    },
    // The handles are long, yet ten of them are far from the limit.
    sizeOf: () => 0,
    maxBytes: Number.POSITIVE_INFINITY,
    requestTimeoutMs,
    maxRequests: 16,
  } satisfies Partial<BatcherSettings<never>>;
  const deletes = new Batcher<string>({
    ...common,
    lingerMs: settings.acknowledgeLingerMs,
    async send(handles, abortSignal) {
      const Entries = handles.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
      const command = new DeleteMessageBatchCommand({ QueueUrl: url, Entries });
      return failuresOf((await sqs.send(clients.abortable(command, abortSignal))).Failed);
    },
  });
  const visibilities = new Batcher<VisibilityChange>({
    ...common,
    lingerMs: 1,
    async send(changes, abortSignal) {
      const Entries = changes.map(({ receiptHandle, seconds }, index) => ({
        Id: String(index),
        ReceiptHandle: receiptHandle,
        VisibilityTimeout: seconds,
      }));
      const command = new ChangeMessageVisibilityBatchCommand({ QueueUrl: url, Entries });
      return failuresOf((await sqs.send(clients.abortable(command, abortSignal))).Failed);
    },
  });
  const { visibilityTimeoutSeconds, warn } = settings;
  return { deletes, visibilities, visibilityTimeoutSeconds, warn };
}

function failuresOf(failed: readonly FailedEntry[] = []): EntryFailure[] {
  return failed.map((entry) => ({
    index: Number(entry.Id),
    error: Object.assign(new Error(entry.Message ?? 'no further reason'), { name: entry.Code ?? 'Error' }),
    isTransient: isTransientEntry(entry),
  }));
}
