import type { Ledger, MessageRecord } from './ledger.ts';
import type { Plan, PlannedMessage } from './plan.ts';

/** What must be true when everything has come to rest, as docs/delivery-guarantees.md says it. */
export function checkAtRest(plan: Plan, ledger: Ledger): void {
  for (const record of ledger.messages.values()) {
    const planned = plan.messages[record.place] as PlannedMessage;
    nothingConfirmedIsLost(plan, record, ledger);
    deadLettersHaveTheirReason(planned, record, ledger);
    nothingRunsTwiceWithoutReason(plan, record, ledger);
  }
}

/** A confirmed message was processed by every consumer that accepts it, or is in the dead-letter queue. */
function nothingConfirmedIsLost(plan: Plan, record: MessageRecord, ledger: Ledger): void {
  if (!record.isConfirmed || record.deadLetters > 0) return;
  if (record.succeeded.size === plan.consumers) return;
  ledger.violate(
    'nothing confirmed is lost',
    `${record.id} was processed by ${record.succeeded.size} of ${plan.consumers} consumers, and is in no dead-letter queue`,
  );
}

/** Only a message that its handler refused, or that failed as often as the policy allows, is dead-lettered. */
function deadLettersHaveTheirReason(
  { behaviour }: PlannedMessage,
  record: MessageRecord,
  ledger: Ledger,
): void {
  if (record.deadLetters === 0) return;
  if (behaviour === 'reject' && record.deadLetterReason === 'rejected') return;
  if (behaviour === 'throw-always' && record.deadLetterReason === 'attempts exhausted') return;
  ledger.violate(
    'only what cannot succeed is dead-lettered',
    `${record.id} (${behaviour}) was dead-lettered as "${record.deadLetterReason ?? ''}" after ${record.failed} failed runs`,
  );
}

/** Without a fault no handler succeeds twice. */
function nothingRunsTwiceWithoutReason(plan: Plan, record: MessageRecord, ledger: Ledger): void {
  if (plan.faults.length > 0) return;
  for (const [consumer, times] of record.succeeded) {
    if (times > 1)
      ledger.violate(
        'nothing runs twice without a fault',
        `${consumer} succeeded ${times} times with ${record.id}`,
      );
  }
}
