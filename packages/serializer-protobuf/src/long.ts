/** 64 bits as protobufjs's instances have them. */
export interface LongValue {
  readonly low: number;
  readonly high: number;
  readonly unsigned: boolean;
}

/** Whether this is the `Long` of any copy of the package. */
export function isLong(value: object): value is LongValue {
  return '__isLong__' in value && 'low' in value && 'high' in value;
}

/** The whole number that a value stands for, if it does. */
export function wholeNumber(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value) : undefined;
  if (typeof value === 'string') return /^-?\d{1,20}$/.test(value) ? BigInt(value) : undefined;
  if (typeof value !== 'object' || value === null || !isLong(value)) return undefined;
  const bits = (BigInt(value.high >>> 0) << 32n) | BigInt(value.low >>> 0);
  return value.unsigned ? bits : BigInt.asIntN(64, bits);
}

/** The keys of a 64-bit map entry in text, signed and unsigned, where the key is 8 bytes as protobufjs's instances have them. */
export function keysInText(key: string): readonly string[] {
  if (!/^[\0-\xff]{8}$/.test(key)) return [];
  const bits = Buffer.from(key, 'latin1').readBigUInt64LE();
  return [String(BigInt.asIntN(64, bits)), String(bits)];
}
