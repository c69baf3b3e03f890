import type { Consumer } from '../contract/consumer.ts';
import { MessageDispatcher } from './dispatcher.ts';
import type { MessageDispatcherOptions } from './options.ts';

/** A dispatcher for one consumer. */
export class SimpleMessageDispatcher extends MessageDispatcher {
  constructor(consumer: Consumer, options: MessageDispatcherOptions) {
    super(options);
    this.attachConsumer(consumer);
  }
}
