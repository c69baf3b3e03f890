import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { oursByForm } from './ours.ts';

// `pnpm interop`: the Python library publishes what the fixtures hold, and reads what ours publishes.
// `--write` writes the fixtures anew. Exit status 0 where PyPI cannot be reached, saying so; 1 with `--require`.

const here = fileURLToPath(new URL('.', import.meta.url));
const fixtures = fileURLToPath(new URL('../../packages/conformance/fixtures/wire/', import.meta.url));
const flags = new Set(process.argv.slice(2));
const run = promisify(execFile);

/** What moto draws anew in every run: it signs with a key of its own. */
const signature = /\\"Signature\\": \\"[^"]*\\"/g;

async function pythonWithLibrary(): Promise<string> {
  const requirements = ['requirements.txt', 'requirements-aws.txt'].map((name) => join(here, name));
  const texts = await Promise.all(requirements.map((file) => readFile(file, 'utf8')));
  const version = createHash('sha256').update(texts.join()).digest('hex').slice(0, 12);
  const folder = join(tmpdir(), `melange-interop-${version}`);
  const python = join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  const ready = join(folder, 'ready');
  if (existsSync(ready)) return python;
  // The last thing that making it puts there.
  if (!existsSync(join(dirname(python), 'pip'))) await run('python3', ['-m', 'venv', folder]);
  const [library = '', aws = ''] = requirements;
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--retries', '1'];
  await run(python, [...pip, '--no-deps', '-r', library]);
  await run(python, [...pip, '-r', aws]);
  await writeFile(ready, '');
  return python;
}

/** Names of the files that differ. */
async function differences(one: string, other: string): Promise<string[]> {
  const names = new Set([...(await readdir(one)), ...(await readdir(other))]);
  const differing: string[] = [];
  for (const name of names) {
    const [left, right] = await Promise.all(
      [one, other].map((folder) => readFile(join(folder, name), 'utf8').catch(() => undefined)),
    );
    if (left?.replaceAll(signature, '') !== right?.replaceAll(signature, '')) differing.push(name);
  }
  return differing;
}

async function compared(made: string, kept: string, what: string): Promise<boolean> {
  if (flags.has('--write')) {
    await mkdir(kept, { recursive: true });
    for (const name of await differences(made, kept)) {
      await writeFile(join(kept, name), await readFile(join(made, name)));
    }
  }
  const differing = await differences(made, kept);
  console.log(
    differing.length === 0 ? `${what}: as the fixtures` : `${what}: NOT as ${differing.join(', ')}`,
  );
  return differing.length === 0;
}

/** Whether docs/migrating-from-python.md, which a test holds to the list, accounts for every name of the package. */
async function namesAreListed(python: string): Promise<boolean> {
  const { stdout } = await run(python, ['-B', join(here, 'names.py')]);
  const list = join(here, 'names.txt');
  if (flags.has('--write')) await writeFile(list, stdout);
  const isListed = (await readFile(list, 'utf8')) === stdout;
  console.log(`public names of the Python library: ${isListed ? 'as names.txt' : 'NOT as names.txt'}`);
  return isListed;
}

async function main(): Promise<number> {
  const work = await mkdtemp(join(tmpdir(), 'melange-wire-'));
  try {
    const ours = join(work, 'ours');
    await mkdir(ours);
    for (const [form, messages] of Object.entries(await oursByForm(join(fixtures, 'python')))) {
      await writeFile(join(ours, `${form}.json`), `${JSON.stringify({ form, messages }, null, 2)}\n`);
    }
    let isGood = await compared(ours, join(fixtures, 'ours'), 'what ours publishes for the Python library');
    let python: string;
    try {
      python = await pythonWithLibrary();
    } catch (error) {
      const lines = String((error as { stderr?: unknown }).stderr || error)
        .trim()
        .split('\n');
      console.log(
        `NOT checked against the Python library: it cannot be installed from PyPI here (${lines.at(-1)}).`,
      );
      return isGood && !flags.has('--require') ? 0 : 1;
    }
    const published = join(work, 'python');
    await run(python, ['-B', join(here, 'generate.py'), published]);
    isGood =
      (await compared(published, join(fixtures, 'python'), 'what the Python library publishes')) && isGood;
    isGood = (await namesAreListed(python)) && isGood;
    const read = await run(python, ['-B', join(here, 'check.py'), join(fixtures, 'ours')]).catch((error) => {
      isGood = false;
      return error as { stdout: string; stderr: string };
    });
    console.log(
      `what the Python library reads of ours:\n${read.stdout}${isGood ? '' : read.stderr}`.trimEnd(),
    );
    return isGood ? 0 : 1;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

process.exitCode = await main();
