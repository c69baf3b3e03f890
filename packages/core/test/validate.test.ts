import { runInNewContext } from 'node:vm';
import type { StandardSchema } from '@melange/core';
import { expect, test } from 'vitest';
import { z } from 'zod';
import { validate } from '../src/messages/validate.ts';

/** A schema that answers with a promise made by another realm, as one does that runs in a sandbox. */
function answering(result: object): StandardSchema {
  const promise = runInNewContext('Promise.resolve(result)', { result });
  return { '~standard': { version: 1, vendor: 'sandbox', validate: () => promise } };
}

test('a schema of another realm is waited for: what it refuses is refused, what it gives is the value', async () => {
  const refusing = answering({ issues: [{ message: 'no such order', path: ['orderId'] }] });
  await expect(validate(refusing, {}, 'OrderPlaced')).rejects.toMatchObject({
    code: 'SERIALIZATION',
    path: ['orderId'],
  });
  const giving = validate(answering({ value: { orderId: '4711' } }), {}, 'OrderPlaced');
  expect(giving).toBeInstanceOf(Promise);
  expect(await giving).toEqual({ orderId: '4711' });
});

test('a schema that wants a Date, where JSON has text, is told what to do; others are not', () => {
  const order = { at: '2026-11-29T01:00:00.000Z', by: 'tomorrow', lines: [{ at: '2026-11-29' }] };
  const schema = z.object({ at: z.date(), by: z.date(), lines: z.array(z.object({ at: z.date() })) });
  const refused = (): unknown => validate(schema, order, 'OrderPlaced');
  const hint = 'JSON carries a date as text, and schemas see it so';
  expect(refused).toThrow(`at: Invalid input: expected date, received string (${hint}`);
  expect(refused).toThrow(`by: Invalid input: expected date, received string; lines`);
  expect(refused).toThrow(`lines[0].at: Invalid input: expected date, received string (${hint}`);
  expect(() => validate(z.object({ at: z.number() }), order, 'OrderPlaced')).not.toThrow(hint);
});

test('a schema that makes a Date of the text takes it', () => {
  const schema = z.object({ at: z.coerce.date() });
  expect(validate(schema, { at: '2026-11-29' }, 'OrderPlaced')).toEqual({ at: new Date('2026-11-29') });
});
