import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { MelangeConfig } from '../config.ts';
import { describe, usageError } from '../exit-codes.ts';

const names = ['melange.config.ts', 'melange.config.mts', 'melange.config.js', 'melange.config.mjs'];

/**
 * The config of a folder, or of a file; `undefined` where the folder has none.
 *
 * @throws CommandError when the file is missing, fails, or is no config.
 */
export async function loadConfig(cwd: string, file: string | undefined): Promise<MelangeConfig | undefined> {
  const path =
    file === undefined ? names.map((name) => resolve(cwd, name)).find(existsSync) : resolve(cwd, file);
  if (path === undefined) return undefined;
  if (!existsSync(path)) throw usageError(`There is no file "${file}".`);
  let exported: unknown;
  try {
    exported = await imported(path);
  } catch (error) {
    throw usageError(`${path} could not be loaded: ${describe(error)}`);
  }
  return checked(path, exported);
}

/** By Node itself where it can; a Node that reads no TypeScript has jiti for it. */
async function imported(path: string): Promise<unknown> {
  try {
    const module = (await import(pathToFileURL(path).href)) as { readonly default?: unknown };
    return module.default;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error;
    const { createJiti } = await import('jiti');
    return createJiti(path).import(path, { default: true });
  }
}

function checked(path: string, exported: unknown): MelangeConfig {
  const wrong = (text: string): never => {
    throw usageError(`${path} ${text}. Export the config by default: export default defineConfig({ … }).`);
  };
  if (typeof exported !== 'object' || exported === null || Array.isArray(exported))
    return wrong('exports no config by default');
  for (const name of Object.keys(exported))
    if (!['services', 'backends', 'queues', 'serializers'].includes(name))
      wrong(`has an unknown setting "${name}"`);
  const config = exported as MelangeConfig;
  if (config.services !== undefined && !Array.isArray(config.services))
    wrong('has "services" that are no list');
  for (const service of config.services ?? [])
    if (typeof service?.plan !== 'object') wrong('has a service that defineService did not make');
  if (config.queues !== undefined && !Array.isArray(config.queues)) wrong('has "queues" that are no list');
  for (const [name, backend] of Object.entries(config.backends ?? {}))
    if (typeof backend?.describeQueue !== 'function') wrong(`has a backend "${name}" that is none`);
  return config;
}
