import { readFileSync, writeFileSync } from 'node:fs';
import type { Message } from '@melange/core';
import { expect } from 'vitest';

/** Bytes as a fixture has them. */
export type FixtureBytes = { readonly text: string } | { readonly base64: string };

const folder = new URL('../../fixtures/wire/melange/', import.meta.url);

/** The messages whose form on each broker is kept, with their names. */
export function wireMessages(): (readonly [name: string, message: Message])[] {
  const kept = read('messages') as { name: string; message: Partial<Message> & { content: FixtureBytes } }[];
  return kept.map(({ name, message }) => {
    const { content, ...envelope } = message;
    const absent = { manifest: undefined, serializerId: undefined, key: undefined, publishedAt: undefined };
    const value = 'text' in content ? content.text : Uint8Array.from(Buffer.from(content.base64, 'base64'));
    return [name, { id: '', headers: {}, ...absent, ...envelope, content: value }];
  });
}

/**
 * Holds what is published to what was published before: a difference is a form that other services, and messages
 * still in queues, do not know. With `WRITE_WIRE_FIXTURES` set it is written anew instead.
 */
export function expectAsBefore(form: string, published: Readonly<Record<string, unknown>>): void {
  if (process.env.WRITE_WIRE_FIXTURES !== undefined) {
    writeFileSync(new URL(`${form}.json`, folder), `${JSON.stringify(published, null, 2)}\n`);
  }
  expect(JSON.parse(JSON.stringify(published))).toEqual(read(form));
}

/** What a fixture holds, by the name of its message. */
export function keptForm<Form>(form: string): Readonly<Record<string, Form>> {
  return read(form) as Readonly<Record<string, Form>>;
}

/** Readable where they are text. */
export function fixtureBytes(bytes: Uint8Array): FixtureBytes {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}

export function bytesOf(bytes: FixtureBytes): Buffer {
  return 'text' in bytes ? Buffer.from(bytes.text) : Buffer.from(bytes.base64, 'base64');
}

function read(form: string): unknown {
  return JSON.parse(readFileSync(new URL(`${form}.json`, folder), 'utf8'));
}
