import { MelangeError } from '@melange/core';

const standardPort = 9092;
/** A name or an IPv4 address, or an IPv6 address in brackets; then a port. */
const form = /^(?:kafka:\/\/)?(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?\/?$/;

/** Where a broker listens. */
export interface BrokerAddress {
  /** IPv6 addresses are without brackets. */
  readonly host: string;
  readonly port: number;
}

/** As people write it: `host:port`, `[::1]:port`. */
export function addressText({ host, port }: BrokerAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/**
 * Reads `host:port` and `kafka://host:port`, with `[::1]` for the host as well; port 9092 where there is none.
 *
 * @throws MelangeError `CONFIGURATION` for anything else.
 */
export function parseAddress(text: string): BrokerAddress {
  const [, ipv6, name, digits] = form.exec(text) ?? [];
  const host = ipv6 ?? name;
  const port = Number(digits ?? standardPort);
  if (host === undefined || !(port >= 1 && port <= 65_535))
    throw new MelangeError(
      'CONFIGURATION',
      // Credentials are no part of an address: whoever writes them there must not find them in a log.
      `"${text.replace(/^.*@/s, '…@')}" is no address of a broker: write host:port, [::1]:port or kafka://host:port.`,
    );
  return { host, port };
}
