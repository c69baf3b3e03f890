import type { Options } from '../client/connection.ts';
import { codeOf } from '../errors.ts';
import type { Channels } from './channels.ts';
import { deadLetterExchange } from './names.ts';

/** What is known of a queue that somebody else may have declared. */
export interface QueueSettings {
  /** `quorum`, `classic`, `stream`; `undefined` where the broker does not tell. */
  readonly type: string | undefined;
  /** Its arguments, by their names. */
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Settings of queues that were not declared by this process, asked for once each. */
export class Inspection {
  readonly #channels: Channels;
  readonly #settings = new Map<string, Promise<QueueSettings | undefined>>();

  constructor(channels: Channels) {
    this.#channels = channels;
  }

  /** Nothing for a queue that is not there. */
  settingsOf(queue: string): Promise<QueueSettings | undefined> {
    const known = this.#settings.get(queue);
    if (known !== undefined) return known;
    const asked = this.#ask(queue);
    this.#settings.set(queue, asked);
    const forget = (): void => this.forget(queue);
    // One that is not there, or was not told of, is asked for again.
    asked.then((settings) => settings?.type === undefined && forget(), forget);
    return asked;
  }

  /** The queue was deleted: one of its name may be another one. */
  forget(queue: string): void {
    this.#settings.delete(queue);
  }

  async #ask(queue: string): Promise<QueueSettings | undefined> {
    const exchange = deadLetterExchange(queue);
    const guess = (await this.#channels.exchangeExists(exchange))
      ? { 'x-dead-letter-exchange': exchange, 'x-dead-letter-routing-key': '?' }
      : {};
    return inspect(this.#channels, queue, guess);
  }
}

/** No queue has so many settings that differ from none. */
const maxQuestions = 20;
/** Not a type of any queue: no queue is ever made by asking. */
const noType = '?';

const answer =
  /inequivalent arg '([^']+)' for queue .*: received .* but current is (?:(none)|the value '(.*)' of type '(\w+)'|'(.*)')/s;

/**
 * Asks for the settings of a queue. AMQP 0-9-1 tells none, but RabbitMQ names the first that differs when a queue is
 * declared with others, and its value: asked again with that one, it names the next. Each question is an error in the
 * broker's log, so the answer is to be kept. An answer has 255 bytes: of a queue with a very long name nothing is learnt.
 *
 * @param guess arguments that it may well have: what is right needs no question.
 * @returns `undefined` when there is no such queue.
 */
async function inspect(
  channels: Channels,
  name: string,
  guess: Readonly<Record<string, unknown>> = {},
): Promise<QueueSettings | undefined> {
  const settings: Record<string, unknown> = { ...guess };
  const answered = new Set<string>();
  const options: { -readonly [Name in keyof Options.AssertQueue]: unknown } = { durable: true };
  for (let question = 0; question < maxQuestions; question += 1) {
    const reason = await refusal(() =>
      channels.use(
        (channel) =>
          channel.assertQueue(name, {
            ...options,
            arguments: { ...settings, 'x-queue-type': noType },
          } as object),
        `queue "${name}"`,
      ),
    );
    if (reason === undefined) break;
    if (
      reason.includes(`unsupported queue type '${noType}'`) ||
      reason.includes("invalid arg 'x-queue-type'")
    )
      return undefined;
    const [, setting, none, typed, type, text] = answer.exec(reason) ?? [];
    if (setting === undefined) break;
    const value = none === undefined ? settingOf(text ?? typed ?? '', type) : undefined;
    if (setting === 'x-queue-type')
      return { type: value === undefined ? 'classic' : String(value), arguments: settings };
    if (setting === 'durable') options.durable = value === 'true';
    else if (setting === 'auto_delete') options.autoDelete = value === 'true';
    else if (answered.has(setting)) break;
    else settings[setting] = value;
    answered.add(setting);
  }
  for (const [setting, value] of Object.entries(guess)) {
    // It may be right, but nobody said so.
    if (settings[setting] === value) delete settings[setting];
  }
  return { type: undefined, arguments: settings };
}

/** Why the broker refused; `undefined` for anything that is not about settings. */
async function refusal(declare: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await declare();
    return undefined;
  } catch (error) {
    const cause = (error as { readonly cause?: unknown }).cause ?? error;
    return codeOf(cause) === 406 && cause instanceof Error ? cause.message : undefined;
  }
}

function settingOf(text: string, type: string | undefined): string | number | boolean {
  if (type === 'bool') return text === 'true';
  return type === undefined || type === 'longstr' ? text : Number(text);
}
