import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { run } from '../../apps/brokers/src/processes.ts';
import { repository } from '../packaging/packages.ts';

const script = join(repository, 'scripts/gen/main.ts');
const roles = ['backend', 'serializer', 'dedup'] as const;
let copy: string;

/** A workspace with what generated packages build upon, into which one adapter of each role is generated. */
beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'melange-gen-'));
  const files = ['package.json', '.changeset', '.gitignore', 'biome.json', 'tsconfig.base.json'];
  const packages = ['core', 'backend-kit', 'conformance', 'serializer-json', 'serializer-protobuf'].map(
    (name) => `packages/${name}`,
  );
  for (const file of [...files, ...packages]) {
    await cp(join(repository, file), join(copy, file), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => basename(path) !== 'dist',
    });
  }
  await mkdir(join(copy, 'node_modules/@melange'), { recursive: true });
  for (const name of await readdir(join(repository, 'node_modules'))) {
    if (name !== '@melange')
      await symlink(join(repository, 'node_modules', name), join(copy, 'node_modules', name));
  }
  for (const name of ['core', 'backend-kit', 'conformance']) {
    await symlink(join(copy, 'packages', name), join(copy, 'node_modules/@melange', name));
  }
  await run('git', ['init', '--quiet'], { cwd: copy });
  for (const role of roles) await gen('adapter', '--role', role, '--technology', 'slow-post');
});

afterAll(() => rm(copy, { recursive: true, force: true }));

it('writes packages that build, with their tests', async () => {
  const projects = roles.map((role) => `packages/${role}-slow-post/tsconfig.build.json`);
  await node('typescript/bin/tsc', '-b', ...projects);
  const settings = {
    compilerOptions: { noEmit: true },
    include: roles.map((role) => `packages/${role}-slow-post`),
  };
  const text = JSON.stringify({ extends: './tsconfig.base.json', ...settings, exclude: ['**/dist'] });
  await writeFile(join(copy, 'tsconfig.json'), text);
  await node('typescript/bin/tsc', '-p', 'tsconfig.json');
}, 120_000);

it('writes what the linter likes', async () => {
  await node('@biomejs/biome/bin/biome', 'check', ...roles.map((role) => `packages/${role}-slow-post`));
});

it('writes a changeset for each, and names each in the package.json of the root', async () => {
  const manifest = JSON.parse(await readFile(join(copy, 'package.json'), 'utf8'));
  for (const role of roles) {
    const changeset = await readFile(join(copy, `.changeset/${role}-slow-post.md`), 'utf8');
    expect(changeset).toContain(`'@melange/${role}-slow-post': minor`);
    expect(manifest.devDependencies).toHaveProperty(`@melange/${role}-slow-post`, 'workspace:*');
  }
});

it('gives a serializer a number of its own', async () => {
  const source = await readFile(
    join(copy, 'packages/serializer-slow-post/src/slow-post-serializer.ts'),
    'utf8',
  );
  expect(source).toContain('readonly identifier = 4;');
});

describe('the conformance test', () => {
  let results: Map<string, Results>;

  beforeAll(async () => {
    const parameters = [
      'run',
      'slow-post',
      '--testTimeout=20000',
      '--reporter=json',
      '--outputFile=results.json',
    ];
    await expect(node('vitest/vitest.mjs', ...parameters)).rejects.toThrow();
    results = resultsIn(await readFile(join(copy, 'results.json'), 'utf8'));
  }, 120_000);

  it.each([
    ['backend', 'connect'],
    ['serializer', 'serialize'],
    ['dedup', 'claim'],
  ])('of a %s has one failure: %s is left to do', (role, method) => {
    const failures = results.get(`packages/${role}-slow-post/test/conformance.test.ts`)?.failed ?? [];
    expect(failures).toEqual([expect.stringContaining(`${method} is left to do`)]);
  });

  it.each(roles)('of a %s skips what comes after it, and says why', (role) => {
    const skipped = results.get(`packages/${role}-slow-post/test/conformance.test.ts`)?.skipped ?? [];
    expect(skipped.length).toBeGreaterThan(5);
    expect(new Set(skipped.slice(-5))).toEqual(new Set([expect.stringMatching(/\w+ is left to do$/)]));
  });

  it('leaves the wire of a backend tested', () => {
    const wire = results.get('packages/backend-slow-post/test/wire.test.ts');
    expect(wire).toEqual({ failed: [], passed: 6, skipped: [] });
  });
});

