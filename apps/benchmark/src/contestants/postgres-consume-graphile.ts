import { Logger, run } from 'graphile-worker';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';
import { graphileSchema } from '../postgres-libraries.ts';

const contestant: Contestant = async ({ address, queue, inFlight }, meter) => {
  const runner = await run({
    connectionString: address,
    schema: graphileSchema,
    concurrency: inFlight,
    maxPoolSize: 10,
    noHandleSignals: true,
    logger: new Logger(() => () => undefined),
    taskList: {
      async [queue](payload) {
        await handle(payload as Order);
      },
    },
  });
  runner.events.on('job:complete', () => meter.handled());
  await meter.ended;
  await runner.stop();
};

export default contestant;
