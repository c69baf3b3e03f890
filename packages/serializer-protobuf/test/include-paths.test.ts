import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadProtoFiles, ProtobufSerializer } from '../src/index.ts';

const folder = (name: string): string => fileURLToPath(new URL(`fixtures/included/${name}`, import.meta.url));
const includePaths = [folder('shop'), folder('common')];
const invoice = folder('shop/shop/v1/invoice.proto');

describe('include paths, as protoc -I has them', () => {
  test.each(['shop/v1/invoice.proto', invoice])('%s and all that it imports', async (file) => {
    const types = await loadProtoFiles(file, { includePaths });
    expect([...types.keys()]).toEqual(
      expect.arrayContaining([
        'shop.v1.Invoice',
        'shop.v1.InvoiceLine',
        'common.Money',
        'google.protobuf.Timestamp',
      ]),
    );
  });

  test('a file that is loaded and imported, by several names, is one file', async () => {
    const files = ['shop/v1/invoice.proto', 'common/money.proto', invoice, 'shop/v1/line.proto'];
    const types = await loadProtoFiles(files, { includePaths });
    expect(types.has('common.Money')).toBe(true);
  });

  test('the first folder that has the file counts', async () => {
    await expect(loadProtoFiles(invoice, { includePaths: [folder('common')] })).rejects.toMatchObject({
      code: 'CONFIGURATION',
      message: expect.stringMatching(/include paths: .*included\/common.*line\.proto/s),
    });
  });

  test('without them an import is relative to its file', async () => {
    await expect(loadProtoFiles(invoice)).rejects.toMatchObject({ code: 'CONFIGURATION' });
  });
});

describe('what arrived without a class can be published again', () => {
  const numbers = [0n, 1n, -1n, 42n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)];

  test('with 64-bit keys of maps, signed and unsigned', async () => {
    class Invoice {
      static readonly manifest = 'shop.v1.Invoice';
      names = Object.fromEntries(numbers.map((number) => [String(number), `n${number}`]));
      byNumber = Object.fromEntries(
        [0n, 7n, 2n ** 64n - 1n].map((number) => [
          String(number),
          { sku: `s${number}`, price: { cents: number >> 1n } },
        ]),
      );
    }
    const types = await loadProtoFiles(invoice, { includePaths });
    const bound = new ProtobufSerializer({ types, classes: [Invoice] });
    const native = new ProtobufSerializer({ types });
    const sent = new Invoice();
    const content = (await bound.serialize(sent)) as Uint8Array;
    const arrived = await native.deserialize(content, 'shop.v1.Invoice');
    const again = (await native.serialize(arrived)) as Uint8Array;
    const received = (await bound.deserialize(again, 'shop.v1.Invoice')) as Invoice;
    expect(received.names).toEqual(sent.names);
    expect(received.byNumber).toEqual(
      Object.fromEntries(
        Object.entries(sent.byNumber).map(([key, { sku, price }]) => [
          key,
          { sku, price: { currency: '', ...price } },
        ]),
      ),
    );
  });

  test('but not with a field of eight letters that the type does not have', async () => {
    const types = await loadProtoFiles(invoice, { includePaths });
    const native = new ProtobufSerializer({ types });
    const arrived = (await native.deserialize(new Uint8Array(), 'shop.v1.Invoice')) as { quantity?: number };
    arrived.quantity = 1;
    expect(() => native.serialize(arrived)).toThrow(expect.objectContaining({ path: ['quantity'] }));
  });
});

describe('an object inside of a message that is more than its fields is refused', () => {
  class Invoice {
    static readonly manifest = 'shop.v1.Invoice';
    total: object;
    constructor(total: object) {
      this.total = total;
    }
  }
  class Money {
    readonly currency = 'EUR';
    readonly #cents = 5n;
    isMore(than: Money): boolean {
      return this.#cents > than.#cents;
    }
  }
  class Computed {
    readonly currency = 'EUR';
    get cents(): bigint {
      return 5n;
    }
  }
  class Public {
    readonly currency = 'EUR';
    readonly cents: bigint = 5n;
    isZero(): boolean {
      return this.cents === 0n;
    }
  }

  test.each([new Money(), new Computed()])('%o', async (total) => {
    const types = await loadProtoFiles(invoice, { includePaths });
    const serializer = new ProtobufSerializer({ types, classes: [Invoice] });
    expect(() => serializer.serialize(new Invoice(total))).toThrow(
      expect.objectContaining({ path: ['total'] }),
    );
  });

  test('one of public fields is carried', async () => {
    const types = await loadProtoFiles(invoice, { includePaths });
    const serializer = new ProtobufSerializer({ types, classes: [Invoice] });
    const content = (await serializer.serialize(new Invoice(new Public()))) as Uint8Array;
    const { total } = (await serializer.deserialize(content, 'shop.v1.Invoice')) as Invoice;
    expect(total).toEqual({ currency: 'EUR', cents: 5n });
  });

  test('and one that protobufjs made', async () => {
    const types = await loadProtoFiles(invoice, { includePaths });
    const serializer = new ProtobufSerializer({ types, classes: [Invoice] });
    const money = new ProtobufSerializer({ types });
    const total = (await money.deserialize(Uint8Array.of(0x10, 5), 'common.Money')) as object;
    const content = (await serializer.serialize(new Invoice(total))) as Uint8Array;
    expect(await serializer.deserialize(content, 'shop.v1.Invoice')).toMatchObject({ total: { cents: 5n } });
  });
});
