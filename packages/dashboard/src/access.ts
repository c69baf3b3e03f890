import { randomBytes, timingSafeEqual } from 'node:crypto';
import { MelangeError } from '@melange/core';
import type { DashboardOptions } from './options.ts';

const cookieName = 'melange_dashboard';
const minTokenCharacters = 16;
const maxSessions = 1_000;

/** Tells who asks, and whether a request was made by the page itself. */
export class Access {
  readonly #token: string | undefined;
  readonly #authorize: DashboardOptions['authorize'];
  readonly #sessions = new Set<string>();

  /** @throws MelangeError `CONFIGURATION` for a token of fewer than 16 characters. */
  constructor({ token, authorize }: Pick<DashboardOptions, 'token' | 'authorize'>) {
    if (token !== undefined && token.length < minTokenCharacters)
      throw new MelangeError(
        'CONFIGURATION',
        `dashboard: "token" has ${token.length} characters, and needs at least ${minTokenCharacters}.`,
      );
    this.#token = token;
    this.#authorize = authorize;
  }

  /** Whether the page has a form to sign in with. */
  get hasSignIn(): boolean {
    return this.#token !== undefined && this.#authorize === undefined;
  }

  /** The user, or `undefined` for one who is refused. */
  async userOf(request: Request, isLocal: boolean): Promise<string | undefined> {
    if (this.#authorize !== undefined) return this.#authorize(request);
    if (this.#token === undefined) {
      return isLocal && namesLoopback(request) && !isForwarded(request) ? 'loopback' : undefined;
    }
    const bearer = /^Bearer (.+)$/.exec(request.headers.get('authorization') ?? '')?.[1];
    if (bearer !== undefined && this.isToken(bearer)) return 'token';
    const session = cookieOf(request);
    return session !== undefined && this.#sessions.has(session) ? 'token' : undefined;
  }

  isToken(text: string): boolean {
    if (this.#token === undefined) return false;
    const [given, wanted] = [Buffer.from(text), Buffer.from(this.#token)];
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  /** A header that signs the browser in, until it is closed or this process ends. */
  signIn(path: string): string {
    const session = randomBytes(32).toString('base64url');
    this.#sessions.add(session);
    for (const oldest of this.#sessions) {
      if (this.#sessions.size <= maxSessions) break;
      this.#sessions.delete(oldest);
    }
    return `${cookieName}=${session}; Path=${path}; HttpOnly; SameSite=Strict`;
  }
}

/**
 * Whether the page may have made this request. A page of another site cannot send JSON with a header of its own without
 * being asked first (CORS), and a browser tells where a request comes from.
 */
export function isOwnRequest(request: Request): boolean {
  const site = request.headers.get('sec-fetch-site');
  if (site !== null && site !== 'same-origin' && site !== 'none') return false;
  const origin = request.headers.get('origin');
  if (origin !== null && !(URL.canParse(origin) && new URL(origin).host === hostOf(request))) return false;
  const type = request.headers.get('content-type') ?? '';
  return /^application\/json\b/i.test(type) && request.headers.get('x-melange-dashboard') === '1';
}

/** A site that has its own name point to 127.0.0.1 (DNS rebinding) is known by that name. */
function namesLoopback(request: Request): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i.test(hostOf(request));
}

/** A proxy on this machine speaks for others. */
function isForwarded({ headers }: Request): boolean {
  return headers.has('forwarded') || headers.has('x-forwarded-for') || headers.has('via');
}

function hostOf(request: Request): string {
  return request.headers.get('host') ?? new URL(request.url).host;
}

function cookieOf(request: Request): string | undefined {
  for (const pair of (request.headers.get('cookie') ?? '').split(';')) {
    const [name, value] = pair.trim().split('=');
    if (name === cookieName) return value;
  }
  return undefined;
}
