import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

/** A change of one source before it runs. */
export interface SourceChange {
  /** Path from the root of the repository. */
  readonly source: string;
  /** Text of the source, which occurs once. */
  readonly from: string;
  /** What stands there instead. */
  readonly to: string;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Writes the simulation, with the dispatcher, the kit and all that it drives, into one file, which starts fast in a worker.
 *
 * @throws Error when the text of a change is not there exactly once.
 */
export async function bundle(entry: string, changes: readonly SourceChange[] = []): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'melange-simulation-'));
  const outfile = join(directory, 'simulation.mjs');
  await build({
    entryPoints: [fileURLToPath(new URL(entry, import.meta.url))],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'silent',
    plugins: changes.length === 0 ? [] : [changed(changes)],
  });
  return outfile;
}

function changed(changes: readonly SourceChange[]): Plugin {
  return {
    name: 'changed sources',
    setup(building) {
      building.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        const source = relative(root, path).split(sep).join('/');
        const mine = changes.filter((change) => change.source === source);
        if (mine.length === 0) return undefined;
        let contents = await readFile(path, 'utf8');
        for (const { from, to } of mine) {
          if (contents.split(from).length !== 2)
            throw new Error(`"${from}" is not in ${source} exactly once: plant the bug anew.`);
          contents = contents.replace(from, () => to);
        }
        return { contents, loader: 'ts' };
      });
    },
  };
}
