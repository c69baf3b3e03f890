import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort, startDetached } from '../../../../apps/brokers/src/processes.ts';
import { openPostgres } from '../../../postgres/src/index.ts';

/** Where Debian's package has it. */
const program = '/usr/sbin/pgbouncer';

/** Why there can be none; nothing where there can. */
export function whyNoPgBouncer(): string | undefined {
  return existsSync(program) ? undefined : 'pgbouncer is not installed';
}

/** A pgbouncer in its transaction mode before the server. */
export async function startPgBouncer(url: string): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const directory = await mkdtemp(join(tmpdir(), 'melange-pgbouncer-'));
  await chmod(directory, 0o755);
  const own = await freePort();
  const secret = password === '' ? '' : ` password=${password}`;
  const settings = [
    '[databases]',
    `${pathname.slice(1)} = host=${hostname} port=${port || 5432} user=${username}${secret}`,
    '[pgbouncer]',
    `listen_addr = 127.0.0.1`,
    `listen_port = ${own}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    'default_pool_size = 4',
  ];
  const file = join(directory, 'pgbouncer.ini');
  await writeFile(file, `${settings.join('\n')}\n`);
  const isRoot = process.getuid?.() === 0;
  const parameters = isRoot ? ['-q', '-u', 'postgres', file] : ['-q', file];
  const pid = await startDetached(program, parameters);
  const address = `postgres://${username}@127.0.0.1:${own}${pathname}`;
  for (let tries = 0; ; tries += 1) {
    const connection = openPostgres({ url: address });
    const answer = await connection.execute('select 1', []).catch((error: unknown) => error);
    await connection.close();
    if (!(answer instanceof Error)) break;
    if (tries > 100) throw answer;
    await delay(50);
  }
  return {
    url: address,
    async stop() {
      process.kill(pid, 'SIGKILL');
      await rm(directory, { recursive: true, force: true });
    },
  };
}
