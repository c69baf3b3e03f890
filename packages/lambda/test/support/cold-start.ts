import { execFile } from 'node:child_process';
import { cpus, loadavg } from 'node:os';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { bundle } from './bundle.ts';

/** Bounds: of a bundle in bytes, and of the processor time of its import in ms. */
const maxBytes = 1_000_000;
const maxCpuMs = 60;
const runs = 15;

interface Times {
  /** On the clock. */
  readonly elapsedMs: number;
  /** Of the processor, which does not grow with what else the machine does. */
  readonly cpuMs: number;
}

/** What a fresh process takes to import the file, as Lambda does at a cold start. */
async function timesOfImport(file: string): Promise<Times> {
  const script = `
    const begun = performance.now();
    const before = process.cpuUsage();
    await import(${JSON.stringify(pathToFileURL(file).href)});
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ elapsedMs: performance.now() - begun, cpuMs: (user + system) / 1000 }));
    process.exit();`;
  const env = { ...process.env, AWS_REGION: 'eu-central-1' };
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script], { env });
  return JSON.parse(stdout) as Times;
}

await using made = await bundle('orders');
const times: Times[] = [];
for (let index = 0; index < runs; index += 1) times.push(await timesOfImport(made.file));

/** Median and least, as text. */
function summaryOf(of: (times: Times) => number): string {
  const sorted = times.map(of).sort((one, other) => one - other);
  return `${sorted[Math.floor(runs / 2)]?.toFixed(0)} ms median of ${runs}, ${sorted[0]?.toFixed(0)} ms least`;
}

const leastMs = Math.min(...times.map(({ cpuMs }) => cpuMs));
console.log(`bundle: ${Math.round(made.bytes / 1_000)} kB (at most ${maxBytes / 1_000})`);
console.log(`import: ${summaryOf(({ elapsedMs }) => elapsedMs)}`);
console.log(`processor time of it: ${summaryOf(({ cpuMs }) => cpuMs)} (at most ${maxCpuMs})`);
console.log(
  `on ${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}, load ${loadavg()[0]?.toFixed(1)}, ${new Date().toISOString().slice(0, 10)}`,
);
// The least: on a busy machine the others pay for cold caches of the processor.
if (made.bytes > maxBytes || leastMs > maxCpuMs) process.exitCode = 1;