/** Gives a program a terminal. */
const hasTerminal = await run('script', ['--version']).then(
  ({ stdout }) => stdout.includes('util-linux'),
  () => false,
);

describe.skipIf(!hasTerminal)('on a terminal (skipped without script of util-linux)', () => {
  it('asks for what the flags leave open', async () => {
    const command = `stty cols 100 rows 40; exec ${process.execPath} --import tsx ${script} adapter`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { cwd: copy });
    onTestFinished(() => void child.kill());
    let shown = '';
    const answers: [question: string, answer: string][] = [
      ['What does the adapter do?', '\u001b[B\r'],
      ['With which technology?', 'My Broker\r'],
      ['--technology must be in small letters', '\u0015slow-asker\r'],
    ];
    child.stdout.on('data', (data: Buffer) => {
      shown += data.toString();
      const [question, answer] = answers[0] ?? [];
      if (question === undefined || !shown.includes(question)) return;
      answers.shift();
      child.stdin.write(answer);
    });
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(shown).toContain('wrote packages/serializer-slow-asker/src/slow-asker-serializer.ts');
    expect(shown).toContain('pnpm test packages/serializer-slow-asker: what fails is left to do');
  });

  it('writes nothing when the question is given up', async () => {
    const command = `stty cols 100 rows 40; exec ${process.execPath} --import tsx ${script} adapter --role dedup`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { cwd: copy });
    onTestFinished(() => void child.kill());
    let shown = '';
    child.stdout.on('data', (data: Buffer) => {
      if (!shown.includes('With which') && data.includes('With which')) child.stdin.write('\u0003');
      shown += data.toString();
    });
    expect(await once(child, 'exit')).toEqual([130, null]);
    expect(shown).toContain('Nothing was written.');
  });
});

describe('wrong flags', () => {
  it.each([
    ['no role of that name', ['adapter', '--role', 'queue', '--technology', 'nats'], '--role must be'],
    ['no such flag', ['adapter', '--rolle', 'backend'], "Unknown option '--rolle'"],
    [
      'a name that is none',
      ['adapter', '--role', 'backend', '--technology', 'My Broker'],
      '--technology must be',
    ],
    ['a package that exists', ['adapter', '--role', 'dedup', '--technology', 'slow-post'], 'exists already'],
    ['nobody to ask', ['adapter', '--role', 'backend'], 'are needed where nobody can be asked'],
    ['nothing to generate', [], 'only "adapter" can be generated'],
  ])('%s: one line, and status 2', async (_, parameters, line) => {
    const { code, stdout, stderr } = await gen(...parameters).catch((error: unknown) => error as Failure);
    expect({ code, stdout, lines: stderr?.trim().split('\n').length }).toEqual({
      code: 2,
      stdout: '',
      lines: 1,
    });
    expect(stderr).toContain(line);
  });
});

interface Failure {
  readonly code?: number;
  readonly stdout: string;
  readonly stderr: string;
}

function gen(...parameters: readonly string[]): Promise<Failure> {
  return run(process.execPath, ['--import', 'tsx', script, ...parameters], { cwd: copy });
}

async function node(program: string, ...parameters: readonly string[]): Promise<void> {
  try {
    await run(process.execPath, [join('node_modules', program), ...parameters], { cwd: copy });
  } catch (error) {
    const { stdout, stderr } = error as Failure;
    throw new Error(`${program}:\n${stdout}${stderr}`);
  }
}

interface Results {
  readonly failed: readonly string[];
  readonly passed: number;
  /** Reasons, in order. */
  readonly skipped: readonly (string | undefined)[];
}

/** By file: what each failure and each skip says, and how many passed. */
function resultsIn(json: string): Map<string, Results> {
  const { testResults } = JSON.parse(json) as {
    testResults: {
      name: string;
      assertionResults: {
        status: string;
        failureMessages: string[];
        meta?: { conformance?: { skipReason?: string } };
      }[];
    }[];
  };
  return new Map(
    testResults.map(({ name, assertionResults }) => {
      const failed = assertionResults.filter(({ status }) => status === 'failed');
      const passed = assertionResults.filter(({ status }) => status === 'passed').length;
      const skipped = assertionResults.filter(({ status }) => status !== 'failed' && status !== 'passed');
      return [
        name.slice(name.indexOf('packages/')),
        {
          failed: failed.map(({ failureMessages }) => failureMessages.join('\n')),
          passed,
          skipped: skipped.map(({ meta }) => meta?.conformance?.skipReason),
        },
      ] as const;
    }),
  );
}
