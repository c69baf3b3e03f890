import { connect, createServer, type Server, type Socket } from 'node:net';

/** Where something listens. */
export interface Address {
  /** Host, by name or address. */
  readonly host: string;
  /** Port, 1 to 65,535. */
  readonly port: number;
}

/** Which way bytes travel: `to-target` is from the client to the broker. */
export type ProxyDirection = 'to-target' | 'to-client' | 'both';

interface Link {
  readonly client: Socket;
  readonly target: Socket;
}

/** A TCP proxy that breaks connections on demand: between a backend and its broker, to see what it survives. */
export class TcpProxy implements AsyncDisposable {
  /** Where clients connect. The same for the proxy's whole life. */
  readonly address: Address;
  readonly #target: Address;
  readonly #links = new Set<Link>();
  #server: Server | undefined;
  #stalled: { toTarget: boolean; toClient: boolean } = { toTarget: false, toClient: false };
  #resetAfterBytes = Number.POSITIVE_INFINITY;
  #bytesToTarget = 0;
  #connectionsMade = 0;
  #isTurningAway = false;

  private constructor(target: Address, server: Server, address: Address) {
    this.#target = target;
    this.address = address;
    this.#use(server);
  }

  /** Listens on a free port of this machine. */
  static async start(target: Address): Promise<TcpProxy> {
    const server = createServer();
    const port = await listen(server, 0);
    return new TcpProxy(target, server, { host: '127.0.0.1', port });
  }

  /** Connections open now. */
  get connections(): number {
    return this.#links.size;
  }

  /** Connections accepted since the start: grows when a client reconnects. */
  get connectionsMade(): number {
    return this.#connectionsMade;
  }

  /** Bytes that clients sent, since the start. Those held by a stall count once they are read. */
  get bytesToTarget(): number {
    return this.#bytesToTarget;
  }

  /** Breaks every open connection; new ones are accepted. */
  cut(): void {
    for (const link of [...this.#links]) this.#drop(link);
  }

  /** Holds bytes back, of open connections and of new ones, without closing anything. */
  stall(direction: ProxyDirection = 'both'): void {
    this.#stalled = { toTarget: direction !== 'to-client', toClient: direction !== 'to-target' };
    this.#applyStall();
  }

  /** Lets held bytes go on. */
  resume(): void {
    this.#stalled = { toTarget: false, toClient: false };
    this.#applyStall();
  }

  /** Breaks every connection and refuses new ones, as a broker that is down does. */
  async refuse(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    this.cut();
    if (server !== undefined) await close(server);
  }

  /** Breaks every connection, and each new one at once: as `refuse`, but `connectionsMade` counts who tries. */
  turnAway(): void {
    this.#isTurningAway = true;
    this.cut();
  }

  /** Accepts connections again, on the same port. */
  async accept(): Promise<void> {
    this.#isTurningAway = false;
    if (this.#server !== undefined) return;
    const server = createServer();
    await listen(server, this.address.port);
    this.#use(server);
  }

  /** Breaks every connection once, when clients have sent so many more bytes. The bytes beyond are not passed on. */
  resetAfter(bytes: number): void {
    this.#resetAfterBytes = this.#bytesToTarget + bytes;
  }

  /** Breaks everything and stops listening. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.refuse();
  }

  #use(server: Server): void {
    this.#server = server;
    server.on('connection', (client) => this.#link(client));
  }

  #link(client: Socket): void {
    this.#connectionsMade += 1;
    if (this.#isTurningAway) {
      client.on('error', () => undefined);
      client.resetAndDestroy();
      return;
    }
    const target = connect(this.#target);
    const link: Link = { client, target };
    this.#links.add(link);
    for (const socket of [client, target]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.#drop(link));
      socket.on('close', () => this.#drop(link));
    }
    client.on('end', () => target.end());
    target.on('end', () => client.end());
    client.on('data', (chunk) => {
      const allowed = this.#resetAfterBytes - this.#bytesToTarget;
      this.#bytesToTarget += chunk.length;
      if (chunk.length > allowed) {
        this.#resetAfterBytes = Number.POSITIVE_INFINITY;
        // The part up to the limit reaches the broker, so that frames are torn in the middle.
        target.write(chunk.subarray(0, allowed), () => this.cut());
      } else if (!target.write(chunk)) {
        client.pause();
      }
    });
    target.on('data', (chunk) => {
      if (!client.write(chunk)) target.pause();
    });
    target.on('drain', () => this.#stalled.toTarget || client.resume());
    client.on('drain', () => this.#stalled.toClient || target.resume());
    this.#applyStall();
  }

  #applyStall(): void {
    for (const { client, target } of this.#links) {
      if (this.#stalled.toTarget) client.pause();
      else client.resume();
      if (this.#stalled.toClient) target.pause();
      else target.resume();
    }
  }

  #drop(link: Link): void {
    if (!this.#links.delete(link)) return;
    link.client.resetAndDestroy();
    link.target.resetAndDestroy();
  }
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
