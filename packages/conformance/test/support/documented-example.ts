import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect } from 'vitest';

const documentation = new URL('../../../../docs/wire-format.md', import.meta.url);

/** For tests that start a tool written in Python, which takes its time on a busy machine, in ms. */
export const toolTimeoutMs = 120_000;

/**
 * A block of docs/wire-format.md: the first one in this language of the section.
 *
 * @param names what the block says and the test wants otherwise; each must be there.
 */
export async function documentedExample(
  section: string,
  language: string,
  names: Readonly<Record<string, string>>,
): Promise<string> {
  const [, text = ''] = (await readFile(documentation, 'utf8')).split(`\n## ${section}\n`);
  const [ofSection = ''] = text.split('\n## ');
  const [, block = ''] = ofSection.split(`\n\`\`\`${language}\n`);
  let [code = ''] = block.split('\n```\n');
  for (const [name, replacement] of Object.entries(names)) {
    expect(code).toContain(name);
    code = code.replaceAll(name, replacement);
  }
  return code;
}

/** Whether a program can be run, with these parameters. */
export async function canRun(program: string, ...parameters: string[]): Promise<boolean> {
  try {
    await promisify(execFile)(program, parameters);
    return true;
  } catch {
    return false;
  }
}
