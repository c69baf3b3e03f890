import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TcpProxy } from '../src/index.ts';

let echo: Server;
let proxy: TcpProxy;
const clients: Socket[] = [];

beforeEach(async () => {
  echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
  echo.listen(0, '127.0.0.1');
  await once(echo, 'listening');
  const address = echo.address();
  if (typeof address !== 'object' || address === null) throw new Error('no address');
  proxy = await TcpProxy.start({ host: '127.0.0.1', port: address.port });
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy[Symbol.asyncDispose]();
  echo.close();
});

async function client(): Promise<Socket> {
  const socket = connect(proxy.address);
  clients.push(socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** `once` would reject with the error that a reset is. */
function closing(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function echoed(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString();
}

it('passes bytes both ways', async () => {
  expect(await echoed(await client(), 'hello')).toBe('hello');
  expect(proxy.bytesToTarget).toBe(5);
});

it('cuts, and takes new connections', async () => {
  const socket = await client();
  await echoed(socket, 'x');
  const closed = closing(socket);
  proxy.cut();
  await closed;
  expect(await echoed(await client(), 'again')).toBe('again');
  expect(proxy.connectionsMade).toBe(2);
});

it('holds bytes back while stalled', async () => {
  const socket = await client();
  await echoed(socket, 'x');
  proxy.stall();
  let isHeld = true;
  const answer = echoed(socket, 'held').finally(() => {
    isHeld = false;
  });
  // Nothing tells that bytes do not come: a short wait is the evidence.
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(isHeld).toBe(true);
  proxy.resume();
  expect(await answer).toBe('held');
});

it('refuses, and accepts on the same port', async () => {
  await proxy.refuse();
  await expect(client()).rejects.toThrow();
  await proxy.accept();
  expect(await echoed(await client(), 'back')).toBe('back');
});

it('resets once after so many bytes', async () => {
  const socket = await client();
  await echoed(socket, '12345');
  proxy.resetAfter(3);
  const closed = closing(socket);
  socket.write('67890');
  await closed;
  expect(await echoed(await client(), 'longer than three')).toBe('longer than three');
});
