/** One thing that an adapter must do, as data: run by vitest, by the mutants, and listed in the table. */
export interface Behaviour<Context> {
  /** Stable, unique within its suite: `settle/second-settlement-rejects`. */
  readonly id: string;
  /** Heading under which it is listed. */
  readonly group: string;
  /** Sentence that is true of a conforming adapter. */
  readonly title: string;
  /** Why this adapter cannot be asked for it; `undefined` when it can. */
  readonly requires?: (context: Context) => string | undefined;
  /** Bound of the whole run in ms. Default: that of the suite. */
  readonly timeoutMs?: number;
  /** Throws when the adapter behaves otherwise. */
  run(context: Context): Promise<void>;
}

/** How one behaviour came out. */
export type BehaviourResult = Pick<Behaviour<never>, 'id' | 'group' | 'title'> &
  (
    | { readonly status: 'pass' }
    | { readonly status: 'skip'; readonly reason: string }
    | { readonly status: 'fail'; readonly error: unknown }
  );

/** A subject of a suite: makes the context of one behaviour, and takes it away afterwards. */
export interface BehaviourHost<Context> {
  open(): Promise<Context>;
  close(context: Context): Promise<void>;
  /** Bound of a behaviour that names none, in ms. */
  readonly timeoutMs: number;
  /** What was seen to happen, for the message of a failure. Default: nothing is added to it. */
  account?(context: Context): string;
}

/** Which behaviours to run. */
export interface BehaviourSelection {
  /** Only these ids. Default: all. */
  readonly only?: readonly string[];
  /** Stops after the first failure. Default: false. */
  readonly stopAtFirstFailure?: boolean;
}

/** Gives the behaviours of one file their group, and ids that start with it. */
export function behaviours<Context>(
  group: string,
  list: readonly Omit<Behaviour<Context>, 'group'>[],
): readonly Behaviour<Context>[] {
  const prefix = group.replaceAll(' ', '-');
  return list.map((behaviour) => ({ ...behaviour, group, id: `${prefix}/${behaviour.id}` }));
}

/** Runs one behaviour in a context of its own. Never rejects: what went wrong is the result. */
export async function checkBehaviour<Context>(
  behaviour: Behaviour<Context>,
  host: BehaviourHost<Context>,
): Promise<BehaviourResult> {
  const { id, group, title } = behaviour;
  let context: Context | undefined;
  let result: BehaviourResult;
  try {
    context = await host.open();
    const reason = behaviour.requires?.(context);
    if (reason === undefined) {
      await withDeadline(behaviour.run(context), behaviour.timeoutMs ?? host.timeoutMs, `"${title}"`);
      result = { id, group, title, status: 'pass' };
    } else {
      result = { id, group, title, status: 'skip', reason };
    }
  } catch (error) {
    const account = context === undefined ? '' : (host.account?.(context) ?? '');
    result = { id, group, title, status: 'fail', error: explained(error, behaviour, account) };
  }
  try {
    if (context !== undefined) await host.close(context);
  } catch (error) {
    if (result.status !== 'fail') result = { id, group, title, status: 'fail', error };
  }
  return result;
}

/**
 * Checks behaviours of one suite. From the first one that a missing part of a generated adapter failed, the others are
 * skipped: they would only fail by it as well.
 */
export function checkUntilLeftToDo<Context>(
  host: BehaviourHost<Context>,
): (behaviour: Behaviour<Context>) => Promise<BehaviourResult> {
  let leftToDo: string | undefined;
  return async (behaviour) => {
    const { id, group, title } = behaviour;
    if (leftToDo !== undefined) return { id, group, title, status: 'skip', reason: leftToDo };
    const result = await checkBehaviour(behaviour, host);
    if (result.status === 'fail') leftToDo = partLeftToDo(result.error);
    return result;
  };
}

/** Which part of the adapter is not written yet, if that is why a behaviour failed: `ExampleBackend: connect is left to do`. */
function partLeftToDo(error: unknown): string | undefined {
  return /\w+[.:] ?\w+ is left to do/.exec(error instanceof Error ? error.message : String(error))?.[0];
}

/** The same error; its message also says what the contract wants, and what was seen to happen. */
function explained(error: unknown, { title }: Behaviour<never>, account: string): unknown {
  const more = `\n\nThe contract wants: ${title}.${account === '' ? '' : `\n\n${account}`}`;
  if (!(error instanceof Error)) return new Error(`${String(error)}${more}`);
  const { message, stack } = error;
  try {
    error.message = message + more;
    // The stack quotes the message as it was.
    if (stack !== undefined) error.stack = stack.replace(message, () => message + more);
    return error;
  } catch {
    // It may not be changed.
    return new Error(message + more, { cause: error });
  }
}

/** Runs behaviours one after the other, without vitest. */
export async function checkBehaviours<Context>(
  list: readonly Behaviour<Context>[],
  host: BehaviourHost<Context>,
  selection: BehaviourSelection = {},
): Promise<BehaviourResult[]> {
  const results: BehaviourResult[] = [];
  const check = checkUntilLeftToDo(host);
  for (const behaviour of list) {
    if (selection.only !== undefined && !selection.only.includes(behaviour.id)) continue;
    const result = await check(behaviour);
    results.push(result);
    if (result.status === 'fail' && selection.stopAtFirstFailure === true) break;
  }
  return results;
}

/** Rejects, saying what did not happen, when `promise` takes longer than `milliseconds`. */
export function withDeadline<Value>(
  promise: PromiseLike<Value>,
  milliseconds: number,
  what: string,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${what} did not finish within ${milliseconds} ms`)),
      milliseconds,
    );
    promise.then(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}

/** Lets time pass: only for quiet periods that prove an absence, and between two looks at a broker. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Looks until the condition holds; rejects, saying what never became true, when it takes too long. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  milliseconds: number,
): Promise<void> {
  const end = performance.now() + milliseconds;
  for (;;) {
    if (await condition()) return;
    if (performance.now() > end) throw new Error(`${what}: not so after ${milliseconds} ms`);
    await pause(10);
  }
}
