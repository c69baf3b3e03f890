import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { MelangeError } from '@melange/core';
import { createDashboard } from './dashboard.ts';
import type { DashboardOptions } from './options.ts';

/** A dashboard as a part of an application's own server. */
export interface DashboardHandler {
  /** Answers a request. Never rejects. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** For Node's `http`, and for what takes its requests, such as Express. */
  readonly node: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  /** Ends looks and changes under way: each letter is in one place, or with one id in two. Backends stay open. */
  close(): Promise<void>;
}

/** A dashboard that listens. */
export interface ServedDashboard {
  /** Address of the page. */
  readonly url: string;
  /** Stops listening, and ends looks and changes under way: each letter is in one place, or with one id in two. */
  close(): Promise<void>;
}

/** Where a dashboard listens. */
export interface ServeOptions extends DashboardOptions {
  /** Port; 0 takes a free one. Default: 7654. */
  readonly port?: number;
  /** Address or name to listen on. Any but a loopback address needs `token` or `authorize`. Default: 127.0.0.1. */
  readonly host?: string;
}

/**
 * A dashboard to be mounted in an application: `fetch` for servers that speak `Request` and `Response`, `node` for Node's own.
 * `fetch` does not know where a request comes from, and so answers only with `token` or `authorize`.
 *
 * @throws MelangeError `CONFIGURATION` for options that make no sense.
 */
export function dashboardHandler(options: DashboardOptions): DashboardHandler {
  const { fetch, close } = createDashboard(options);
  const node = getRequestListener(
    (request, { incoming }) => fetch(request, { isLocal: isLoopback(incoming.socket.remoteAddress) }),
    { overrideGlobalObjects: false },
  );
  return { fetch: (request) => fetch(request), close, node: node as DashboardHandler['node'] };
}

/**
 * Serves the dashboard, on this machine alone unless told otherwise.
 *
 * @throws MelangeError `CONFIGURATION` for options that make no sense, among them another machine's access without a token.
 */
export async function serveDashboard({
  port = 7654,
  host = '127.0.0.1',
  ...options
}: ServeOptions): Promise<ServedDashboard> {
  const isOpen = options.token === undefined && options.authorize === undefined;
  if (isOpen && !(host === 'localhost' || isLoopback(host)))
    throw new MelangeError(
      'CONFIGURATION',
      `dashboard: "host" ${JSON.stringify(host)} lets other machines in. Give a "token", or "authorize".`,
    );
  const handler = dashboardHandler(options);
  const server = createServer((request, response) => void handler.node(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { address, family, port: actual } = server.address() as AddressInfo;
  const name = family === 'IPv6' ? `[${address}]` : address;
  return {
    url: `http://${name}:${actual}${options.basePath ?? ''}/`,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await handler.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/.test(address);
}
