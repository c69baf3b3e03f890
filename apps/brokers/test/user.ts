import { bringUp, release } from '../src/index.ts';

/** A program that uses Redis until it is told to end: as a test run does, with less to wait for. */
const [result] = await bringUp(['redis'], { until: 'release' });
process.send?.(result);
process.once('message', async () => {
  await release(['redis']);
  process.disconnect();
});
