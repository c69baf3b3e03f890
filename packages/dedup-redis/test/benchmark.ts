// Rate of claims, one after the other and a hundred at a time. Run: npx tsx packages/dedup-redis/test/benchmark.ts
import { randomUUID } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { cpus } from 'node:os';
import { startRedis } from '@melange/brokers';
import { RedisDeduplicationCache } from '../src/index.ts';

const concurrency = 100;
const rounds = 5;

const server = await startRedis();
const far = await relay(server.port, 1);
console.log(`${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}, all on one machine`);
await measure('loopback', server.port, { sequential: 10_000, concurrent: 200_000 });
await measure('1 ms away (2 ms both ways)', far.port, { sequential: 300, concurrent: 100_000 });
far.close();
await server.stop();

async function measure(
  where: string,
  port: number,
  claims: { readonly sequential: number; readonly concurrent: number },
): Promise<void> {
  const cache = new RedisDeduplicationCache({ redis: { port }, namespace: randomUUID(), timeoutMs: 30_000 });
  await rate(cache, 20_000, concurrency);
  const sequential: number[] = [];
  const concurrent: number[] = [];
  // Alternating, so that a slow moment of the machine meets both.
  for (let round = 0; round < rounds; round += 1) {
    sequential.push(await rate(cache, claims.sequential, 1));
    concurrent.push(await rate(cache, claims.concurrent, concurrency));
  }
  await cache.close();
  const [one, many] = [median(sequential), median(concurrent)];
  console.log(
    `${where}: ${format(one)} claims/s one after the other, ${format(many)} at concurrency ${concurrency}: ` +
      `${(many / one).toFixed(1)} times`,
  );
}

/** Claims of new keys per second, as many at a time. */
async function rate(cache: RedisDeduplicationCache, claims: number, atOnce: number): Promise<number> {
  const run = randomUUID();
  let claimed = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (claimed < claims) {
        claimed += 1;
        await cache.claim(`billing:${run}-${claimed}`, { leaseMs: 30_000 });
      }
    }),
  );
  return (claims / (performance.now() - start)) * 1_000;
}

function median(values: readonly number[]): number {
  return values.toSorted((left, right) => left - right)[Math.floor(values.length / 2)] as number;
}

function format(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** A longer way to the port of this machine: each piece of data waits that long, in both directions. */
async function relay(target: number, delayMs: number): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const pass = (from: Socket, to: Socket): void => {
    sockets.add(from);
    from.setNoDelay();
    from.on('data', (data) => setTimeout(() => to.write(data), delayMs));
    from.on('close', () => to.destroy());
    from.on('error', () => undefined);
  };
  const listener = createServer((client) => {
    const onward = connect(target, '127.0.0.1');
    pass(client, onward);
    pass(onward, client);
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  return {
    port: (listener.address() as { port: number }).port,
    close() {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}
