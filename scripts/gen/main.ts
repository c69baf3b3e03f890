import { parseArgs } from 'node:util';
import { cancel, isCancel, select, text } from '@clack/prompts';
import { type AdapterName, nameAdapter, type Role, roles } from './adapter-name.ts';
import { writeAdapter } from './write-adapter.ts';

const usage = `usage: pnpm gen adapter [--role backend|serializer|dedup] [--technology name]

Writes a package that builds, and whose conformance test says what is left to do. Asks for what is not given.
  --role         what the adapter does
  --technology   what it does it with, in small letters: nats, redis-streams
  --help         this text
Exit code: 0 written, 2 the flags are wrong, 130 given up.`;

process.exitCode = await main(process.argv.slice(2));

async function main(parameters: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: {
        role: { type: 'string' },
        technology: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      console.log(usage);
      return 0;
    }
    if (positionals.length !== 1 || positionals[0] !== 'adapter') {
      throw new Error(`only "adapter" can be generated, not "${positionals.join(' ')}"`);
    }
    const root = process.cwd();
    const name = await ask(values.role, values.technology, root);
    if (name === undefined) return 130;
    for (const file of await writeAdapter(name, root)) console.log(`wrote ${file}`);
    console.log(nextSteps(name));
    return 0;
  } catch (error) {
    // One line: the first of what parseArgs says is enough.
    console.error(`gen: ${(error instanceof Error ? error.message : String(error)).split('\n')[0]}`);
    return 2;
  }
}

/** What the flags leave open is asked for where somebody can answer; `undefined` when they give up. */
async function ask(
  role: string | undefined,
  technology: string | undefined,
  root: string,
): Promise<AdapterName | undefined> {
  const canAsk = process.stdin.isTTY && process.stdout.isTTY;
  if (!canAsk && (role === undefined || technology === undefined)) {
    throw new Error('--role and --technology are needed where nobody can be asked');
  }
  if (role !== undefined) nameAdapter(role, technology ?? 'something', root);
  const chosen = role ?? (await select({ message: 'What does the adapter do?', options: choices() }));
  if (isCancel(chosen)) return stopped();
  const named =
    technology ??
    (await text({
      message: 'With which technology?',
      placeholder: 'nats',
      validate: (given) => complaintAbout(chosen, given ?? '', root),
    }));
  if (isCancel(named)) return stopped();
  return nameAdapter(chosen, named, root);
}

function choices(): { value: Role; label: string; hint: string }[] {
  return Object.entries(roles).map(([value, { does }]) => ({
    value: value as Role,
    label: value,
    hint: does,
  }));
}

function complaintAbout(role: string, technology: string, root: string): string | undefined {
  try {
    nameAdapter(role, technology, root);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function stopped(): undefined {
  cancel('Nothing was written.');
}

function nextSteps({ folder, role }: AdapterName): string {
  return `
Next:
  1. pnpm install
  2. pnpm test packages/${folder}: what fails is left to do
  3. read ${roles[role].guide}, and ${roles[role].model}, the model
  4. write its README; pnpm docs:generate fills in its options, and the tables of README.md`;
}
