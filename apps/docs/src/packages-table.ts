import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Capabilities } from '@melange/core';
import { aligned } from '../../../packages/conformance/src/report/table.ts';
import { root } from './markdown-page.ts';

/** A package of the repository. */
export interface Package {
  /** Name of its folder: `backend-kafka`. */
  readonly folder: string;
  readonly description: string;
  /** What a backend declares. */
  readonly capabilities: Capabilities | undefined;
}

/** The order in which readers meet them; the others follow by name. */
const first = [
  'core',
  'service',
  'nestjs',
  'lambda',
  'backend-memory',
  'backend-rabbitmq',
  'backend-sqs',
  'backend-kafka',
  'backend-redis-streams',
  'backend-nats',
  'backend-postgres',
];

/** How the technology of a folder is written. */
const names: Readonly<Record<string, string>> = {
  memory: 'memory',
  rabbitmq: 'RabbitMQ',
  sqs: 'SQS/SNS',
  kafka: 'Kafka',
  'redis-streams': 'Redis Streams',
  nats: 'NATS',
  postgres: 'Postgres',
};

/** Every package, in the order of the tables. */
export async function readPackages(): Promise<readonly Package[]> {
  const folders = await readdir(join(root, 'packages'));
  const rank = (folder: string): number => (first.includes(folder) ? first.indexOf(folder) : first.length);
  folders.sort((one, other) => rank(one) - rank(other) || (one < other ? -1 : 1));
  return Promise.all(folders.map(readPackage));
}

async function readPackage(folder: string): Promise<Package> {
  const path = join(root, 'packages', folder);
  const { description } = JSON.parse(await readFile(join(path, 'package.json'), 'utf8')) as Package;
  if (!folder.startsWith('backend-')) return { folder, description, capabilities: undefined };
  const exported = Object.entries((await import(join(path, 'src/index.ts'))) as Record<string, unknown>);
  const found = exported.find(([name]) => name.endsWith('Capabilities'));
  return { folder, description, capabilities: found?.[1] as Capabilities | undefined };
}

/** What there is to install. */
export function packagesTable(packages: readonly Package[]): string {
  const rows = packages.map(({ folder, description }) => [
    `[\`@melange/${folder}\`](packages/${folder})`,
    description,
  ]);
  return aligned([['package', 'what it is'], ['-', '-'], ...rows]).join('\n');
}

/** What the backends declare, by the name of their technology. */
export function capabilitiesByName(packages: readonly Package[]): Readonly<Record<string, Capabilities>> {
  return Object.fromEntries(
    packages.flatMap(({ folder, capabilities }) => {
      const technology = folder.replace('backend-', '');
      return capabilities === undefined ? [] : [[names[technology] ?? technology, capabilities] as const];
    }),
  );
}
