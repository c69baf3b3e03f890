/** Calls `send` with the numbers below `count`, `atOnce` at a time. */
export async function fill(
  count: number,
  atOnce: number,
  send: (indexes: readonly number[]) => Promise<void>,
): Promise<void> {
  for (let first = 0; first < count; first += atOnce) {
    const indexes = Array.from({ length: Math.min(atOnce, count - first) }, (_, index) => first + index);
    await send(indexes);
  }
}

const settlesWithinMs = 10_000;
const lookEveryMs = 50;

/** What `ask` answers when that is as it should be; else its last answer. Brokers count a little late. */
export async function settled(
  ask: () => Promise<number>,
  isAsExpected: (answer: number) => boolean,
): Promise<number> {
  const deadline = performance.now() + settlesWithinMs;
  for (;;) {
    const answer = await ask();
    if (isAsExpected(answer) || performance.now() > deadline) return answer;
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}
