import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Handle } from './broker.ts';
import { freePort, isRunning, run, until } from './processes.ts';

const bootsWithinMs = 30_000;
/** A write to a slow disk holds up even SIGKILL. */
const goneWithinMs = 60_000;

/** Where a node speaks TLS, and with which PEM files. */
export interface NodeTls {
  readonly port: number;
  readonly certificate: string;
  readonly key: string;
}

/** A node by its name, and the folder of its data. */
export interface NodeHandle extends Handle {
  readonly node: string;
  readonly directory: string;
}

/** Starts a node that shares nothing with another one; resolves when it is there, before it answers. */
export async function startNode(port: number, tls?: NodeTls): Promise<NodeHandle> {
  const directory = await mkdtemp(join(tmpdir(), 'melange-rabbitmq-'));
  const handle = { node: `melange-${port}@localhost`, directory };
  try {
    await launch(handle, port, tls);
    await until(() => isNodeThere(handle), bootsWithinMs, `the start of ${handle.node}`);
    return handle;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

async function launch({ node, directory }: NodeHandle, port: number, tls?: NodeTls): Promise<void> {
  const settings = [`listeners.tcp.1 = 127.0.0.1:${port}`, 'log.file.level = warning'];
  if (tls !== undefined) {
    const certificate = join(directory, 'certificate.pem');
    const key = join(directory, 'key.pem');
    // The user that runs the server must be able to read them.
    await copyFile(tls.certificate, certificate);
    await copyFile(tls.key, key);
    settings.push(`listeners.ssl.1 = 127.0.0.1:${tls.port}`, 'ssl_options.verify = verify_none');
    settings.push(`ssl_options.certfile = ${certificate}`, `ssl_options.keyfile = ${key}`);
  }
  await writeFile(join(directory, 'rabbitmq.conf'), `${settings.join('\n')}\n`);
  await writeFile(join(directory, 'enabled_plugins'), '[].\n');
  // Debian's script, run by root, runs the server as this user.
  if (isRoot()) await run('chown', ['-R', 'rabbitmq:rabbitmq', directory]);
  const env = {
    ...process.env,
    RABBITMQ_NODENAME: node,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_DIST_PORT: String(await freePort()),
    // Erlang's own ports on this machine only, too: whoever reaches them controls the node. What is being
    // dead-lettered while the node starts is lost on its way now and then, and sent again after this time: by
    // default three minutes, which is long for a retry.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '-kernel inet_dist_use_interface {127,0,0,1} -rabbit dead_letter_worker_publisher_confirm_timeout 3000',
    ERL_EPMD_ADDRESS: '127.0.0.1',
    RABBITMQ_MNESIA_BASE: directory,
    RABBITMQ_LOG_BASE: directory,
    RABBITMQ_PID_FILE: pidFile(directory),
    RABBITMQ_ENABLED_PLUGINS_FILE: join(directory, 'enabled_plugins'),
    RABBITMQ_CONFIG_FILE: join(directory, 'rabbitmq'),
  };
  await run(program('rabbitmq-server'), ['-detached'], { env, cwd: tmpdir() });
}

/** Runs `rabbitmqctl` on a node. */
export async function controlNode(node: string, parameters: readonly string[]): Promise<void> {
  await run(program('rabbitmqctl'), ['-n', node, ...parameters], { cwd: tmpdir() });
}

/** Whether the node's process runs, with its data. */
export async function isNodeThere(handle: Handle): Promise<boolean> {
  const pid = await pidOf(handle.directory as string);
  return pid > 0 && (await isRunning(pid, 'beam'));
}

/** Ends a node and deletes its data; resolves also if it has ended before. */
export async function stopNode(handle: Handle): Promise<void> {
  const { node, directory } = handle as { node: string; directory: string };
  // A node of the same name with other data is not this one: it stays.
  if (await isNodeThere(handle)) {
    // Now: it deletes the file as it ends, and number 0 would be this process and all that it started.
    const pid = await pidOf(directory);
    const isGone = async (): Promise<boolean> => !(await isNodeThere(handle));
    try {
      await controlNode(node, ['stop']);
      await until(isGone, goneWithinMs, `the end of ${node}`);
    } catch {
      // Nothing of it is kept: one that hangs need not be persuaded.
      if (!(await isGone())) process.kill(pid, 'SIGKILL');
      await until(isGone, goneWithinMs, `the end of ${node}`);
    }
  }
  await rm(directory, { recursive: true, force: true });
}

async function pidOf(directory: string): Promise<number> {
  return Number(await readFile(pidFile(directory), 'utf8').catch(() => ''));
}

function pidFile(directory: string): string {
  return join(directory, 'pid');
}

/** Debian's scripts in the path refuse everyone but root and `rabbitmq`; those behind them do not. */
function program(name: string): string {
  const behind = `/usr/lib/rabbitmq/bin/${name}`;
  return !isRoot() && existsSync(behind) ? behind : name;
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
