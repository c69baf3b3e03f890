import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Handle } from './broker.ts';
import { cached } from './cache.ts';
import { freePort, install, isInstalled, isRunning, run, startDetached, until } from './processes.ts';

/** The version that is started unless `MELANGE_KAFKA_VERSION` names another. */
export const currentVersion = '4.4.0';
/** A write to a slow disk holds up even SIGKILL. */
const goneWithinMs = 60_000;
/** A controller that is its own only voter has nobody to wait for, and waits all the same. */
const orderlyWithinMs = 2_000;
const mainClass = 'kafka.Kafka';

/** Small and quick to start; a broker for tests compiles little and holds little. */
const javaOptions = ['-Xms128m', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];

/** Makes the data of a node that shares nothing with another one, and starts it; resolves before it answers. */
export async function startNode(port: number, version?: string): Promise<Handle> {
  await programs();
  const jars = await jarsOf(version ?? process.env.MELANGE_KAFKA_VERSION ?? currentVersion);
  const directory = await mkdtemp(join(tmpdir(), 'melange-kafka-'));
  const configuration = join(directory, 'server.properties');
  try {
    await writeFile(configuration, await properties(directory, port));
    await writeFile(join(directory, 'classpath'), jars);
    // With "=", for one id in 64 begins with "-".
    const format = ['format', `--cluster-id=${randomBytes(16).toString('base64url')}`, '-c', configuration];
    await run('java', [...javaOptions, '-cp', jars, 'kafka.tools.StorageTool', ...format]);
    const handle = { directory };
    await resumeNode(handle);
    return handle;
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Starts a stopped node again on its data; resolves before it answers. */
export async function resumeNode({ directory }: Handle): Promise<void> {
  const folder = directory as string;
  const jars = await readFile(join(folder, 'classpath'), 'utf8');
  const parameters = ['-cp', jars, mainClass, join(folder, 'server.properties')];
  const pid = await startDetached('java', [...javaOptions, ...parameters]);
  await writeFile(join(folder, 'pid'), String(pid));
}

/** Whether the node's process runs. */
export async function isNodeThere({ directory }: Handle): Promise<boolean> {
  const pid = await pidOf(directory as string);
  return pid > 0 && (await isRunning(pid, directory as string));
}

/** Ends the process and keeps the data; resolves also if it has ended before. */
export async function haltNode(handle: Handle): Promise<void> {
  if (!(await isNodeThere(handle))) return;
  const pid = await pidOf(handle.directory as string);
  process.kill(pid, 'SIGTERM');
  const gone = async (): Promise<boolean> => !(await isNodeThere(handle));
  await until(gone, orderlyWithinMs, 'an orderly end of Kafka').catch(() => {
    process.kill(pid, 'SIGKILL');
    return until(gone, goneWithinMs, 'the end of Kafka');
  });
}

/** Ends a node and deletes its data. */
export async function stopNode(handle: Handle): Promise<void> {
  await haltNode(handle);
  await rm(handle.directory as string, { recursive: true, force: true });
}

async function pidOf(directory: string): Promise<number> {
  return Number(await readFile(join(directory, 'pid'), 'utf8').catch(() => ''));
}

async function programs(): Promise<void> {
  if (!(await isInstalled('java'))) await install('default-jre-headless');
  if (!(await isInstalled('mvn'))) await install('maven');
}

/** Class path of a version, fetched from Maven Central once. */
async function jarsOf(version: string): Promise<string> {
  const folder = await cached(`kafka-${version}`, (unfinished) => fetchJars(unfinished, version));
  return join(folder, 'lib', '*');
}

async function fetchJars(directory: string, version: string): Promise<void> {
  await writeFile(join(directory, 'pom.xml'), pomOf(version));
  const goal = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
  const options = ['-q', '-B', goal, '-DincludeScope=runtime', '-DoutputDirectory=lib'];
  try {
    await run('mvn', options, { cwd: directory, timeout: 300_000 });
  } catch (error) {
    // Maven says on standard output why it failed.
    const { stdout = '' } = error as { stdout?: string };
    const reason = stdout.split('\n').find((line) => line.startsWith('[ERROR]')) ?? 'mvn did not finish';
    throw new Error(`Kafka ${version} cannot be fetched from Maven Central: ${reason.slice(0, 400)}`);
  }
}

function pomOf(version: string): string {
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>melange</groupId><artifactId>kafka-of-the-tests</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version>
    </dependency>
  </dependencies>
</project>
`;
}

/** One node that is broker and controller, on 127.0.0.1 only, whose groups form at once. */
async function properties(directory: string, port: number): Promise<string> {
  const controllerPort = await freePort();
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': '1',
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': join(directory, 'data'),
    'num.network.threads': '2',
    'num.io.threads': '4',
    'num.partitions': '1',
    'auto.create.topics.enable': 'false',
    'offsets.topic.replication.factor': '1',
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1',
    'transaction.state.log.num.partitions': '1',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'log.cleaner.dedupe.buffer.size': '16777216',
    'log.index.size.max.bytes': '262144',
    // A node that was killed may register again only after the session of its former life.
    'broker.session.timeout.ms': '2000',
    'broker.heartbeat.interval.ms': '500',
    // One node has nobody to hand its partitions over to.
    'controlled.shutdown.enable': 'false',
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('');
}
