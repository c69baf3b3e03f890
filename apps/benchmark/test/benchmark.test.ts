import { execFile } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readArguments, tables, UsageError } from '../src/index.ts';
import { writePage } from '../src/report/page.ts';
import { judge, spreadOf, summarize } from '../src/statistics.ts';

const run = promisify(execFile);
const tsx = fileURLToPath(new URL('../../../node_modules/.bin/tsx', import.meta.url));
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const docs = fileURLToPath(new URL('../../../docs/benchmarks', import.meta.url));

describe('pnpm bench', () => {
  it('measures every contender in each round, in memory and on a broker, and prints it as data', async () => {
    const before = timesOf(docs);
    const { stdout, stderr } = await run(tsx, [
      main,
      ...['memory', 'rabbitmq-consume', '--rounds', '2', '--scale', '0.001', '--json'],
    ]);
    const results = JSON.parse(stdout);
    expect(results.map(({ table }: { table: string }) => table)).toEqual(['rabbitmq-consume', 'memory']);
    for (const { rounds, summaries, circumstances, verdicts } of results) {
      expect(rounds).toHaveLength(2);
      for (const round of rounds) {
        expect(round).toHaveLength(3);
        for (const { milliseconds, cpuMilliseconds, peakBytes } of round) {
          expect(milliseconds).toBeGreaterThan(0);
          expect(cpuMilliseconds).toBeGreaterThan(0);
          expect(peakBytes).toBeGreaterThan(1_000_000);
        }
      }
      expect(summaries[0].rateRatio).toEqual({ median: 1, least: 1, most: 1 });
      expect(summaries[2].contender).toBe('Melange');
      expect(circumstances.node).toBe(process.version);
      expect(verdicts.length).toBeGreaterThan(0);
    }
    expect(results[0].circumstances.versions).toEqual([
      expect.stringMatching(/^RabbitMQ \d/),
      expect.stringMatching(/^amqplib \d/),
    ]);
    // Interleaved: A B C A B C.
    const order = stderr
      .split('\n')
      .flatMap((line) => /memory: (round \d) of 2, (.*)$/.exec(line)?.slice(1) ?? []);
    const names = ['bare call with JSON', 'EventEmitter without JSON', 'Melange'];
    expect(order).toEqual(['round 1', 'round 2'].flatMap((round) => names.flatMap((name) => [round, name])));
    // A trial leaves the documents as they are.
    expect(timesOf(docs)).toEqual(before);
  }, 60_000);

  it.each([
    [['no-such-table'], 'there is no table "no-such-table"; there are rabbitmq-consume, '],
    [['--speed'], "Unknown option '--speed'"],
  ])('tells in one line what is wrong with %j, with status 2', async (parameters, message) => {
    const failed = await run(tsx, [main, ...parameters]).catch((error) => error);
    expect(failed.code).toBe(2);
    expect(failed.stdout).toBe('');
    expect(failed.stderr).toContain(`bench: ${message}`);
    expect(failed.stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('readArguments', () => {
  const known = ['one', 'two'];

  it('takes all tables and five rounds by default', () => {
    expect(readArguments([], known)).toMatchObject({ tables: known, rounds: 5, scale: 1, isJson: false });
  });

  it('takes what is asked for', () => {
    const options = readArguments(['two', '--rounds', '7', '--json', '--profile', 'here'], known);
    expect(options).toEqual({ tables: ['two'], rounds: 7, scale: 1, isJson: true, profileTo: 'here' });
  });

  it.each([
    ['--rounds', 'many'],
    ['--rounds', '0'],
    ['--rounds', '1.5'],
    ['--scale', '2'],
    ['--scale', '0'],
  ])('refuses %s %s', (flag, value) => {
    expect(() => readArguments([flag, value], known)).toThrow(UsageError);
    expect(() => readArguments([flag, value], known)).toThrow(`${flag} must be`);
  });
});

describe('statistics', () => {
  const [table] = tables;
  const figures = {};
  const measured = (milliseconds: number) => ({
    milliseconds,
    cpuMilliseconds: milliseconds / 2,
    peakBytes: 1,
    requests: 3,
    figures,
  });
  // The machine is twice as slow in the second round, and noisy in the third.
  const rounds = [
    [measured(100), measured(50), measured(80)],
    [measured(200), measured(100), measured(160)],
    [measured(100), measured(100), measured(50)],
  ];

  it('compares within each round', () => {
    if (table === undefined) throw new Error('no table');
    const [, batched, melange] = summarize(table, rounds, () => 1_000);
    expect(batched?.rateRatio).toEqual({ median: 2, least: 1, most: 2 });
    expect(melange?.rateRatio).toEqual({ median: 1.25, least: 1.25, most: 2 });
    expect(melange?.cpuRatio).toEqual({ median: 0.8, least: 0.5, most: 0.8 });
    expect(melange?.cpu.median).toBe(40);
    expect(melange?.requests.median).toBe(3);
  });

  it('judges by the median', () => {
    if (table === undefined) throw new Error('no table');
    const verdicts = judge(
      table,
      summarize(table, rounds, () => 1_000),
    );
    expect(verdicts.map(({ reached, isMet }) => [reached, isMet])).toEqual([
      [1.25, false],
      [0.8, true],
    ]);
  });

  it('has the mean of the two in the middle as the median of an even number', () => {
    expect(spreadOf([4, 1, 3, 2])).toEqual({ median: 2.5, least: 1, most: 4 });
  });
});

describe('tables', () => {
  it('have names of their own, known goals, and contestants that are there', () => {
    expect(new Set(tables.map(({ name }) => name)).size).toBe(tables.length);
    for (const { contenders, goals } of tables) {
      const names = contenders.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const { contender } of goals) expect(names).toContain(contender);
      for (const { file } of contenders)
        expect(existsSync(new URL(`../src/contestants/${file}.ts`, import.meta.url)), file).toBe(true);
    }
  });

  it.each(tables.map((table) => [table.name, table] as const))(
    '%s is written as a page with a picture',
    async (name, table) => {
      const measurement = {
        milliseconds: 10,
        cpuMilliseconds: 5,
        peakBytes: 50_000_000,
        requests: 1,
        figures: {},
      };
      const rounds = [table.contenders.map(() => measurement)];
      const summaries = summarize(table, rounds, () => 100);
      const result = { table, rounds, summaries, verdicts: judge(table, summaries) };
      const directory = await mkdtemp(join(tmpdir(), 'melange-benchmark-'));
      try {
        const facts = { machine: '2 × X', system: 'Y', node: 'v0', load: 0, versions: ['amqplib 1'] };
        await writePage(directory, result, facts);
        const page = await readFile(join(directory, `${name}.md`), 'utf8');
        const picture = await readFile(join(directory, `${name}.svg`), 'utf8');
        expect(page).toContain(`# ${table.title}`);
        expect(page).toContain('2 × X; Y; Node v0; amqplib 1');
        for (const contender of table.contenders)
          expect(page).toMatch(new RegExp(`^\\| ${contender.name.replace(/[.()]/g, '\\$&')} +\\|`, 'm'));
        expect(picture).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
        expect(picture).toContain(table.title);
      } finally {
        await rm(directory, { recursive: true });
      }
    },
  );
});

/** When each file was last written. */
function timesOf(directory: string): Record<string, number> {
  if (!existsSync(directory)) return {};
  return Object.fromEntries(
    readdirSync(directory).map((file) => [file, statSync(join(directory, file)).mtimeMs]),
  );
}
