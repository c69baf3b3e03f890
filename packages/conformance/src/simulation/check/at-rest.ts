import { otherQueue } from '../broker/names.ts';
import type { SimulatedBrokers } from '../broker/simulated-brokers.ts';
import { isForTopic, type Plan, type PlannedMessage } from '../plan/plan.ts';
import { consumersOf, maxAttempts } from '../service/consumers.ts';
import { failuresOf, type Ledger, type MessageRecord, successesOf } from './ledger.ts';

/** In a run in which nothing goes wrong, a message that nothing holds up is done so soon, in ms. */
const promptMs = 2_000;

/** What must be true when everything has come to rest, as docs/delivery-guarantees.md says it. */
export function checkAtRest(plan: Plan, ledger: Ledger, brokers: SimulatedBrokers): void {
  const elsewhere = brokers.idsIn(otherQueue);
  for (const record of ledger.messages.values()) {
    const planned = record.place === undefined ? undefined : plan.messages[record.place];
    if (planned === undefined) {
      confirmedElsewhereIsThere(record, elsewhere, ledger);
      continue;
    }
    nothingConfirmedIsLost(plan, planned, record, ledger);
    everyErrorIsReported(plan, record, ledger);
    effectsAreDoubledOnlyForAReason(plan, record, ledger);
    if (record.place !== undefined && isForTopic(record.place))
      confirmedElsewhereIsThere(record, elsewhere, ledger);
    if (plan.faults.length === 0) exhaustedAfterMaxAttempts(planned, record, ledger);
    if (plan.ordering !== 'queue' && isCalm(plan)) troubleHoldsUpItselfOnly(plan, record, ledger);
  }
  if (plan.ordering !== 'none' && plan.acknowledging === 'done') keysKeepTheirOrder(plan, ledger);
}

/** A confirmed message was processed by every consumer that accepts it, or is in the dead-letter queue. */
function nothingConfirmedIsLost(
  plan: Plan,
  planned: PlannedMessage,
  record: MessageRecord,
  ledger: Ledger,
): void {
  if (record.confirmedAt === undefined || record.mayBeForgotten || record.deadLetters > 0) return;
  // Only what a user asked for in words gives that up.
  if (plan.acknowledging !== 'done') return;
  if (!plan.hasDeadLetterQueue && ['undecodable', 'unhandled', 'reject'].includes(planned.behaviour)) return;
  const done = successesOf(record);
  const missing = consumersOf(plan, 1).filter((name) => !done.has(name));
  if (missing.length === 0) return;
  ledger.violate(
    'nothing confirmed is lost',
    `${record.id} was not processed by ${missing.join(' and ')}, and is in no dead-letter queue`,
  );
}

/** What a handler publishes, and what a topic carries, is in the queue of the other service. */
function confirmedElsewhereIsThere(record: MessageRecord, elsewhere: Set<string>, ledger: Ledger): void {
  if (record.confirmedAt === undefined || record.mayBeForgotten || elsewhere.has(record.id)) return;
  ledger.violate('nothing confirmed is lost', `${record.id} was confirmed, and is not in ${otherQueue}`);
}

/** "Nothing fails silently": the application is told of every run that failed. */
function everyErrorIsReported(plan: Plan, record: MessageRecord, ledger: Ledger): void {
  const processes = record.runs.map(({ process }) => process);
  if (ledger.isDisturbed(processes, record.publishedAt, ledger.now) && plan.faults.length > 0) return;
  const failures = failuresOf(record);
  if (record.reported < failures)
    ledger.violate(
      'nothing fails silently',
      `${record.id} failed ${failures} times, of which ${record.reported} were told`,
    );
}

/** "once among all processes, but for crashes between effect and confirm", and what the page lists beside them. */
function effectsAreDoubledOnlyForAReason(plan: Plan, record: MessageRecord, ledger: Ledger): void {
  const bySame = new Map<string, { readonly process: string; readonly startedAt: number }>();
  for (const run of record.runs) {
    if (run.outcome !== 'succeeded') continue;
    const earlier = bySame.get(run.consumer);
    bySame.set(run.consumer, run);
    if (earlier === undefined) continue;
    // Without a cache, "again after a crash, a lost connection, a second publish".
    if (plan.cache === 'none' && record.taken > 1) continue;
    // Of several consumers, "those that are done stay done" where there is a cache: without one, all run again.
    if (plan.cache === 'none' && record.runs.some(({ outcome }) => outcome !== 'succeeded')) continue;
    // Of a partition that was handed out anew, all comes again that stands behind a message that is not done.
    const isBehind = plan.cache === 'none' && plan.family === 'partitioned';
    const since = isBehind ? record.publishedAt : earlier.startedAt;
    if (ledger.isDisturbed([earlier.process, run.process], since, run.startedAt)) continue;
    ledger.violate(
      'effects are doubled only for a reason',
      `${run.consumer} succeeded with ${record.id} at ${earlier.startedAt} and at ${run.startedAt} ms`,
    );
  }
}

