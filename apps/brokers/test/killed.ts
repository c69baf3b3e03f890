import { startRedis } from '../src/index.ts';

/** A program that has started a Redis of its own, and is about to be killed: as a test run, with less to wait for. */
const { url } = await startRedis();
process.send?.(url);
process.once('disconnect', () => process.exit());
