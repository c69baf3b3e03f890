import { ChangeMessageVisibilityBatchCommand, DeleteMessageBatchCommand } from '@aws-sdk/client-sqs';
import type { Troubles } from '@melange/backend-kit';
import { BrokerUnavailableError } from '@melange/core';
import { Batcher, type BatcherSettings, type EntryFailure } from '../client/batcher.ts';
import type { AwsClients } from '../client/clients.ts';
import { isMissingQueue, isTransient, isTransientEntry, reasonOf } from '../errors.ts';
import type { LeaseRequests, VisibilityChange } from './lease.ts';

interface FailedEntry {
  readonly Id?: string | undefined;
  readonly Code?: string | undefined;
  readonly Message?: string | undefined;
  readonly SenderFault?: boolean | undefined;
}

/** What is in trouble when messages of a queue can be neither deleted, kept nor given back. */
export function settlingOf(queue: string): string {
  return `settling messages of queue "${queue}"`;
}

/** Batches the deletes and the changes of visibility of one queue. */
export function leaseRequestsOf(
  url: string,
  clients: AwsClients,
  settings: {
    readonly queue: string;
    readonly troubles: Troubles;
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
  const { queue, troubles } = settings;
  /** Runs a request for so many messages. */
  const watched = async (
    count: number,
    send: () => Promise<{ readonly Failed?: readonly FailedEntry[] | undefined }>,
  ): Promise<EntryFailure[]> => {
    let failures: EntryFailure[];
    try {
      failures = failuresOf((await send()).Failed);
    } catch (error) {
      // Of a queue that is gone nothing is left to settle.
      if (!isMissingQueue(error)) troubles.begin(settlingOf(queue), reasonOf(error));
      throw error;
    }
    const transient = failures.find(({ isTransient }) => isTransient);
    if (failures.length < count) troubles.end(settlingOf(queue));
    else if (transient !== undefined) troubles.begin(settlingOf(queue), reasonOf(transient.error));
    return failures;
  };
  const deletes = new Batcher<string>({
    ...common,
    lingerMs: settings.acknowledgeLingerMs,
    async send(handles, abortSignal) {
      const Entries = handles.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
      const command = new DeleteMessageBatchCommand({ QueueUrl: url, Entries });
      return watched(handles.length, () => sqs.send(clients.abortable(command, abortSignal)));
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
      return watched(changes.length, () => sqs.send(clients.abortable(command, abortSignal)));
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