/** A message that fails always is tried as often as the policy says. */
function exhaustedAfterMaxAttempts(
  { behaviour }: PlannedMessage,
  record: MessageRecord,
  ledger: Ledger,
): void {
  if (behaviour !== 'throw-always') return;
  const runs = new Map<string, number>();
  for (const { consumer } of record.runs) runs.set(consumer, (runs.get(consumer) ?? 0) + 1);
  for (const [consumer, count] of runs) {
    if (count === maxAttempts && record.deadLetterReason === 'attempts exhausted') continue;
    ledger.violate(
      'a message is tried as often as the policy says',
      `${consumer} ran ${record.id} ${count} times, and it was dead-lettered as ${record.deadLetterReason}`,
    );
  }
}

/** Nothing goes wrong with the queue of the service, its processes, or their way to it. */
function isCalm({ faults, messages }: Plan): boolean {
  return (
    faults.every(({ kind }) => kind === 'queue-away') &&
    messages.every(({ key, behaviour }) => key === 'key-1' || behaviour === 'succeed')
  );
}

/** "One trouble stays one trouble": a key that stands, or another queue, holds up no message but its own. */
function troubleHoldsUpItselfOnly(plan: Plan, record: MessageRecord, ledger: Ledger): void {
  if (record.key === 'key-1') return;
  // Messages of a topic go to the queue that is away, too.
  const isAway = plan.faults.length > 0 && record.place !== undefined && isForTopic(record.place);
  if (isAway) return;
  const doneAt = Math.max(...record.runs.map(({ endedAt = Number.POSITIVE_INFINITY }) => endedAt));
  const confirmedMs = (record.confirmedAt ?? Number.POSITIVE_INFINITY) - record.publishedAt;
  if (doneAt - record.publishedAt <= promptMs && confirmedMs <= promptMs) return;
  ledger.violate(
    'one trouble stays one trouble',
    `${record.id} was confirmed after ${confirmedMs} ms and done after ${doneAt - record.publishedAt} ms`,
  );
}

/** Where nothing goes wrong, or the broker orders by key: no message begins before an earlier one of its key is over. */
function keysKeepTheirOrder(plan: Plan, ledger: Ledger): void {
  const isOrdered = plan.family === 'partitioned' ? plan.ordering === 'key' : plan.workers === 1;
  if (!isOrdered || !isUndisturbed(plan)) return;
  const last = new Map<string, MessageRecord>();
  for (const record of ledger.messages.values()) {
    const lane = plan.ordering === 'queue' && plan.family !== 'partitioned' ? '' : record.key;
    // What goes to a topic is sent beside what goes to the queue, and may overtake it.
    if (lane === undefined || record.place === undefined || record.taken === 0 || isForTopic(record.place))
      continue;
    const earlier = last.get(lane);
    last.set(lane, record);
    const begun = record.runs[0]?.startedAt;
    if (earlier === undefined || begun === undefined) continue;
    if (overAt(plan, earlier) <= begun) continue;
    ledger.violate(
      'keys keep their order',
      `${record.id} began at ${begun} ms, before ${earlier.id} of its key was over`,
    );
  }
}

function isUndisturbed({ faults }: Plan): boolean {
  return faults.every(({ kind }) => kind === 'queue-away' || kind === 'clock-step');
}

/** When a message was done or dead. */
function overAt(plan: Plan, record: MessageRecord): number {
  if (record.deadLetteredAt !== undefined) return record.deadLetteredAt;
  const firsts = consumersOf(plan, 1).map((name) => {
    const success = record.runs.find(({ consumer, outcome }) => consumer === name && outcome === 'succeeded');
    return success?.endedAt ?? Number.POSITIVE_INFINITY;
  });
  return record.runs.length === 0 ? 0 : Math.max(...firsts);
}
