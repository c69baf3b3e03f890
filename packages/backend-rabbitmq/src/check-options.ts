import { MelangeError } from '@melange/core';
import { checkDelayMs, checkWholeNumber } from '@melange/core/adapter';
import type { RabbitMqBackendOptions } from './options.ts';

/** @throws MelangeError `CONFIGURATION` for an address that is none, and for numbers that make no sense. */
export function checkOptions(options: RabbitMqBackendOptions): void {
  const { url, connectTimeoutMs = 0, publishTimeoutMs = 0, heartbeatSeconds = 0 } = options;
  checkDelayMs('connectTimeoutMs', connectTimeoutMs);
  checkDelayMs('publishTimeoutMs', publishTimeoutMs);
  checkWholeNumber('heartbeatSeconds', heartbeatSeconds, 0);
  if (typeof url === 'string') {
    if (!isAddress(url)) {
      // Without the address, which may hold a password.
      const text =
        'url must be an amqp:// or amqps:// address with a port of at most 65535, as amqp://user@host:5672/vhost.';
      throw new MelangeError('CONFIGURATION', text);
    }
  } else if (url.port !== undefined) {
    checkWholeNumber('url.port', url.port, 1);
    if (url.port > 65_535)
      throw new MelangeError('CONFIGURATION', `url.port must be at most 65535, not ${url.port}.`);
  }
}

function isAddress(url: string): boolean {
  try {
    return /^amqps?:$/.test(new URL(url).protocol) && new URL(url).hostname !== '';
  } catch {
    return false;
  }
}
