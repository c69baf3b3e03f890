import { bringUp, brokers, find, takeDown } from './bring-up.ts';
import { type Broker, type BrokerResult, printable } from './broker.ts';

const usage = 'usage: pnpm brokers up|down|status [names]';
const coming = new Set(['kafka', 'sqs']);

process.exitCode = await main(process.argv.slice(2));

async function main([command, ...names]: string[]): Promise<number> {
  const unknown = names.find((name) => !brokers.has(name));
  if (unknown !== undefined) {
    const known = [...brokers.keys()].join(', ');
    return fail(
      coming.has(unknown)
        ? `${unknown} is not supported yet; known: ${known}`
        : `unknown broker ${unknown}; known: ${known}`,
    );
  }
  if (command === 'up')
    return print(await bringUp(names.length > 0 ? names : ['rabbitmq'], { log: console.log }));
  if (command === 'down') return stopped(await takeDown(names.length > 0 ? names : undefined));
  if (command === 'status') {
    const chosen = names.length > 0 ? names : [...brokers.keys()];
    await print(await Promise.all(chosen.map((name) => find(brokers.get(name) as Broker))));
    return 0;
  }
  return fail(usage);
}

function print(results: readonly BrokerResult[]): number {
  for (const result of results) {
    if ('url' in result) console.log(`${result.name}: ${printable(result.url)} (${result.origin})`);
    else console.log(`${result.name}: missing, ${result.missing}`);
  }
  return results.every((result) => 'url' in result) ? 0 : 1;
}

function stopped(names: readonly string[]): number {
  console.log(
    names.length === 0 ? 'nothing to stop: no broker was started here' : `stopped ${names.join(', ')}`,
  );
  return 0;
}

function fail(line: string): number {
  console.error(line);
  return 2;
}
