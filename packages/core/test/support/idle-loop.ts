import { MemoryBackend } from '@melange/backend-memory';
import { MessageDispatcher } from '@melange/core';
import { serializers } from './text-serializer.ts';

const backend = new MemoryBackend();
await backend.declareQueue('orders');
const stop = new AbortController();
// Fires only in a process that something else keeps alive.
setTimeout(() => stop.abort(), 200).unref();
await new MessageDispatcher({ backend, serializers }).consumeLoop('orders', { signal: stop.signal });
console.log('stopped');
