import { askedFor } from './asked-for.ts';
import { bringUp, release } from './bring-up.ts';
import { type AvailableBroker, printable } from './broker.ts';
import { isOfCompose } from './compose.ts';
import { sayStartable } from './startable.ts';
import { brokers } from './table.ts';

/** The part of Vitest's project that this file uses. */
export interface ChosenTests {
  readonly vitest: object;
  globTestFiles(filters?: string[]): Promise<{ readonly testFiles: string[] }>;
}

/**
 * Gives the tests their brokers, through the brokers' own environment variables, and says which ones they are. Where test
 * files are chosen, those that they ask for.
 * `MELANGE_BROKERS=none` leaves them out; `MELANGE_REQUIRE_BROKERS=all` (or names) fails the run without them.
 */
export default async function setup(project?: ChosenTests): Promise<() => Promise<void>> {
  const wanted = await brokersFor(project);
  const missing = new Map<string, string>();
  const used: string[] = [];
  const startable: string[] = [];
  if (process.env.MELANGE_BROKERS === 'none') {
    for (const name of wanted) missing.set(name, 'MELANGE_BROKERS is none');
  } else {
    for (const result of await bringUp(wanted, { log, until: 'release' })) {
      if ('missing' in result) missing.set(result.name, result.missing);
      else {
        use(result);
        used.push(result.name);
        if (result.handle !== undefined && !isOfCompose(result.handle)) startable.push(result.name);
      }
    }
  }
  sayStartable(startable);
  for (const [name, reason] of missing) {
    // An address where nothing answers is none to the tests either.
    delete process.env[brokers.get(name)?.variable ?? ''];
    console.log(`brokers: no ${name}, what needs it is skipped: ${reason}`);
  }
  const teardown = async (): Promise<void> => {
    await release(used);
  };
  const refused = requiredOf([...missing.keys()]);
  if (refused.length > 0) {
    await teardown();
    const reasons = refused.map((name) => `${name} (${missing.get(name)})`).join('; ');
    throw new Error(`MELANGE_REQUIRE_BROKERS asks for what is missing: ${reasons}`);
  }
  return teardown;
}

async function brokersFor(project: ChosenTests | undefined): Promise<readonly string[]> {
  const names = [...brokers.keys()];
  // The parameters of the command line; Vitest has no other name for them.
  const { filenamePattern } = (project?.vitest ?? {}) as { filenamePattern?: string[] };
  if (project === undefined || filenamePattern === undefined) return names;
  const { testFiles } = await project.globTestFiles(filenamePattern);
  const wanted = await askedFor(testFiles, [...brokers.values()]);
  const others = names.filter((name) => !wanted.includes(name));
  if (others.length > 0) log(`the chosen test files do not ask for ${others.join(', ')}`);
  // An address that is set is none of a broker that was not looked for.
  for (const name of others) delete process.env[brokers.get(name)?.variable ?? ''];
  return wanted;
}

function log(line: string): void {
  console.log(`brokers: ${line}`);
}

/** Hands the address to the test files: their processes inherit this one's environment. */
function use({ name, url, origin }: AvailableBroker): void {
  const variable = brokers.get(name)?.variable;
  if (variable !== undefined) process.env[variable] = url;
  const isStartedHere = origin === 'docker compose' || origin === 'package';
  console.log(
    `brokers: ${name} ${printable(url)} (${origin}${isStartedHere ? ', started for this run' : ''})`,
  );
}

function requiredOf(names: readonly string[]): readonly string[] {
  const required = (process.env.MELANGE_REQUIRE_BROKERS ?? '').split(',').map((name) => name.trim());
  return required.includes('all') ? names : names.filter((name) => required.includes(name));
}
