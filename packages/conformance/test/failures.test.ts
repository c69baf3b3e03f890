import { MemoryBackend, memoryCapabilities } from '@melange/backend-memory';
import { MelangeError, type MessagingBackend } from '@melange/core';
import { expect, it } from 'vitest';
import { backendBehaviours, checkBackend } from '../src/backend/check-backend.ts';
import type { BehaviourResult } from '../src/behaviour.ts';
import { type Alter, altered, deliveries } from './support/altered-backends.ts';

function resultsOf(changes: Alter, only?: readonly string[]): Promise<BehaviourResult[]> {
  const make = (): MessagingBackend => {
    const backend: MessagingBackend = new MemoryBackend();
    return altered(backend, changes(backend));
  };
  const bounds = { name: 'mutant', patienceMs: 300, quietMs: 20 };
  const options = { ...bounds, create: () => ({ backend: make() }), capabilities: memoryCapabilities };
  return checkBackend(options, only === undefined ? {} : { only });
}

it('a failure says what the contract wants, and what was published, confirmed, received and settled', async () => {
  const losing = deliveries((one) => ({ retry: async () => one.acknowledge() }));
  const [result] = await resultsOf(losing, ['retry/honours-delay']);
  expect(result?.status).toBe('fail');
  const { message, stack } = (result as { error: Error }).error;
  expect(message).toMatch(/^Waited 300 ms in vain for 1 deliveries/);
  expect(message).toContain('The contract wants: a retried message comes again after its delay');
  expect(message).toMatch(/- queue "[\w-]+": published 1, confirmed 1, received 1, retried 1, unsettled 0/);
  expect(message).toMatch(/\d ms {2}received [\w-]+ from queue "[\w-]+", attempt 1\n/);
  expect(stack).toContain(message);
});

it('says what a settlement failed by, and what was refused', async () => {
  const refusing: Alter = (backend) => ({
    publishToQueue: async () => {
      throw new MelangeError('PUBLISH_FAILED', 'no room');
    },
    close: () => backend.close(),
  });
  const [result] = await resultsOf(refusing, ['publish/batch']);
  const { message } = (result as { error: Error }).error;
  expect(message).toMatch(/: published 100, confirmed 0, refused 100, received 0, unsettled 0/);
  expect(message).toContain('no room');
});

it('stops at the first part that is left to do, and skips the rest by its name', async () => {
  const unfinished: Alter = () => ({
    subscribe: async () => {
      throw new MelangeError('UNSUPPORTED', 'ExampleBackend: subscribe is left to do.');
    },
  });
  const results = await resultsOf(unfinished);
  expect(results).toHaveLength(backendBehaviours.length);
  const failedAt = results.findIndex(({ status }) => status === 'fail');
  expect(results[failedAt]?.group).toBe('topology');
  const later = results.slice(failedAt + 1);
  expect(new Set(later.map((result) => (result.status === 'skip' ? result.reason : result.status)))).toEqual(
    new Set(['ExampleBackend: subscribe is left to do']),
  );
});

it('runs in stages: topology, publish, receive, settle, retry, faults', () => {
  const groups = [...new Set(backendBehaviours.map(({ group }) => group))];
  const stages = ['topology', 'publish', 'subscribe', 'settle', 'retry', 'faults'];
  expect(groups.filter((group) => stages.includes(group))).toEqual(stages);
});
