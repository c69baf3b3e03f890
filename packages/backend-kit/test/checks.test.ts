import { MelangeError } from '@melange/core';
import { expect, test } from 'vitest';
import { checkName, checkSubscribeOptions } from '../src/index.ts';

function codeOf(action: () => void): string | undefined {
  try {
    action();
  } catch (error) {
    return MelangeError.is(error) ? error.code : String(error);
  }
  return undefined;
}

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
  'maxInFlight of %s is refused',
  (maxInFlight) => {
    expect(codeOf(() => checkSubscribeOptions({ maxInFlight }))).toBe('CONFIGURATION');
  },
);

test('maxInFlight of 1 is taken', () => {
  expect(codeOf(() => checkSubscribeOptions({ maxInFlight: 1 }))).toBeUndefined();
});

test('a name is measured in bytes, with the longest suffix', () => {
  const rules = { maxBytes: 10, longestSuffix: '.retry' };
  expect(codeOf(() => checkName('queue', 'abcd', rules))).toBeUndefined();
  expect(codeOf(() => checkName('queue', 'abcde', rules))).toBe('CONFIGURATION');
  expect(codeOf(() => checkName('queue', 'äb', rules))).toBeUndefined();
  expect(codeOf(() => checkName('queue', 'äöü', rules))).toBe('CONFIGURATION');
});

test('an empty name and refused characters are told by kind', () => {
  expect(() => checkName('topic', '', { maxBytes: 10 })).toThrow('The name of a topic must not be empty.');
  expect(() => checkName('topic', 'a b', { maxBytes: 10, allowed: /^\w+$/ })).toThrow(
    '"a b" has a character',
  );
});
