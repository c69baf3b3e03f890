import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DeadLetters, fingerprintOf, masked } from '../src/index.ts';
import { letterOf } from '../src/letter.ts';
import { lineOf, messageOf } from '../src/ndjson.ts';
import { fail, memory, message, queues } from './support/scene.ts';

describe('masking', () => {
  it.each([
    ['order 17 is unknown', 'order <n> is unknown'],
    ['invoice 2024-05-17T10:00:00.123Z of 019a3c1e-7c6b-7d1e-8d3c-0242ac120002', 'invoice <time> of <id>'],
    ['no user ann@example.org', 'no user <email>'],
    ['timeout after 30000ms at 10.0.0.7:5432', 'timeout after <n>ms at <n>:<n>'],
    ['transaction 7f3a9c21be04 rolled back', 'transaction <id> rolled back'],
    ['a\n  b', 'a b'],
    ['decade', 'decade'],
  ])('%s → %s', (text, expected) => expect(masked(text)).toBe(expected));

  it('makes a message of megabytes short, at once', () => {
    expect(masked('a1b2'.repeat(5_000_000)).length).toBeLessThanOrEqual(500);
  });
});

describe('a fingerprint', () => {
  const letter = (headers: Record<string, string>) => letterOf(message('1', { headers }));

  it('is that of an error, whatever the numbers in its message', () => {
    const of = (text: string) =>
      fingerprintOf(letter({ melange_error_name: 'Error', melange_error_message: text }));
    expect(of('order 1 failed')).toBe(of('order 22 failed'));
    expect(of('order 1 failed')).not.toBe(of('order 1 is late'));
    expect(of('order 1 failed')).toMatch(/^[0-9a-f]{12}$/);
  });

  it.each(['melange_reason', 'melange_consumer', 'melange_error_name'])(
    'tells one %s from another',
    (name) => {
      expect(fingerprintOf(letter({ [name]: 'a' }))).not.toBe(fingerprintOf(letter({ [name]: 'b' })));
    },
  );
});

it('headers of other clients that make no sense are not told', () => {
  expect(
    letterOf(
      message('1', {
        headers: { melange_attempts: 'many', melange_dead_lettered_at: 'yesterday', melange_redriven: '-1' },
      }),
    ),
  ).toMatchObject({ attempts: undefined, deadLetteredAt: undefined, redriven: 0 });
});

describe('a line of an export', () => {
  const content = fc.oneof(
    fc.constant(null),
    fc.string({ unit: 'binary' }),
    fc.uint8Array().map((bytes) => new Uint8Array(bytes)),
  );

  it('is read as it was written, whatever the message', () => {
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }),
        content,
        fc.dictionary(fc.string(), fc.string()),
        fc.option(fc.string(), { nil: undefined }),
        (id, content, headers, key) => {
          const original = message(id, { content, headers: { ...headers }, key });
          const line = lineOf(original);
          expect(line).not.toContain('\n');
          expect(messageOf(line, 1)).toEqual(original);
        },
      ),
    );
  });

  it.each([
    ['{', 'not JSON'],
    ['[]', 'no object'],
    ['null', 'no object'],
    ['{"headers":{}}', '"id"'],
    ['{"id":"","headers":{}}', '"id"'],
    ['{"id":"1"}', '"headers"'],
    ['{"id":"1","headers":{"a":1}}', '"headers"'],
    ['{"id":"1","headers":{},"base64":"a"}', '"base64"'],
    ['{"id":"1","headers":{},"text":1}', '"text"'],
    ['{"id":"1","headers":{},"text":"","base64":""}', '"text" and "base64"'],
    ['{"id":"1","headers":{},"key":1}', '"key"'],
    ['{"id":"1","headers":{},"manifest":1}', '"manifest"'],
    ['{"id":"1","headers":{},"contentType":1}', '"contentType"'],
    ['{"id":"1","headers":{},"serializerId":"1"}', '"serializerId"'],
    ['{"id":"1","headers":{},"publishedAt":"1"}', '"publishedAt"'],
  ])('%s is refused', async (line, what) => {
    const backend = memory();
    const { dead } = await queues(backend);
    const error = await new DeadLetters({ backend })
      .import(dead, ['', line])
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'MESSAGE_INVALID', message: expect.stringContaining(what) });
    expect(error).toMatchObject({ message: expect.stringMatching(/^Line 2 /) });
  });
});

describe('a filter', () => {
  it.each([
    ['manifest', { manifest: 'InvoicePaid' }, ['2']],
    ['source queue', { sourceQueue: 'elsewhere' }, []],
    ['consumer', { consumer: 'mailing' }, ['3']],
    ['reason', { reason: 'unhandled' }, ['2']],
    ['ids', { ids: ['1', '3', '9'] }, ['1', '3']],
    ['no ids', { ids: [] }, []],
    ['header', { headers: { tenant: 'other' } }, ['3']],
    ['header that is not there', { headers: { constructor: 'x' } }, []],
    ['text of the content', { text: 'ORDER":"2' }, ['2']],
    ['text of the error', { text: 'No Total' }, ['1']],
    ['text of bytes', { text: 'grün' }, ['4']],
    ['several', { reason: 'rejected', consumer: 'billing' }, ['1']],
    ['time from', { from: new Date(Date.now() + 3_600_000) }, []],
    ['time to', { to: new Date(Date.now() - 3_600_000) }, []],
    ['times around', { from: new Date(0), to: new Date(Date.now() + 3_600_000) }, ['1', '2', '3', '4']],
  ])('of %s', async (_, filter, expected) => {
    const backend = memory();
    const { queue, dead } = await queues(backend);
    await fail(backend, queue, [
      { id: '1', consumer: 'billing', error: new Error('no total') },
      { id: '2', reason: 'unhandled', message: { manifest: 'InvoicePaid' } },
      { id: '3', consumer: 'mailing', message: { headers: { tenant: 'other' } } },
      { id: '4', message: { content: new TextEncoder().encode('grün'), serializerId: 3 } },
    ]);
    const { letters } = await new DeadLetters({ backend }).list(dead, { filter });
    expect(letters.map(({ message: { id } }) => id)).toEqual(expected);
  });

  it('that means no more than the limit ends early and says so', async () => {
    const backend = memory();
    const { queue, dead } = await queues(backend);
    await fail(backend, queue, [{ id: '1' }, { id: '2' }, { id: '3' }]);
    const letters = new DeadLetters({ backend });
    expect(await letters.list(dead, { limit: 2 })).toMatchObject({ isComplete: false });
    expect(await letters.list(dead, { limit: 3 })).toMatchObject({ isComplete: true, scanned: 3 });
    await expect(letters.list(dead, { limit: 0 })).rejects.toMatchObject({ code: 'CONFIGURATION' });
  });
});

it('an export whose file is full ends, and the letters stay', async () => {
  const backend = memory();
  const { queue, dead } = await queues(backend);
  await fail(backend, queue, [{ id: '1' }, { id: '2' }]);
  const letters = new DeadLetters({ backend });
  const full = letters.export(dead, () => Promise.reject(new Error('no space left')));
  await expect(full).rejects.toThrow('no space left');
  expect((await letters.list(dead)).letters).toHaveLength(2);
});

it('refuses to hold nothing', () => {
  const backend = memory();
  for (const maxHeld of [0, -1, Number.NaN, 1.5])
    expect(() => new DeadLetters({ backend, maxHeld })).toThrow('"maxHeld"');
});
