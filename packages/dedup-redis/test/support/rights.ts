import { readFileSync } from 'node:fs';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const [, sentence = ''] = readme.split('The user needs ');

/** The rights of the user, as the README has them, without those that only a Cluster asks for. */
export const rights: readonly string[] = [...(sentence.split('\n\n')[0] ?? '').matchAll(/[+~][^\s`]+/g)]
  .map(String)
  .filter((right) => right !== '+cluster');

/** Of `ACL SETUSER`: a user who may do this alone. */
export function restricted(to: readonly string[]): string[] {
  return ['payments', 'reset', 'on', '>secret', ...to];
}
