import { AsyncLocalStorage } from 'node:async_hooks';
import type { HandlerContext, ServiceBatchContext } from '@melange/service';

/** What a handler is given besides the message or messages. */
export type HandlingContext = HandlerContext | ServiceBatchContext;

/** The context of the handler that this code runs for, however deep below it. */
export const handling: AsyncLocalStorage<HandlingContext> = new AsyncLocalStorage();
