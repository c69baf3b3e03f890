import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import protobuf from 'protobufjs';
import { expect, test } from 'vitest';
import { ProtobufSerializer, reflectedTypes } from '../src/index.ts';

test('in proto2 what is not set arrives as its default, and what is required is published as it', () => {
  const { root } = protobuf.parse(`syntax = "proto2";
    message Old {
      optional int32 count = 1 [default = 7];
      required string name = 2;
      optional string note = 3;
    }`);
  class Old {}
  const types = reflectedTypes(root);
  const serializer = new ProtobufSerializer({ types, classes: [Old] });
  const content = serializer.serialize(new Old()) as Uint8Array;
  expect([...content]).toEqual([0x12, 0]);
  expect(serializer.deserialize(content, 'Old')).toEqual(
    Object.assign(new Old(), { count: 7, name: '', note: '' }),
  );
});

test('a static module needs no code generation at run time', { timeout: 60_000 }, async () => {
  const program = fileURLToPath(new URL('support/without-code-generation.ts', import.meta.url));
  const parameters = ['--disallow-code-generation-from-strings', '--import', 'tsx', program];
  const { stdout } = await promisify(execFile)(process.execPath, parameters);
  const outcomes = Object.fromEntries(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  );
  expect(outcomes.static).toBe('o-1');
  expect(outcomes.reflected).toContain('Code generation from strings disallowed');
});
