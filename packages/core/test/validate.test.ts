import { runInNewContext } from 'node:vm';
import type { StandardSchema } from '@melange/core';
import { expect, test } from 'vitest';
import { validate } from '../src/validate.ts';

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
