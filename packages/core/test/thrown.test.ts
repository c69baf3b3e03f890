import { runInNewContext } from 'node:vm';
import { MelangeError, type Message } from '@melange/core';
import { deadLetterCopy } from '@melange/core/adapter';
import { describe, expect, test } from 'vitest';
import { describeThrown, thrownText } from '../src/errors.ts';

const revoked = (): unknown => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const withMessage = (message: unknown): Error => Object.assign(new Error(), { message });
const getter = (name: string): Error =>
  Object.defineProperty(new Error('seen'), name, {
    get() {
      throw new Error('getter');
    },
  });
const circular: Record<string, unknown> = {};
circular.self = circular;

const strange: [string, () => unknown][] = [
  ['an error whose message is an object', () => withMessage({ code: 7 })],
  ['an error whose message is a symbol', () => withMessage(Symbol('s'))],
  ['an error without a message', () => withMessage(undefined)],
  ['a getter of the message that throws', () => getter('message')],
  ['a getter of the name that throws', () => getter('name')],
  ['a getter of the cause that throws', () => getter('cause')],
  ['an object without a prototype', () => Object.create(null)],
  ['a revoked proxy', revoked],
  ['a revoked proxy as cause', () => new Error('outer', { cause: revoked() })],
  ['a proxy that throws at everything', () => throwingProxy()],
  ['a symbol', () => Symbol('s')],
  ['an object that turns into text badly', () => ({ toString: () => ({}), toJSON: () => circular })],
  ['an object with a bigint', () => ({ amount: 10n })],
  ['a circle', () => circular],
  ['a function', () => () => 'x'],
  ['a function without a prototype', () => Object.setPrototypeOf(() => 'x', null)],
  ['undefined', () => undefined],
  ['null', () => null],
  ['a number', () => 7],
  [
    'an error that is its own cause',
    () => {
      const error = new Error('again') as Error & { cause: unknown };
      error.cause = error;
      return error;
    },
  ],
];

function throwingProxy(): unknown {
  const refuse = () => {
    throw new Error('trap');
  };
  return new Proxy(
    {},
    { get: refuse, has: refuse, getPrototypeOf: refuse, ownKeys: refuse, getOwnPropertyDescriptor: refuse },
  );
}

const message: Message = {
  id: 'message-1',
  content: 'x',
  manifest: 'json',
  serializerId: 1,
  key: undefined,
  headers: {},
  publishedAt: 1,
};
const circumstances = { queue: 'orders', attempts: 3, at: 0 };

describe('whatever is thrown can be described', () => {
  test.each(strange)('%s', (_, make) => {
    const { name, message, cause } = describeThrown(make());
    for (const text of [name, message, cause ?? 'none', thrownText(make())])
      expect(text).toEqual(expect.any(String));
    expect(name).not.toBe('');
  });

  test.each(strange)('and is no Melange error: %s', (_, make) => {
    expect(MelangeError.is(make())).toBe(false);
  });

  test.each(strange)('and dead-lettered, every header being text: %s', (_, make) => {
    const { headers } = deadLetterCopy(message, { reason: 'rejected', error: make() }, circumstances);
    for (const value of Object.values(headers)) expect(value).toEqual(expect.any(String));
  });
});

test('an error is its name and message, of another realm too', () => {
  expect(describeThrown(new RangeError('too far'))).toEqual({
    name: 'RangeError',
    message: 'too far',
    cause: undefined,
  });
  const foreign: unknown = runInNewContext('new RangeError("too far")');
  expect(describeThrown(foreign)).toEqual({ name: 'RangeError', message: 'too far', cause: undefined });
  expect(thrownText(foreign)).toBe('RangeError: too far');
});

test('what is no error is its type and its text', () => {
  expect(describeThrown('declined')).toEqual({ name: 'string', message: 'declined', cause: undefined });
  expect(describeThrown({ code: 7 })).toEqual({ name: 'object', message: '{"code":7}', cause: undefined });
  expect(describeThrown(withMessage({ code: 7 }))).toMatchObject({ name: 'Error', message: '{"code":7}' });
});

test('a dead letter keeps the causes of its error, the nearest first', () => {
  const error = new Error('charge', {
    cause: new TypeError('fetch failed', { cause: new Error('ECONNRESET') }),
  });
  const { headers } = deadLetterCopy(message, { reason: 'attempts exhausted', error }, circumstances);
  expect(headers).toMatchObject({
    melange_error_name: 'Error',
    melange_error_message: 'charge',
    melange_error_cause: 'TypeError: fetch failed < Error: ECONNRESET',
  });
  const again = deadLetterCopy(
    { ...message, headers },
    { reason: 'rejected', error: new Error('x') },
    circumstances,
  );
  expect(again.headers).not.toHaveProperty('melange_error_cause');
});

test('long text is cut, never inside of a character, and what brokers refuse in headers is replaced', () => {
  const { message: long } = describeThrown(new Error(`x${'😀'.repeat(1_000)}`));
  expect(long.length).toBe(1_000);
  expect(long).not.toMatch(/\p{Surrogate}/u);
  expect(describeThrown(new Error('a\0b\u001b[31m\ufffe\ud800c\td\n')).message).toBe('a�b�[31m��c\td\n');
});
