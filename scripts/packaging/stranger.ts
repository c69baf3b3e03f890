import { mkdtemp, rm, writeFile } from 'node:fs/promises';
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
}

/** Makes an empty project and has npm install the tarballs and packages of the registry into it. */
export async function stranger(packages: readonly string[]): Promise<Stranger> {
  const path = await mkdtemp(join(tmpdir(), 'melange-stranger-'));
  const project: Stranger = {
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
  };
  await project.write('package.json', JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
  await project.run('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', ...packages);
  return project;
}

/** The environment without what npm, pnpm and vitest tell those that they start. */
function bare(): NodeJS.ProcessEnv {
  const isOurs = (name: string): boolean =>
    /^(npm_|pnpm_|vitest|node_(env|options|path)$|test$|vite_)/i.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOurs(name)));
}
