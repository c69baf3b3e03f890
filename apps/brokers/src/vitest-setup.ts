import { bringUp, release } from './bring-up.ts';
import { type AvailableBroker, printable } from './broker.ts';
import { isOfCompose } from './compose.ts';
import { sayStartable } from './startable.ts';
import { brokers } from './table.ts';

/** Brokers that the tests use. */
const wanted = ['rabbitmq', 'redis', 'sqs', 'kafka'];

/**
 * Gives the tests their brokers, through the brokers' own environment variables, and says which ones they are.
 * `MELANGE_BROKERS=none` leaves them out; `MELANGE_REQUIRE_BROKERS=all` (or names) fails the run without them.
 */
export default async function setup(): Promise<() => Promise<void>> {
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
