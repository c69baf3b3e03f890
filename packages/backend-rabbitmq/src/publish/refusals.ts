import type { Troubles } from '@melange/backend-kit';
import type { Target } from '../wire/publish-frames.ts';

/** Nobody publishes any more to what refused the last message so long ago: it is nobody's trouble. */
const oldAfterMs = 60_000;

/** Why the broker refuses messages for a while. */
export const refusedText: string =
  'a queue that takes them is full (x-max-length or x-max-length-bytes, with x-overflow reject-publish), or is not available';

/** Which destinations refuse messages at present, each a trouble of its own. */
export class Refusals {
  readonly #troubles: Troubles;
  /** When each refused the last one, by the clock that never steps. */
  readonly #at = new Map<string, number>();

  constructor(troubles: Troubles) {
    this.#troubles = troubles;
  }

  /** The broker refused a message. */
  begin(target: Target): void {
    const destination = destinationOf(target);
    this.#at.set(destination, performance.now());
    this.#troubles.begin(subjectOf(destination), `RabbitMQ refuses messages: ${refusedText}`);
  }

  /** The broker took a message. */
  end(target: Target): void {
    if (this.#at.size > 0) this.#end(destinationOf(target));
  }

  /** What refused messages, and is not published to any more, is no trouble of anybody's. */
  forgetOld(): void {
    const old = performance.now() - oldAfterMs;
    for (const [destination, at] of this.#at) if (at < old) this.#end(destination);
  }

  #end(destination: string): void {
    if (this.#at.delete(destination)) this.#troubles.end(subjectOf(destination));
  }
}

/** How errors and health name where a message goes. */
export function destinationOf({ exchange, routingKey }: Target): string {
  return exchange === '' ? `queue "${routingKey}"` : `topic "${exchange}"`;
}

function subjectOf(destination: string): string {
  return `publishing to ${destination}`;
}
