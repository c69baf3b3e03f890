import { makeWorkerUtils, type WorkerUtils } from 'graphile-worker';
import PgBoss from 'pg-boss';

/** Schema of graphile-worker's tables. */
export const graphileSchema = 'bench_graphile';
/** Schema of pg-boss's tables. */
export const bossSchema = 'bench_boss';

/** As its documentation shows it; maintenance would run meanwhile. */
export async function startBoss(address: string): Promise<PgBoss> {
  const boss = new PgBoss({
    connectionString: address,
    schema: bossSchema,
    max: 10,
    supervise: false,
    schedule: false,
  });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  return boss;
}

/** Publishes jobs. */
export async function startGraphile(address: string): Promise<WorkerUtils> {
  const utils = await makeWorkerUtils({ connectionString: address, schema: graphileSchema, maxPoolSize: 10 });
  await utils.migrate();
  return utils;
}
