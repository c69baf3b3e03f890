/** The queue that the simulated service consumes. */
export const queue = 'orders';
/** Its dead-letter queue. */
export const deadLetterQueue = 'orders-dead';
/** The queue of another service, which handlers publish to; nobody consumes it. */
export const otherQueue = 'audit';
/** What is published here goes to the queue of the service and to that of the other one. */
export const topic = 'events';
