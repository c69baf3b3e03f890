/// <reference path="./kafkajs-modules.d.ts" />
import Encoder from 'kafkajs/src/protocol/encoder.js';
import type { OutgoingRecord } from '../../wire/message.ts';

/** Stands for a header without a value, on which kafkajs stumbles where it counts bytes. As many bytes stand for it. */
const absent: Buffer = Buffer.alloc(0);
const patched = new WeakSet<object>();

/** Lets kafkajs write headers without a value, as every other client can. */
export function writeNullHeaders(): void {
  const { prototype } = Encoder;
  const write = prototype.writeVarIntBytes;
  if (patched.has(write)) return;
  const writeOrNull: typeof write = function (this: Encoder, value) {
    return write.call(this, value === absent ? null : value);
  };
  patched.add(writeOrNull);
  prototype.writeVarIntBytes = writeOrNull;
}

/** Headers as kafkajs takes them, of which its types know no null. */
export function headersFor(headers: OutgoingRecord['headers']): Record<string, Buffer | Buffer[]> {
  const values = Object.values(headers);
  const hasNull = values.some((value) => value === null || (Array.isArray(value) && value.includes(null)));
  if (!hasNull) return headers as Record<string, Buffer | Buffer[]>;
  const all: Record<string, Buffer | Buffer[]> = Object.create(null);
  for (const [name, value] of Object.entries(headers))
    all[name] = Array.isArray(value) ? value.map((one) => one ?? absent) : (value ?? absent);
  return all;
}
