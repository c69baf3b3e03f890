import { readFile } from 'node:fs/promises';
import { MelangeError } from '@melange/core';

const types = {
  'index.html': 'text/html; charset=utf-8',
  'sign-in.html': 'text/html; charset=utf-8',
  'page.js': 'text/javascript; charset=utf-8',
  'page.css': 'text/css; charset=utf-8',
} as const;

export type PageFile = keyof typeof types;

/** The built page, which lies beside the built package, read once. */
export class PageFiles {
  readonly #read = new Map<PageFile, Promise<Uint8Array<ArrayBuffer>>>();

  async response(name: PageFile, status = 200): Promise<Response> {
    let read = this.#read.get(name);
    if (read === undefined) {
      read = readFile(new URL(`../dist/page/${name}`, import.meta.url)).catch((cause: unknown) => {
        throw new MelangeError(
          'CONFIGURATION',
          `The page of the dashboard is not built: ${name} is missing. Run its build.`,
          { cause },
        );
      });
      this.#read.set(name, read);
      read.catch(() => this.#read.delete(name));
    }
    return new Response(await read, { status, headers: { 'content-type': types[name] } });
  }
}
