import { describe, expect, test } from 'vitest';
import { Router } from '../src/dispatch/router.ts';
import type { Consumer } from '../src/index.ts';
import { SingleDispatchConsumer } from '../src/index.ts';

class Animal {}
class Dog extends Animal {}
class Cat extends Animal {}

const ignore = (): void => undefined;

function namesFor(router: Router, message: unknown): string[] {
  return router.candidatesFor(message).map(({ name }) => name);
}

describe('candidates for a message', () => {
  test('are those that handle its class or a base of it, in the order of their attachment', () => {
    const router = new Router([
      new SingleDispatchConsumer('cats').on(Cat, ignore),
      new SingleDispatchConsumer('animals').on(Animal, ignore),
      new SingleDispatchConsumer('dogs').on(Dog, ignore),
    ]);
    expect(namesFor(router, new Dog())).toEqual(['animals', 'dogs']);
    expect(namesFor(router, new Cat())).toEqual(['cats', 'animals']);
    expect(namesFor(router, new Dog())).toEqual(['animals', 'dogs']);
    expect(namesFor(router, {})).toEqual([]);
  });

  test('are looked up once for a class, however many consumers there are', () => {
    let lookups = 0;
    class Counting extends Cat {}
    const consumers = Array.from({ length: 100 }, (_, index) => {
      const consumer = new SingleDispatchConsumer(`consumer-${index}`);
      return index === 42 ? consumer.on(Counting, ignore) : consumer.on(Dog, ignore);
    });
    const router = new Router(consumers);
    const message = new Proxy(new Counting(), {
      getPrototypeOf(target) {
        lookups += 1;
        return Reflect.getPrototypeOf(target);
      },
    });
    expect(namesFor(router, message)).toEqual(['consumer-42']);
    expect(lookups).toBe(101);
    lookups = 0;
    expect(namesFor(router, message)).toEqual(['consumer-42']);
    expect(lookups).toBe(1);
  });

  test('include a consumer from the moment that it handles the class', () => {
    const late = new SingleDispatchConsumer('late').on(Cat, ignore);
    const router = new Router([new SingleDispatchConsumer('dogs').on(Dog, ignore), late]);
    expect(namesFor(router, new Dog())).toEqual(['dogs']);
    late.on(Dog, ignore);
    expect(namesFor(router, new Dog())).toEqual(['dogs', 'late']);
  });

  test('are all that do not route by class, for they may answer by anything', () => {
    const plain: Consumer = { name: 'plain', accepts: () => false, process: ignore };
    class Choosy extends SingleDispatchConsumer {
      override accepts(message: unknown): boolean {
        return super.accepts(message) && (message as { isWanted?: boolean }).isWanted === true;
      }
    }
    const router = new Router([
      plain,
      new Choosy('choosy'),
      new SingleDispatchConsumer('cats').on(Cat, ignore),
    ]);
    expect(namesFor(router, new Dog())).toEqual(['plain', 'choosy']);
  });

  test('are all where the message has no class', () => {
    const router = new Router([
      new SingleDispatchConsumer('cats').on(Cat, ignore),
      new SingleDispatchConsumer('none'),
    ]);
    for (const message of [null, 'text', 7, undefined, Object.create(null)]) {
      expect(namesFor(router, message)).toEqual(['cats', 'none']);
    }
  });
});
