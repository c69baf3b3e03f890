import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { debianRoot, ownRelease, packageVersion, versionIn, whyNoDebianRoot } from '@melange/brokers';
import { hasDockerEngine } from '../../apps/brokers/src/compose.ts';
import { run } from '../../apps/brokers/src/processes.ts';
import { type BrokerVersion, type BrokerVersions, table } from './table.ts';

/** In which a test run gets that version of the broker, and nothing else. */
export interface Environment {
  /** `RabbitMQ 4.0.5` */
  readonly name: string;
  /** Where the broker comes from, in words. */
  readonly source: string;
  readonly env: NodeJS.ProcessEnv;
  close(): Promise<void>;
}

const release = 'trixie';

/** @throws Error that says why the version cannot be had here. */
export async function environmentFor(broker: BrokerVersions, version: BrokerVersion): Promise<Environment> {
  // Its record of what was started is apart from that of other runs, and so is its data.
  const folder = await mkdtemp(join(tmpdir(), 'melange-versions-'));
  await run('chmod', ['755', folder]);
  const own = {
    ...process.env,
    TMPDIR: folder,
    MELANGE_BROKERS: 'own',
    MELANGE_REQUIRE_BROKERS: broker.broker,
  };
  const close = (): Promise<void> => rm(folder, { recursive: true, force: true });
  const { product, image, maven } = version;
  try {
    if (maven !== undefined) {
      const env = { ...own, MELANGE_KAFKA_VERSION: maven };
      return { name: `${product} ${maven}`, source: 'Maven Central', env, close };
    }
    if (image !== undefined && broker.imageVariable !== undefined && (await hasDockerEngine())) {
      const env = { ...own, [broker.imageVariable]: image };
      return { name: `${product} (${image})`, source: 'Docker', env, close };
    }
    const withoutDocker = { ...own, DOCKER_HOST: 'tcp://127.0.0.1:1' };
    if (version.debian13 === undefined || version.programs === undefined) {
      const number = await installedVersion(version.installed as string);
      return {
        name: `${product} ${number}`,
        source: `Debian ${await ownRelease()}`,
        env: withoutDocker,
        close,
      };
    }
    const reason = await whyNoDebianRoot();
    if (reason !== undefined) throw new Error(reason);
    const root = await debianRoot(release, packages());
    const programs = join(folder, 'programs');
    await root.writePrograms(programs, version.programs);
    return {
      name: `${product} ${await packageVersion(root, version.debian13)}`,
      source: 'Debian 13',
      env: { ...withoutDocker, PATH: `${programs}:${process.env.PATH}` },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** All of them in one root: it takes minutes to make. */
function packages(): string[] {
  const all = table.flatMap(({ versions }) => versions.flatMap(({ debian13 }) => debian13 ?? []));
  return [...new Set(all)];
}

async function installedVersion(name: string): Promise<string> {
  const { stdout } = await run('dpkg-query', ['-W', name]).catch(() => ({ stdout: '' }));
  if (stdout === '') throw new Error(`the package ${name} is not installed: pnpm brokers up installs it`);
  return versionIn(stdout);
}
