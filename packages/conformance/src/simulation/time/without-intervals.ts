/**
 * Runs something while `setInterval` does nothing. A loop keeps its process alive by one; of a process that ended in the
 * simulation it would stay for ever, and keep all of its run in memory.
 */
export async function withoutIntervals<Answer>(run: () => Promise<Answer>): Promise<Answer> {
  const { setInterval } = globalThis;
  globalThis.setInterval = (() => undefined) as unknown as typeof setInterval;
  try {
    return await run();
  } finally {
    globalThis.setInterval = setInterval;
  }
}
