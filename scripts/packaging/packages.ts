import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isInstalled, run } from '../../apps/brokers/src/processes.ts';

/** Top folder of the repository. */
export const repository: string = fileURLToPath(new URL('../../', import.meta.url));

/** What a package.json says, as far as packing and testing read it. */
export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly exports?: Readonly<Record<string, unknown>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** A package of the repository that is published. */
export interface PublicPackage {
  /** Name of its folder in `packages/`. */
  readonly folder: string;
  readonly path: string;
  readonly manifest: PackageManifest;
}

/** The packages that are published, in the order of their folders. */
export function publicPackages(root: string = repository): readonly PublicPackage[] {
  const found = readdirSync(join(root, 'packages')).map((folder) => {
    const path = join(root, 'packages', folder);
    const manifest = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as PackageManifest;
    return { folder, path, manifest };
  });
  return found.filter(({ manifest }) => manifest.private !== true);
}

/** Builds what has changed since it was built last. */
export async function buildAll(): Promise<void> {
  await pnpm('build');
}

/** Builds and packs every published package; resolves with the path of each tarball, by name of the package. */
export async function packAll(destination: string): Promise<ReadonlyMap<string, string>> {
  const packages = publicPackages();
  await buildAll();
  await pnpm('--recursive', '--filter', './packages/*', 'pack', '--pack-destination', destination);
  return new Map(
    packages.map(({ manifest: { name, version } }) => {
      const file = `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;
      return [name, join(destination, file)];
    }),
  );
}

/** The pnpm that runs this, which is on the path then; else the one that npm has or fetches. */
async function pnpm(...parameters: readonly string[]): Promise<void> {
  const direct = await isInstalled('pnpm');
  const npx = ['--yes', '--prefer-offline', 'pnpm@12'];
  await run(direct ? 'pnpm' : 'npx', direct ? parameters : [...npx, ...parameters], { cwd: repository });
}
