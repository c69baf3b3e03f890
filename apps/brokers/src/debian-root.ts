import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached } from './cache.ts';
import { install, isInstalled, run } from './processes.ts';

/** A Debian beside this machine's own, in a folder, for brokers of other versions. */
export interface DebianRoot {
  readonly folder: string;
  /** Runs a program in it, to its end. */
  run(program: string, parameters: readonly string[]): Promise<string>;
  /**
   * Writes scripts that run programs in it, with the same /tmp, and resolves with their folder: first in the PATH, it gives
   * everything here that starts a broker the other version.
   */
  writePrograms(folder: string, programs: Readonly<Record<string, string>>): Promise<void>;
}

/** Why there can be none; `undefined` where there can. */
export async function whyNoDebianRoot(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'only root can make a root of another Debian';
  return (await isInstalled('apt-get')) ? undefined : 'this is no Debian';
}

/** A root of that release with these packages, made once by `debootstrap` from the mirror that this machine uses. */
export async function debianRoot(release: string, packages: readonly string[]): Promise<DebianRoot> {
  const folder = await cached(`debian-${release}-${[...packages].sort().join('-')}`, async (unfinished) => {
    if (!(await isInstalled('debootstrap'))) await install('debootstrap');
    // Owned by root and open to all, as / is: brokers run there as users of their own.
    await chmod(unfinished, 0o755);
    await run('debootstrap', ['--variant=minbase', release, unfinished, await mirror()]);
    const policy = join(unfinished, 'usr/sbin/policy-rc.d');
    // No package starts its service.
    await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await run('chroot', [unfinished, 'apt-get', 'update', '-qq'], { env });
    const quietly = ['install', '-y', '-qq', '--no-install-recommends'];
    await run('chroot', [unfinished, 'apt-get', ...quietly, ...packages], { env });
  });
  return {
    folder,
    run: async (program, parameters) => (await run('chroot', [folder, program, ...parameters])).stdout,
    async writePrograms(place, programs) {
      await mkdir(place, { recursive: true });
      for (const [name, program] of Object.entries(programs)) {
        await writeFile(join(place, name), scriptOf(folder, program), { mode: 0o755 });
      }
    },
  };
}

/** The mounts end with the process, which has a mount namespace of its own. */
function scriptOf(root: string, program: string): string {
  return `#!/bin/sh
exec unshare --mount sh -c '
  root=$1 program=$2
  shift 2
  mount --bind /tmp "$root/tmp" && mount -t proc proc "$root/proc" || exit 1
  # Users have other numbers there.
  if [ -d "$RABBITMQ_MNESIA_BASE" ]; then
    chroot "$root" chown -R rabbitmq:rabbitmq "$RABBITMQ_MNESIA_BASE"
  fi
  exec chroot "$root" "$program" "$@"
' sh '${root}' '${program}' "$@"
`;
}

async function mirror(): Promise<string> {
  const { stdout } = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)']);
  const found = stdout.split('\n').find((uri) => uri !== '' && !uri.includes('security'));
  if (found === undefined) throw new Error('apt has no source here');
  return found;
}

/** The version of a package in it, as the broker's makers count it. */
export async function packageVersion(root: DebianRoot, name: string): Promise<string> {
  return versionIn(await root.run('dpkg-query', ['-W', name]));
}

/** Of a line of `dpkg-query`: `redis-server	5:8.0.2-3+deb13u3` is 8.0.2. */
export function versionIn(line: string): string {
  return (line.trim().split('\t')[1] ?? '').replace(/^\d+:/, '').replace(/[-+~].*/, '');
}

/** The release of this machine's own Debian, such as `12`; empty where it is none. */
export async function ownRelease(): Promise<string> {
  return (await readFile('/etc/debian_version', 'utf8').catch(() => '')).split('.')[0]?.trim() ?? '';
}
