import { hash } from 'node:crypto';

/** The members of a command's input that are looked at. */
export interface Input {
  readonly QueueUrl?: string | undefined;
  readonly Entries?: readonly { readonly Id?: string; readonly MessageBody?: string }[];
}

/** The members of an answer that are looked at: lists all, as JSON has them. */
export interface Output {
  readonly Successful?: readonly {
    readonly Id?: string;
    readonly MessageId?: string;
    readonly MD5OfMessageBody?: string;
  }[];
  readonly Messages?: readonly {
    readonly MessageId?: string;
    readonly Body?: string;
    readonly MD5OfBody?: string;
    readonly MessageAttributes?: Readonly<Record<string, { BinaryValue?: string | Uint8Array | null }>>;
  }[];
}

/** Makes of an answer what the SDK makes of it. */
type AnswerReader = (input: Input, output: Output) => void;

const asItIs: AnswerReader = () => undefined;

/** How the answers are read that are read without the SDK, by the name of their command. */
export const readersOfAnswers: ReadonlyMap<string, AnswerReader> = new Map([
  ['SendMessageBatchCommand', assertTakenAsSent],
  ['ReceiveMessageCommand', readMessages],
  ['DeleteMessageBatchCommand', asItIs],
  ['ChangeMessageVisibilityBatchCommand', asItIs],
]);

function assertTakenAsSent({ Entries = [] }: Input, { Successful = [] }: Output): void {
  const bodies = new Map(Entries.map(({ Id, MessageBody }) => [Id, MessageBody]));
  const isOther = ({ Id, MD5OfMessageBody }: (typeof Successful)[number]): boolean => {
    const body = bodies.get(Id);
    return body !== undefined && md5Of(body) !== MD5OfMessageBody;
  };
  assertNone(Successful.filter(isOther));
}

function readMessages(_: Input, { Messages = [] }: Output): void {
  assertNone(Messages.filter(({ Body, MD5OfBody }) => md5Of(Body ?? '') !== MD5OfBody));
  for (const { MessageAttributes } of Messages) {
    for (const attribute of Object.values(MessageAttributes ?? {})) {
      const { BinaryValue } = attribute;
      if (typeof BinaryValue === 'string') attribute.BinaryValue = Buffer.from(BinaryValue, 'base64');
    }
  }
}

function md5Of(text: string): string {
  return hash('md5', text);
}

function assertNone(others: readonly { readonly MessageId?: string }[]): void {
  if (others.length === 0) return;
  throw new Error(`Invalid MD5 checksum on messages: ${others.map(({ MessageId }) => MessageId).join(', ')}`);
}
