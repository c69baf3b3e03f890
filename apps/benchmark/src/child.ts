import type { Contestant, Task } from './contestant.ts';
import { startMeter } from './meter.ts';

/*
 * The process of one contestant: `node child.js <contestant's file>`. It is given its task, runs it once, answers
 * with what was measured, and ends.
 */

const [file = ''] = process.argv.slice(2);

process.once('message', async (task: Task) => {
  try {
    const { default: contestant } = (await import(file)) as { default: Contestant };
    const meter = startMeter(task);
    await contestant(task, meter);
    process.send?.({ measurement: meter.measurement() });
  } catch (error) {
    process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    process.exitCode = 1;
  }
  process.disconnect();
});
