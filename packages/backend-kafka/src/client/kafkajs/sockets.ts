import { connect, isIP, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';
import type { KafkaSocketOptions } from '../../options.ts';
import type { BrokerAddress } from '../address.ts';

const keepAliveMs = 60_000;

/** kafkajs splits addresses at their first colon, so those of IPv6 are hidden from it until a socket is made. */
export function hidden({ host, port }: BrokerAddress): string {
  return `${host.includes(':') ? `[${host.replaceAll(':', '_')}]` : host}:${port}`;
}

function shown(host: string): string {
  return host.startsWith('[') ? host.slice(1, -1).replaceAll('_', ':') : host;
}

/** @param custom makes the sockets in place of this. */
export function socketFactory(custom: ((options: KafkaSocketOptions) => Socket) | undefined): ISocketFactory {
  return ({ host: given, port, ssl, onConnect }) => {
    const host = shown(given);
    if (custom !== undefined) return custom({ host, port, ssl: ssl ?? undefined, onConnect });
    const servername = isIP(host) === 0 ? { servername: host } : {};
    const socket = ssl
      ? connectSecurely({ host, port, ...servername, ...ssl }, onConnect)
      : connect({ host, port }, onConnect);
    return socket.setKeepAlive(true, keepAliveMs);
  };
}
