/** Sources that are mutated together, and the tests that must notice. */
export interface Subject {
  readonly name: string;
  /** Sources, from the root of the repository. */
  readonly sources: readonly string[];
  /** Test files, as globs. None of them needs a broker. */
  readonly tests: readonly string[];
}

const coreTests = ['packages/core/test/**/*.test.ts'];

function of(folder: string, ...names: string[]): string[] {
  return names.map((name) => `packages/${folder}/src/${name}.ts`);
}

function core(...names: string[]): string[] {
  return of('core', ...names);
}

function testsOf(folder: string, ...names: string[]): string[] {
  return names.map((name) => `packages/${folder}/test/${name}.test.ts`);
}

/** What `pnpm mutate` mutates. A further one is an entry here. */
export const subjects: readonly Subject[] = [
  {
    name: 'core: what becomes of a message',
    sources: core(
      'dispatch/process-message',
      'dispatch/run',
      'dispatch/run-consumer',
      'dispatch/settle',
      'dispatch/router',
      'dispatch/retry',
      'dispatch/retry-later',
      'errors',
    ),
    tests: coreTests,
  },
  {
    name: 'core: concurrency, order, stopping',
    sources: core(
      'dispatch/loop',
      'dispatch/scheduler',
      'dispatch/attempts',
      'dispatch/in-hand',
      'dispatch/lane-waits',
      'dispatch/lanes',
      'dispatch/slots',
      'dispatch/work',
      'dispatch/dispatcher',
    ),
    tests: coreTests,
  },
  { name: 'core: claims', sources: core('dispatch/claims'), tests: coreTests },
  {
    name: 'core: messages and classes',
    sources: core(
      'messages/types',
      'messages/hidden-content',
      'messages/validate',
      'messages/registry',
      'contract/check-number',
    ),
    tests: [...coreTests, 'packages/serializer-json/test/message-types.test.ts'],
  },
  {
    name: 'backend-kit',
    sources: of('backend-kit', 'checks', 'reconnect-delay', 'troubles'),
    tests: ['packages/backend-kit/test/**/*.test.ts'],
  },
  {
    name: 'serializer-json',
    sources: of('serializer-json', 'json-serializer', 'large-integers', 'lost-value'),
    tests: testsOf('serializer-json', 'large-integers', 'lost-values', 'json-serializer', 'message-types'),
  },
  {
    name: 'serializer-protobuf',
    sources: of(
      'serializer-protobuf',
      'difference',
      'long',
      'own-fields',
      'bounded-reader',
      'protobuf-serializer',
    ),
    tests: testsOf('serializer-protobuf', 'protobuf-serializer', 'include-paths', 'message-types'),
  },
  {
    name: 'backend-kafka: offsets, batches',
    sources: of('backend-kafka', 'finished-offsets', 'record-batch', 'missing-records', 'byte-reader'),
    tests: testsOf('backend-kafka', 'finished-offsets', 'record-batch', 'fetch-response'),
  },
  {
    name: 'backend-rabbitmq: frames, mapper',
    sources: of(
      'backend-rabbitmq',
      'wire/publish-frames',
      'wire/delivery-frames',
      'wire/amqp-encoding',
      'wire/received-message',
      'publish/unconfirmed',
    ),
    tests: testsOf(
      'backend-rabbitmq',
      'publish-frames',
      'delivery-frames',
      'received-message',
      'unconfirmed',
      'wire-fixtures',
    ),
  },
  {
    name: 'backend-sqs: wire, what a subscription holds',
    sources: of(
      'backend-sqs',
      'wire/message',
      'wire/attributes',
      'wire/body',
      'consume/hand',
      'consume/visibilities',
    ),
    tests: testsOf('backend-sqs', 'sqs-message-mapper', 'hand', 'visibilities', 'wire-fixtures'),
  },
  {
    name: 'backend-redis-streams: mapper, acknowledgements',
    sources: of('backend-redis-streams', 'wire', 'consume/acknowledgements'),
    tests: testsOf('backend-redis-streams', 'wire', 'acknowledgements', 'wire-fixtures'),
  },
];
