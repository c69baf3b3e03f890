import { defineMessage, type StandardSchema } from '@melange/core';
import { MessageTypes } from '@melange/core/adapter';
import { describe, expect, test } from 'vitest';

class Plain {
  readonly text: string = '';
  get length(): number {
    return this.text.length;
  }
}

/** Answers with something that it keeps, and that nobody may change. */
const kept = Object.freeze({ text: 'kept' });
const keeping: StandardSchema = {
  '~standard': { version: 1, vendor: 'test', validate: () => ({ value: kept }) },
};
class Checked extends defineMessage('Checked', keeping) {}

const types = new MessageTypes('test', [
  ['Plain', Plain],
  ['Checked', Checked],
]);

describe('fields become an instance', () => {
  test('themselves, where nothing validates them', () => {
    const fields = { text: 'four' };
    const revived = types.revive('Plain', fields);
    expect(revived).toBe(fields);
    expect(revived).toBeInstanceOf(Plain);
    expect((revived as Plain).length).toBe(4);
  });

  test('by a copy, where they cannot be changed', () => {
    const fields = Object.freeze({ text: 'four' });
    const revived = types.revive('Plain', fields);
    expect(revived).toBeInstanceOf(Plain);
    expect(revived).toMatchObject({ text: 'four' });
    expect(fields).not.toBeInstanceOf(Plain);
  });

  test('by a copy, where a schema answers with them, which may keep them', () => {
    const revived = types.revive('Checked', {});
    expect(revived).toBeInstanceOf(Checked);
    expect(revived).not.toBe(kept);
    expect(revived).toMatchObject({ text: 'kept' });
    expect(Object.isFrozen(revived)).toBe(false);
  });
});
