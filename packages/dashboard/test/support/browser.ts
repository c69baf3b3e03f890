import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { install, isInstalled } from '@melange/brokers';
import { type Browser, chromium } from 'playwright-core';

/** Bundles the page, which a fresh clone does not have. */
export async function buildPage(): Promise<void> {
  const script = fileURLToPath(new URL('../../page/build.mjs', import.meta.url));
  await promisify(execFile)(process.execPath, [script]);
}

/** Debian's Chromium, which is installed where it can be; else the reason that there is none. */
export async function findBrowser(): Promise<string | undefined> {
  if (await isInstalled('chromium')) return undefined;
  try {
    await install('chromium');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
}
