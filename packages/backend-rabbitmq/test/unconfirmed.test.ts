import { expect, test } from 'vitest';
import { type Confirmation, Unconfirmed } from '../src/publish/unconfirmed.ts';

/** Messages of one batch, each of which has the place of its number. */
class Published {
  readonly #unconfirmed = new Unconfirmed<'batch'>();

  add(place: number): void {
    this.#unconfirmed.add('batch', place);
  }

  take(confirmation: Confirmation): number[] {
    const places: number[] = [];
    this.#unconfirmed.take(confirmation, (_, place) => void places.push(place));
    return places;
  }

  all(): number[] {
    return this.#unconfirmed.all().map(([, place]) => place);
  }
}

function published(count: number): Published {
  const unconfirmed = new Published();
  for (let tag = 1; tag <= count; tag += 1) unconfirmed.add(tag);
  return unconfirmed;
}

test('an answer is about one, or about all before it too', () => {
  const unconfirmed = published(10);
  expect(unconfirmed.take({ deliveryTag: 3, multiple: true })).toEqual([1, 2, 3]);
  expect(unconfirmed.take({ deliveryTag: 5, multiple: false })).toEqual([5]);
  expect(unconfirmed.all()).toEqual([4, 6, 7, 8, 9, 10]);
  expect(unconfirmed.take({ deliveryTag: 4, multiple: false })).toEqual([4]);
  expect(unconfirmed.take({ deliveryTag: 8, multiple: true })).toEqual([6, 7, 8]);
  unconfirmed.add(11);
  expect(unconfirmed.take({ deliveryTag: 11, multiple: true })).toEqual([9, 10, 11]);
  expect(unconfirmed.all()).toEqual([]);
  unconfirmed.add(12);
  expect(unconfirmed.take({ deliveryTag: 12, multiple: false })).toEqual([12]);
});

test('an answer that was given before, or is about what was never published, changes nothing', () => {
  const unconfirmed = published(5);
  unconfirmed.take({ deliveryTag: 3, multiple: true });
  unconfirmed.take({ deliveryTag: 5, multiple: false });
  for (const multiple of [true, false]) {
    for (const deliveryTag of [1, 3, 6, 100]) {
      expect(unconfirmed.take({ deliveryTag, multiple })).toEqual([]);
    }
  }
  expect(unconfirmed.take({ deliveryTag: 5, multiple: false })).toEqual([]);
  expect(unconfirmed.take({ deliveryTag: 5, multiple: true })).toEqual([4]);
});

test('tags keep their members while thousands are answered in any order', () => {
  const unconfirmed = published(100);
  const answered: number[] = [];
  for (let tag = 1; tag <= 20_000; tag += 1) {
    unconfirmed.add(tag + 100);
    // By turns one ahead of the others, and the one that was passed over.
    const deliveryTag = tag % 2 === 1 ? tag + 1 : tag - 1;
    answered.push(...unconfirmed.take({ deliveryTag, multiple: false }));
  }
  expect(answered.toSorted((one, other) => one - other)).toEqual(
    Array.from({ length: 20_000 }, (_, index) => index + 1),
  );
  expect(unconfirmed.all()).toHaveLength(100);
});
