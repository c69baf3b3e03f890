import type { Consumer } from './consumer.ts';
import { MessageDispatcher } from './message-dispatcher.ts';
import type { MessageDispatcherOptions } from './message-dispatcher-options.ts';

/** A dispatcher for one consumer. */
export class SimpleMessageDispatcher extends MessageDispatcher {
  constructor(consumer: Consumer, options: MessageDispatcherOptions) {
    super(options);
    this.attachConsumer(consumer);
  }
}
