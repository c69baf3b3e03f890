import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { INamespace } from 'protobufjs';

export const protoFile: string = fileURLToPath(new URL('fixtures/shop.proto', import.meta.url));

export const descriptor = JSON.parse(
  readFileSync(new URL('fixtures/shop.json', import.meta.url), 'utf8'),
) as INamespace;

export interface LineFields {
  sku: string;
  quantity: number;
  priceInCents: bigint;
}

/** Every field of `shop.v1.OrderPlaced` that is not a message, a member of a oneof, or optional. */
export interface OrderFields {
  orderId: string;
  totalInCents: bigint;
  currency: number;
  lines: LineFields[];
  labels: Record<string, string>;
  byNumber: Record<string, LineFields>;
  signature: Uint8Array;
  ledger: bigint[];
  accepted: number[];
  weight: number;
  ratio: number;
  gift: boolean;
  checksum: bigint;
  small: number;
  notes: string[];
  card?: string;
  voucher?: bigint;
  barter?: LineFields;
  priority?: number;
  previous?: OrderFields;
}

const Fields = class {
  constructor(fields: object) {
    Object.assign(this, emptyOrder(), fields);
  }
} as unknown as new (
  fields: Partial<OrderFields>,
) => OrderFields;

export class OrderPlaced extends Fields {
  static readonly manifest: string = 'shop.v1.OrderPlaced';
  constructor(fields: Partial<OrderFields> = {}) {
    super(fields);
  }
}

/** What arrives when nothing was set. */
export function emptyOrder(): OrderFields {
  return {
    orderId: '',
    totalInCents: 0n,
    currency: 0,
    lines: [],
    labels: {},
    byNumber: {},
    signature: new Uint8Array(),
    ledger: [],
    accepted: [],
    weight: 0,
    ratio: 0,
    gift: false,
    checksum: 0n,
    small: 0,
    notes: [],
  };
}

export const line: LineFields = { sku: 'a-1', quantity: 2, priceInCents: -150n };
