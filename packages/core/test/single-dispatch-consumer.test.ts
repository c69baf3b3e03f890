import { type ConsumeContext, consumer, MelangeError, SingleDispatchConsumer } from '@melange/core';
import { describe, expect, test } from 'vitest';

class Animal {}
class Cat extends Animal {}
class Kitten extends Cat {}
class Stone {}

const context = {} as ConsumeContext;

describe('SingleDispatchConsumer', () => {
  test('the most specific class wins, whatever the order of on()', async () => {
    const seen: string[] = [];
    const animals = new SingleDispatchConsumer('animals')
      .on(Animal, () => void seen.push('animal'))
      .on(Kitten, () => void seen.push('kitten'));
    for (const message of [new Animal(), new Cat(), new Kitten()]) await animals.process(message, context);
    expect(seen).toEqual(['animal', 'animal', 'kitten']);
  });

  test('accepts follows from the handlers', () => {
    const animals = new SingleDispatchConsumer('animals').on(Cat, () => undefined);
    expect(
      [new Cat(), new Kitten(), new Animal(), new Stone(), null, 'text'].map((m) => animals.accepts(m)),
    ).toEqual([true, true, false, false, false, false]);
  });

  test('a second handler of one type is refused', () => {
    const animals = new SingleDispatchConsumer('animals').on(Cat, () => undefined);
    expect(() => animals.on(Cat, () => undefined)).toThrow(/already has a handler for Cat/);
  });

  test('@consumer makes a method a handler that sees its own instance', async () => {
    class Shelter extends SingleDispatchConsumer {
      readonly taken: string[] = [];

      @consumer(Cat)
      takeCat(_cat: Cat): void {
        this.taken.push('cat');
      }

      @consumer(Stone)
      async takeStone(_stone: Stone, { messageId }: ConsumeContext): Promise<void> {
        this.taken.push(messageId);
      }
    }
    const [shelter, other] = [new Shelter('shelter'), new Shelter('other')];
    await shelter.process(new Kitten(), context);
    await shelter.process(new Stone(), { ...context, messageId: 'id-1' });
    expect(shelter.taken).toEqual(['cat', 'id-1']);
    expect(other.taken).toEqual([]);
  });
});

test('MelangeError.is tells by brand and code, not by class', () => {
  const foreign = Object.assign(new Error('elsewhere'), {
    code: 'CLOSED',
    [Symbol.for('melange.error')]: true,
  });
  expect(MelangeError.is(foreign, 'CLOSED')).toBe(true);
  expect(MelangeError.is(foreign, 'REJECTED')).toBe(false);
  expect(MelangeError.is(new Error('plain'))).toBe(false);
});
