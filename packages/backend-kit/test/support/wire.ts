import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Away } from './store.ts';

/** Where something listens. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A server that sends back what it is sent: the far end of every `Wire`. */
export async function startEcho(): Promise<{ readonly address: Address; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** A real connection, so that a proxy can break it: an answer is there when a byte has been to the echo and back. */
export class Wire {
  readonly #socket: Socket;
  readonly #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #isOver = false;

  private constructor(socket: Socket, onLost: (reason: string) => void) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => {
      for (const { resolve } of this.#waiting.splice(0, bytes.length)) resolve();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      const wasOver = this.#isOver;
      this.#isOver = true;
      for (const { reject } of this.#waiting.splice(0)) reject(new Away('the connection was closed'));
      if (!wasOver) onLost('the connection was closed');
    });
  }

  static async connect({ host, port }: Address, onLost: (reason: string) => void): Promise<Wire> {
    const socket = connect({ host, port });
    try {
      await once(socket, 'connect');
    } catch (error) {
      throw new Away(String(error));
    }
    const wire = new Wire(socket, onLost);
    // One that is turned away is closed at once.
    await wire.answer();
    return wire;
  }

  answer(): Promise<void> {
    if (this.#isOver) return Promise.reject(new Away('the connection is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#socket.write('.');
    });
  }

  end(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }
}
