import { MemoryBackend } from '@melange/backend-memory';
import {
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';

class Greeting {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const backend = new MemoryBackend();
const json = new JsonSerializer([Greeting]);
const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });

await backend.declareQueue('greetings');
const id = await new QueuePublisher({ backend, serializers }).publish('greetings', new Greeting('world'));

const greeter = new SingleDispatchConsumer('greeter').on(Greeting, ({ name }, { attempt, messageId }) => {
  console.log(`Hello, ${name}! (attempt ${attempt}, the message just published: ${messageId === id})`);
});
await new SimpleMessageDispatcher(greeter, { backend, serializers }).consumeEvent('greetings');
await backend.close();
