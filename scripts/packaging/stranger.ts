import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../apps/brokers/src/processes.ts';

/** A project outside the repository that knows the packages by their tarballs only. */
export interface Stranger {
  readonly path: string;
  write(file: string, text: string): Promise<void>;
  /** Runs a program in the project; resolves with what it wrote to standard output, rejects with all it wrote. */
  run(command: string, ...parameters: readonly string[]): Promise<string>;
  remove(): Promise<void>;
  /** A project in a folder of this one, with these files, that finds the packages of this one. */
  nested(folder: string, files: Readonly<Record<string, string>>): Promise<Stranger>;
}

/** Makes an empty project and has npm install the tarballs and packages of the registry into it. */
export async function stranger(packages: readonly string[]): Promise<Stranger> {
  const path = await mkdtemp(join(tmpdir(), 'melange-stranger-'));
  const project = projectAt(path);
  await project.write('package.json', JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
  await project.run('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', ...packages);
  return project;
}

function projectAt(path: string): Stranger {
  return {
    path,
    write: (file, text) => writeFile(join(path, file), text),
    run: async (command, ...parameters) => {
      try {
        return (await run(command, parameters, { cwd: path, env: bare() })).stdout;
      } catch (error) {
        const { stdout, stderr } = error as { stdout?: string; stderr?: string };
        throw new Error(`${[command, ...parameters].join(' ')}:\n${stdout ?? error}${stderr ?? ''}`);
      }
    },
    remove: () => rm(path, { recursive: true, force: true }),
    nested: async (folder, files) => {
      const inside = projectAt(join(path, folder));
      await mkdir(inside.path, { recursive: true });
      for (const [file, text] of Object.entries(files)) await inside.write(file, text);
      return inside;
    },
  };
}

/** The environment without what npm, pnpm and vitest tell those that they start. */
function bare(): NodeJS.ProcessEnv {
  const isOurs = (name: string): boolean =>
    /^(npm_|pnpm_|vitest|node_(env|options|path)$|test$|vite_)/i.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOurs(name)));
}
