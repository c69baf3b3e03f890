import { bringUp, brokers, takeDown } from './bring-up.ts';
import { printable } from './broker.ts';

/** Brokers that the tests use. */
const wanted = ['rabbitmq'];

/**
 * Gives the tests their brokers, through the brokers' own environment variables, and says which ones they are.
 * `MELANGE_BROKERS=none` leaves them out; `MELANGE_REQUIRE_BROKERS=all` (or names) fails the run without them.
 */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env.MELANGE_BROKERS === 'none') {
    console.log('brokers: none, as MELANGE_BROKERS says; tests that need one are skipped');
    return async () => undefined;
  }
  const required = new Set((process.env.MELANGE_REQUIRE_BROKERS ?? '').split(','));
  const started: string[] = [];
  const missing: string[] = [];
  for (const result of await bringUp(wanted, { log: (line) => console.log(`brokers: ${line}`) })) {
    const { name } = result;
    if ('missing' in result) {
      console.log(`brokers: ${name} is not tested: ${result.missing}`);
      if (required.has('all') || required.has(name)) missing.push(`${name} (${result.missing})`);
      continue;
    }
    console.log(`brokers: ${name} ${printable(result.url)} (${result.origin})`);
    process.env[brokers.get(name)?.variable ?? ''] = result.url;
    if (result.handle?.node !== undefined) process.env.MELANGE_RABBITMQ_NODE = result.handle.node;
    if (result.origin === 'package' || result.origin === 'docker compose') started.push(name);
  }
  const teardown = async (): Promise<void> => {
    await takeDown(started);
  };
  if (missing.length > 0) {
    await teardown();
    throw new Error(`required brokers are missing: ${missing.join('; ')}`);
  }
  return teardown;
}
