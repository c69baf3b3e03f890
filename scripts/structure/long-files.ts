/**
 * Files of over 300 lines, and why each stays one. A file that outgrows them wants another idea split off; where there
 * is none, it says here why not.
 */
export const longFiles: Readonly<Record<string, string>> = {
  'packages/backend-kafka/src/consume/membership.ts':
    'joining, leaving, crashing and draining are states of one member',
  'packages/backend-kafka/test/membership.test.ts':
    'one case for each transition of a member, on one scripted group',
  'packages/backend-kit/src/driver.ts':
    'the whole contract of a driver, each guarantee a comment, on one page',
  'packages/backend-kit/src/driver-backend.ts': 'each method of a backend, and when it may ask its driver',
  'packages/backend-kit/test/support/scripted-driver.ts':
    'every call that a driver gets, for tests to answer',
  'packages/backend-memory/test/memory-backend.test.ts': 'one case for each sentence of the README',
  'packages/backend-sqs/test/failures.test.ts': 'one case for each way in which a publish can fail',
  'packages/backend-sqs/test/fifo.test.ts': 'one case for each way in which a group waits or goes back',
  'packages/backend-sqs/test/sqs-message-mapper.test.ts': 'one case for each form on the wire',
  'packages/backend-sqs/test/topology.test.ts': 'one case for each thing that a declaration may meet',
  'packages/conformance/src/simulation/broker/partitioned-intake.ts':
    'the states of one member of a group, which share all fields',
  'packages/conformance/test/support/mutant-backends.ts': 'one entry for each defect',
  'packages/core/test/parking.test.ts': 'one case for each way in which a key stands still',
  'packages/dedup-redis/test/outages.test.ts': 'one case for each way in which Redis can be away',
  'packages/serializer-json/test/message-types.test.ts': 'the same cases for each schema library',
  'packages/serializer-protobuf/test/protobuf-serializer.test.ts': 'one case for each form of a field',
};
