import type { MessageClass } from '@melange/core';
import { hiddenContent, MessageTypes } from '@melange/core/adapter';
import { describe, expect, test } from 'vitest';

class Secret {
  readonly open = 1;
  readonly #cents = 5;
  more(than: Secret): boolean {
    return this.#cents > than.#cents;
  }
}
class Inherits extends Secret {}
class Called {
  total(): number {
    return this.#sum();
  }
  #sum(): number {
    return 1;
  }
}
class Tags extends Set<string> {}
class Failed extends Error {}
/** As compilers write private fields for old targets. */
const _Lowered_cents = new WeakMap<object, number>();
class Lowered {
  constructor() {
    _Lowered_cents.set(this, 1);
  }
}
function __privateAdd(_instance: object, _name: string): void {}
class LoweredByAnother {
  constructor() {
    __privateAdd(this, 'cents');
  }
}

describe('a class whose instances cannot be made from fields is refused when it is registered', () => {
  test.each<[MessageClass, string]>([
    [Secret, 'the class Secret has a private #cents'],
    [Inherits, 'the class Inherits has a private #cents'],
    [Called, 'the class Called has a private #sum'],
    [Lowered, 'the class Lowered has a private field'],
    [LoweredByAnother, 'the class LoweredByAnother has a private field'],
    [Tags, 'the class Tags extends Set, whose content is in no field'],
    [Failed, 'the class Failed extends Error, whose content is in no field'],
    [Map, 'the class Map extends Map, whose content is in no field'],
  ])('%o', (type, reason) => {
    expect(() => new MessageTypes('Owner', [[type.name, type]])).toThrow(
      expect.objectContaining({
        code: 'CONFIGURATION',
        message: `Owner: ${reason}: an instance that is made from a message would lack it. Register a class of public fields, and make a ${type.name} of it in the handler.`,
      }),
    );
  });
});

describe('a class of public fields is taken', () => {
  class Derived {
    readonly net = 1;
    get gross(): number {
      return this.net * 2;
    }
  }
  class Speaks {
    static #made = 0;
    static async #make(): Promise<number> {
      return Speaks.#made++; // this.#secret
    }
    /* this.#other */
    colours = ['#fff', "it's #red", `a #b ${'#c'}`];
    static make(): Promise<number> {
      return Speaks.#make();
    }
    tag(text: string): string {
      return text.replace(/#tag/g, '');
    }
  }
  class Empty {}
  function Old(this: { a: number }): void {
    this.a = 1;
  }

  test.each([Derived, Speaks, Empty, Old as unknown as typeof Empty])('%o', async (type) => {
    const types = new MessageTypes('Owner', [[type.name, type]]);
    expect(await types.revive(type.name, { a: 1 })).toBeInstanceOf(type);
    await Speaks.make();
  });
});

test('what is hidden in an object that arrives as fields only is said once for its class, and anew for each instance', () => {
  class Priced {
    get gross(): number {
      return 2;
    }
  }
  const covered = Object.defineProperty(new Priced(), 'gross', { value: 3, enumerable: true });
  expect(hiddenContent(new Priced())).toBe('whose "gross" is no field of the instance');
  expect(hiddenContent(covered)).toBeUndefined();
  expect(hiddenContent({})).toBeUndefined();
  expect(hiddenContent(new (class Empty {})())).toBeUndefined();
  expect(hiddenContent(new Map())).toBe('');
});
