import { bringUp, find, takeDown } from './bring-up.ts';
import { type Broker, type BrokerResult, printable } from './broker.ts';
import { reasonOf } from './processes.ts';
import { brokers, whyUnknown } from './table.ts';

const usage = 'usage: pnpm brokers up|down|status [names]';

process.exitCode = await main(process.argv.slice(2)).catch((error) => fail(reasonOf(error), 1));

async function main([command, ...names]: string[]): Promise<number> {
  if (command !== 'up' && command !== 'down' && command !== 'status') return fail(usage, 2);
  const unknown = names.map(whyUnknown).find((reason) => reason !== undefined);
  if (unknown !== undefined) return fail(unknown, 2);
  if (command === 'up') return up(names);
  return command === 'down' ? down(names) : status(names);
}

async function up(names: readonly string[]): Promise<number> {
  const all = [...brokers.keys()];
  if (names.length === 0) console.log(`no broker is named, so all of them: ${all.join(', ')}`);
  const results = await bringUp(names.length > 0 ? names : all, { log: console.log });
  print(results);
  return results.every((result) => 'url' in result) ? 0 : 1;
}

async function down(names: readonly string[]): Promise<number> {
  const stopped = await takeDown(names.length > 0 ? names : undefined);
  console.log(
    stopped.length > 0 ? `stopped ${stopped.join(', ')}` : 'nothing to stop: `up` started none of them',
  );
  return 0;
}

/** A status that could be told is a success, whatever it is. */
async function status(names: readonly string[]): Promise<number> {
  const chosen = names.length > 0 ? names : [...brokers.keys()];
  print(await Promise.all(chosen.map((name) => find(brokers.get(name) as Broker))));
  return 0;
}

function print(results: readonly BrokerResult[]): void {
  for (const result of results) {
    if ('missing' in result) {
      console.log(`${result.name}: missing, ${result.missing}`);
      continue;
    }
    const before = result.origin === 'already running' && result.handle !== undefined;
    console.log(
      `${result.name}: ${printable(result.url)} (${result.origin}${before ? ', started by `up`' : ''})`,
    );
  }
}

function fail(line: string, status: number): number {
  console.error(line);
  return status;
}
