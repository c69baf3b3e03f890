import type { Consumer } from './consumer.ts';
import { MessageDispatcher, type MessageDispatcherOptions } from './message-dispatcher.ts';

/** A dispatcher for one consumer. */
export class SimpleMessageDispatcher extends MessageDispatcher {
  constructor(consumer: Consumer, options: MessageDispatcherOptions) {
    super(options);
    this.attachConsumer(consumer);
  }
}
