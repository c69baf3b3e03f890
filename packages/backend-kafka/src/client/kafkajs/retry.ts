import type { RetryOptions } from 'kafkajs';

/** How long kafkajs tries by itself. After that we see the error, and have the say. */
export const retry: RetryOptions = { initialRetryTime: 100, maxRetryTime: 1_000, retries: 4 };
