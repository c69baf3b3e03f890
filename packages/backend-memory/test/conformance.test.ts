import { describeBackend } from '@melange/conformance';
import { MemoryBackend, memoryCapabilities } from '../src/index.ts';

describeBackend({
  name: 'memory',
  create: () => ({ backend: new MemoryBackend() }),
  capabilities: memoryCapabilities,
  // Nothing is far away: what happens at all happens soon.
  patienceMs: 5_000,
  quietMs: 50,
});
