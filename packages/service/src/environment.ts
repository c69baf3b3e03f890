import type {
  Clock,
  ConsumeOptions,
  DeduplicationCache,
  Logger,
  MessageDispatcherOptions,
  MessagingBackend,
} from '@melange/core';
import type { Wait } from './batch/batcher.ts';
import type { FlowEnvironment } from './flow/flow-control.ts';

/** What a definition is run on: the declared backends, or those of a test. */
export interface Environment {
  readonly backends: Readonly<Record<string, MessagingBackend>>;
  readonly cache: DeduplicationCache | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  /** What flow control is given besides. */
  readonly flow?: Pick<FlowEnvironment, 'limiter' | 'onHeld'>;
  /** How batches wait for more messages. Default: the machine's time. */
  readonly wait?: Wait;
  /** What every dispatcher is given besides. */
  readonly dispatcherOptions?: Partial<MessageDispatcherOptions>;
  /** What accompanies every consumption. */
  readonly consumeOptions?: Pick<ConsumeOptions, 'onException' | 'afterConsume'>;
  /** How long running handlers are waited for, in ms. */
  readonly deadlineMs: number;
  /** Whether backends and cache are closed with it. */
  readonly closesResources: boolean;
}
