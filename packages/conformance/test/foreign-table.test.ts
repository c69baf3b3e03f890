import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const repository = new URL('../../../', import.meta.url);
const behaviours = 'packages/conformance/src/backend/foreign-messages.ts';
const [kafka, rabbitMq, redis, sqs] = ['kafka', 'rabbitmq', 'redis-streams', 'sqs'].map(
  (name) => `packages/backend-${name}/test/`,
);
const [json, protobuf] = ['json', 'protobuf'].map((name) => `packages/serializer-${name}/test/`);

/** Where each row of the table of foreign messages is proved: file, and what its test says. Behaviours run on every backend. */
const proofs: Readonly<Record<string, readonly (readonly [file: string, text: string])[]>> = {
  'no headers': [
    [behaviours, 'a message without manifest and serializer is read by the default serializer'],
    [`${kafka}foreign-dispatch.test.ts`, 'without headers are read as JSON'],
    [`${rabbitMq}foreign-messages.test.ts`, 'without any property are read as JSON'],
    [`${redis}foreign-messages.test.ts`, 'with nothing but content are read as JSON'],
    [`${redis}foreign-messages.test.ts`, 'are read as JSON of their fields'],
    [`${sqs}foreign-messages.test.ts`, 'without attributes are read as JSON'],
  ],
  'no headers, and no JSON where JSON is the default': [
    [behaviours, 'one that the default serializer cannot read is dead-lettered as it came'],
  ],
  'empty body': [
    [behaviours, 'one with an empty body is dead-lettered with its empty body, text or bytes'],
    [`${protobuf}message-types.test.ts`, 'an empty body is an empty message of its type'],
  ],
  'huge body': [
    [behaviours, 'one with a huge body is processed, or dead-lettered with the whole of it'],
    [`${protobuf}protobuf-serializer.test.ts`, 'is longer than the limit, published or received'],
  ],
  'body that leaves no room for the reason': [
    [`${kafka}foreign-dispatch.test.ts`, 'that fill what the broker takes, with nothing to compress'],
    [`${sqs}foreign-messages.test.ts`, 'as large as SQS takes are processed, or dead-lettered whole'],
  ],
  "binary body, JSON's serializer": [
    [`${rabbitMq}foreign-messages.test.ts`, 'of bytes that are no text, an empty one and a huge one'],
    [`${json}json-serializer.test.ts`, 'a foreign message without manifest is read as JSON, from bytes too'],
  ],
  '`NaN` or `Infinity` in JSON, as Python writes': [
    [`${json}json-serializer.test.ts`, "as Python's json.dumps writes it, is no JSON"],
  ],
  'whole number beyond 2^53 in JSON': [
    [`${json}large-integers.test.ts`, 'are refused by default, with their path and without their digits'],
    [`${json}large-integers.test.ts`, 'arrive as bigint'],
  ],
  'compressed body': [[`${rabbitMq}foreign-messages.test.ts`, 'compressed ones dead-lettered as they are']],
  'compressed batch (Kafka)': [[`${kafka}foreign-dispatch.test.ts`, 'compressed in any way are read']],
  "text body, protobuf's serializer": [
    [`${protobuf}protobuf-serializer.test.ts`, 'may be text where the bytes are text'],
  ],
  '`serializer_id` that is no number, or null': [
    [`${kafka}foreign-dispatch.test.ts`, "serializer_id: 'three'"],
    [`${rabbitMq}foreign-messages.test.ts`, "serializer_id: 'three'"],
    [`${redis}foreign-messages.test.ts`, "'serializer_id', 'three'"],
    [`${sqs}foreign-messages.test.ts`, "serializer_id: text('three')"],
  ],
  '`serializer_id` that is not registered': [
    [behaviours, 'a message of a serializer that is not registered is dead-lettered raw, saying which'],
  ],
  "`serializer_id` 2, Python's pickle": [[behaviours, "serialized with Python's pickle is never decoded"]],
  '`manifest` that is not known': [
    [`${kafka}foreign-dispatch.test.ts`, 'Nobody.knows'],
    [`${redis}foreign-messages.test.ts`, 'Nobody.knows'],
    [`${sqs}foreign-messages.test.ts`, 'Nobody.knows'],
    [`${json}json-serializer.test.ts`, 'an unknown class is refused, and so is an unknown manifest'],
  ],
  'fields that the schema refuses': [
    [`${json}message-types.test.ts`, 'reaches its handler, or the dead-letter queue'],
    [`${json}json-serializer.test.ts`, 'a failure names the path, on receipt'],
  ],
  'fields that the type does not know': [
    [`${json}message-types.test.ts`, 'keeps fields that a newer publisher added'],
    [`${protobuf}protobuf-serializer.test.ts`, 'keep the fields that a newer producer added'],
  ],
  '`melange_…` header of a newer version': [
    [behaviours, 'melange_of_tomorrow'],
    [`${kafka}foreign-dispatch.test.ts`, 'melange_of_tomorrow'],
    [`${rabbitMq}wire-fixtures.test.ts`, 'melange_of_tomorrow'],
    [`${sqs}foreign-messages.test.ts`, 'melange_of_tomorrow'],
  ],
  'header twice': [
    [`${kafka}foreign-dispatch.test.ts`, 'with the same header twice'],
    [`${rabbitMq}foreign-messages.test.ts`, 'with the same header twice'],
    [`${redis}foreign-messages.test.ts`, 'with the same field twice'],
  ],
  'binary header': [
    [`${kafka}foreign-dispatch.test.ts`, 'with the same header twice, binary'],
    [`${rabbitMq}foreign-messages.test.ts`, 'with the same header twice, binary ones'],
    [`${redis}foreign-messages.test.ts`, 'with the same field twice, binary ones'],
    [`${sqs}foreign-messages.test.ts`, 'with binary attributes and one of 64 kB'],
  ],
  'null header': [
    [`${kafka}foreign-dispatch.test.ts`, 'with a null header are retried and dead-lettered'],
    [`${rabbitMq}foreign-messages.test.ts`, "none: 'null'"],
  ],
  'number, boolean or table as a header (RabbitMQ)': [
    [`${rabbitMq}received-message.test.ts`, 'has every header value as text'],
  ],
  'header of 64 kB and more': [
    [behaviours, 'odd headers, long ones included, reach the consumer and the dead-letter queue'],
    [`${kafka}foreign-dispatch.test.ts`, "long: 'h'.repeat(64 * 1024)"],
    [`${rabbitMq}foreign-messages.test.ts`, 'with a header of %i kB are processed, retried'],
    [`${redis}foreign-messages.test.ts`, 'one of 64 kB are processed, retried and dead-lettered whole'],
    [`${sqs}foreign-messages.test.ts`, 'one of 64 kB are processed, retried and dead-lettered whole'],
  ],
  '`CC` and `BCC` headers (RabbitMQ)': [
    [`${rabbitMq}foreign-messages.test.ts`, 'that were sent to several queues by their headers'],
  ],
  'headers named `__proto__`, `constructor`': [
    [behaviours, "constructor: 'c'"],
    [`${rabbitMq}foreign-messages.test.ts`, "['__proto__', 'S'"],
    [`${redis}foreign-messages.test.ts`, "'__proto__', 'p'"],
    [`${sqs}sqs-message-mapper.test.ts`, "'__proto__',"],
  ],
  'no id': [
    [`${kafka}foreign-dispatch.test.ts`, '-0-0`'],
    [`${rabbitMq}received-message.test.ts`, 'without anything has an id and its content'],
    [`${redis}foreign-messages.test.ts`, 'under the id of the entry'],
    [`${sqs}sqs-message-mapper.test.ts`, 'under the id of SQS'],
  ],
};

const documentation = readFileSync(new URL('docs/wire-format.md', repository), 'utf8');
const [, section = ''] = documentation.split('\n## Foreign messages\n');
const [table = ''] = section.split('\n## ');
const rows = [...table.matchAll(/^\| (.+?) +\| /gm)].map(([, row = '']) => row).slice(1);

test('each row of the table of foreign messages has its test', () => {
  expect(rows.filter((row) => !/^-+$/.test(row))).toEqual(Object.keys(proofs));
});

test.each(Object.entries(proofs))('%s: the test is there', (_, places) => {
  for (const [file, text] of places) {
    expect(readFileSync(new URL(file, repository), 'utf8'), file).toContain(text);
  }
});
