import type { MessageContent } from '@melange/core';

/** Content that something happened to. */
export interface Mutation {
  readonly content: MessageContent;
  readonly manifest: string | undefined;
}

/** The same sequence in every run, so that a failure can be repeated (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/**
 * Most often a few changes within the content; else a part of it, content of another kind, another manifest, or
 * random bytes.
 *
 * @param others content and manifests of every type, to mix in.
 */
export function mutate(
  original: Mutation & { readonly content: MessageContent },
  others: readonly Mutation[],
  random: () => number,
): Mutation {
  const upTo = (bound: number): number => Math.floor(random() * bound);
  const other = others[upTo(others.length)] ?? original;
  const { content, manifest } = original;
  const kind = upTo(10);
  if (kind < 5) return { content: changed(content, upTo), manifest };
  if (kind < 7) return { content: content.slice(0, upTo(content.length)), manifest };
  if (kind === 7) return { content, manifest: otherManifest(other.manifest, upTo) };
  if (kind === 8) return { content: spliced(content, other.content, upTo), manifest };
  const bytes = Uint8Array.from({ length: upTo(64) }, () => upTo(256));
  return { content: random() < 0.5 ? bytes : Buffer.from(bytes).toString('latin1'), manifest };
}

/** One to four changes: a flipped bit, a removed stretch, a repeated one, a random byte, or a huge length put in. */
function changed(content: MessageContent, upTo: (bound: number) => number): MessageContent {
  let bytes = [...(typeof content === 'string' ? Buffer.from(content) : content)];
  const changes = 1 + upTo(4);
  for (let change = 0; change < changes; change += 1) {
    const at = upTo(bytes.length);
    const stretch = bytes.slice(at, at + 1 + upTo(8));
    const kind = upTo(5);
    if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << upTo(8));
    else if (kind === 1) bytes.splice(at, stretch.length);
    else if (kind === 2) bytes.splice(at, 0, ...stretch);
    else if (kind === 3) bytes.splice(at, 0, upTo(256));
    else bytes.splice(at, 1, 0xff, 0xff, 0xff, 0x7f);
    bytes = bytes.slice(0, 100_000);
  }
  const result = Uint8Array.from(bytes);
  return typeof content === 'string' ? Buffer.from(result).toString() : result;
}

function spliced(
  content: MessageContent,
  other: MessageContent,
  upTo: (bound: number) => number,
): MessageContent {
  const [head, tail] = [Buffer.from(content as string), Buffer.from(other as string)];
  const bytes = Buffer.concat([head.subarray(0, upTo(head.length)), tail.subarray(upTo(tail.length))]);
  return typeof content === 'string' ? bytes.toString() : Uint8Array.from(bytes);
}

function otherManifest(manifest: string | undefined, upTo: (bound: number) => number): string | undefined {
  const odd = [
    undefined,
    '',
    ' ',
    'Unknown',
    '__proto__',
    'constructor',
    'toString',
    '\u0000',
    'x'.repeat(10_000),
  ];
  const near = [manifest, `${manifest}2`, `.${manifest}`, manifest?.toLowerCase(), manifest?.slice(1)];
  const all = [...odd, ...near];
  return all[upTo(all.length)];
}

/** Content that is made to hurt, whatever reads it: deep nesting, claims of length, bulk. */
export function hostileContents(): Map<string, MessageContent> {
  const bulk = 1_000_000;
  return new Map<string, MessageContent>([
    ['lists nested 200,000 deep', '['.repeat(200_000)],
    ['closed lists nested 200,000 deep', '['.repeat(200_000) + ']'.repeat(200_000)],
    ['objects nested 100,000 deep', '{"a":'.repeat(100_000)],
    ['a long number', '9'.repeat(bulk)],
    ['a million spaces', ' '.repeat(bulk)],
    ['a million bytes of text', `"${'x'.repeat(bulk)}"`],
    ['a million open groups', new Uint8Array(bulk).fill(0x0b)],
    [
      'half a million empty messages',
      Uint8Array.from({ length: bulk }, (_, at) => (at % 2 === 0 ? 0x0a : 0)),
    ],
    ['half a million small numbers', Uint8Array.from({ length: bulk }, (_, at) => (at % 2 === 0 ? 0x08 : 1))],
    ['a claim of 2 GiB', Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x07)],
    ['a claim of 2^63 bytes', Uint8Array.of(0x0a, ...new Uint8Array(9).fill(0xff), 0x01)],
    ['nothing', new Uint8Array()],
    ['no text', ''],
  ]);
}
