import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { canStartHere, startNats } from '../src/index.ts';
import { brokers } from '../src/table.ts';

/** Says lines to a server, and resolves with what it said until it said `end`. */
function talk(url: string, lines: readonly string[], end: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let heard = '';
    const socket = connect(Number(port), hostname, () => socket.write(lines.join('\r\n').concat('\r\n')));
    socket.once('error', reject);
    socket.on('data', (data) => {
      heard += data.toString();
      if (!heard.includes(end)) return;
      socket.destroy();
      resolve(heard);
    });
  });
}

/** A request of JetStream's, and its answer. */
function ask(url: string, subject: string, request: object): Promise<string> {
  const body = JSON.stringify(request);
  const lines = ['CONNECT {"verbose":false}', 'SUB answer 1', `PUB ${subject} answer ${body.length}`, body];
  return talk(url, lines, '}\r\n');
}

test.skipIf(!canStartHere('nats'))(
  'a restart keeps streams; stopping ends it; it listens on this machine only (skipped where none can be started)',
  { timeout: 60_000 },
  async () => {
    const own = await startNats();
    const answers = (url: string): Promise<boolean> | undefined => brokers.get('nats')?.answers(url);
    try {
      await ask(own.url, '$JS.API.STREAM.CREATE.kept', { name: 'kept', subjects: ['kept'] });
      await own.restart();
      const heard = await talk(
        own.url,
        ['CONNECT {"verbose":false}', 'SUB answer 1', 'PUB $JS.API.STREAM.NAMES answer 0', ''],
        'stream_names_response',
      );
      expect(heard).toContain('"streams":["kept"]');
      expect(await answers(own.url.replace('127.0.0.1', '127.0.0.2'))).toBe(false);
    } finally {
      await own.stop();
    }
    expect(await answers(own.url)).toBe(false);
  },
);
