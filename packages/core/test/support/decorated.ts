import { type ConsumeContext, consumeContext, consumer, SingleDispatchConsumer } from '@melange/core';

class Cat {
  readonly name: string = 'Tom';
}
class Stone {
  readonly weight: number = 1;
}

/** Compiled with standard decorators and with those of `experimentalDecorators`: the same holds of both. */
class Shelter extends SingleDispatchConsumer {
  readonly taken: string[] = [];

  @consumer(Cat)
  takeCat(cat: Cat): void {
    this.taken.push(cat.name);
  }
}

class StoneShelter extends Shelter {
  @consumer(Stone)
  async takeStone({ weight }: Stone, { messageId }: ConsumeContext): Promise<void> {
    this.taken.push(`${weight} of ${messageId}`);
  }
}

/** What each of three consumers took, of the same two messages. */
export async function takenByEach(): Promise<readonly (readonly string[])[]> {
  const shelters = [new Shelter('a'), new StoneShelter('b'), new StoneShelter('c')];
  for (const shelter of shelters.slice(0, 2)) {
    for (const message of [new Cat(), new Stone()]) {
      if (shelter.accepts(message)) await shelter.process(message, consumeContext({ messageId: 'm-1' }));
    }
  }
  return shelters.map(({ taken }) => taken);
}
