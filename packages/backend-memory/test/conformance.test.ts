import { describeBackend } from '@melange/conformance';
import { MemoryBackend, memoryCapabilities } from '../src/index.ts';

describeBackend({
  name: 'memory',
  create: () => ({ backend: new MemoryBackend() }),
  capabilities: memoryCapabilities,
  quietMs: 50,
});
