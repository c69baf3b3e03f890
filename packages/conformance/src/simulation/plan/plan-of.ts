import { Random } from '../time/random.ts';
import {
  faultsEndMs,
  type HandlerBehaviour,
  type Plan,
  type PlannedFault,
  type PlannedMessage,
  publisher,
} from './plan.ts';

/** Messages of one schedule. */
const defaultCount = 50;

/** How often each behaviour is drawn, in parts of 1,000. */
const shares: Readonly<Record<HandlerBehaviour, number>> = {
  succeed: 560,
  slow: 110,
  long: 20,
  'ignore-signal': 25,
  'throw-once': 100,
  'throw-always': 30,
  reject: 25,
  'retry-later': 40,
  'hang-once': 10,
  forward: 40,
  'end-process': 1,
  undecodable: 20,
  unhandled: 19,
};

/** Makes the plan of a seed. */
export function planOf(seed: number, count: number = defaultCount): Plan {
  const random = new Random(seed);
  // Without a fault every rule holds to the letter, and an order that is wrong is seen at once.
  if (random.chance(0.12)) return calmPlan(seed, random, count);
  const workers = random.between(1, 3);
  const family = random.pick(['leasing', 'pushing', 'partitioned'] as const);
  const ordering = random.pick(['none', 'none', 'key', 'queue'] as const);
  const faults = Array.from({ length: random.between(1, 12) }, () => faultOf(random, workers, family));
  faults.sort((one, other) => one.at - other.at);
  const hasDeadLetterQueue = random.chance(0.85);
  const dying = family === 'partitioned' ? survivableBehaviourOf : behaviourOf;
  const behave = hasDeadLetterQueue ? dying : endingBehaviourOf;
  return {
    seed,
    family,
    workers,
    concurrency: random.between(1, 8),
    ordering,
    acknowledging: random.chance(0.9) ? 'done' : random.pick(['early', 'always'] as const),
    consuming: consumingOf(random, family, ordering),
    cache: random.pick(['none', 'retry', 'retry', 'process'] as const),
    hasDeadLetterQueue,
    consumers: random.chance(0.2) ? 2 : 1,
    messages: messagesOf(random, count, 0, behave),
    faults,
  };
}

/** Nothing goes wrong but what handlers do; of the keys, one is in trouble. */
function calmPlan(seed: number, random: Random, count: number): Plan {
  const family = random.pick(['leasing', 'pushing', 'partitioned'] as const);
  const ordering = random.pick(['none', 'key', 'key', 'queue'] as const);
  return {
    seed,
    family,
    workers: ordering === 'queue' ? 1 : random.between(1, 2),
    concurrency: random.between(2, 8),
    ordering,
    acknowledging: 'done',
    consuming: consumingOf(random, family, ordering),
    cache: random.pick(['none', 'retry'] as const),
    hasDeadLetterQueue: true,
    consumers: random.chance(0.2) ? 2 : 1,
    // When the workers have found together.
    messages: messagesOf(random, count, 10_000, (source, key) =>
      key === 'key-1'
        ? source.pick(['succeed', 'throw-always', 'throw-once', 'retry-later'] as const)
        : 'succeed',
    ),
    faults: random.chance(0.3) ? [{ at: random.between(0, 20_000), kind: 'queue-away', forMs: 15_000 }] : [],
  };
}

function messagesOf(
  random: Random,
  count: number,
  fromMs: number,
  behave: (random: Random, key: string | undefined) => HandlerBehaviour,
): PlannedMessage[] {
  // Now and then all at once, so that windows and batches are full.
  const overMs = random.pick([0, 2_000, 30_000, 30_000] as const);
  const keys = fromMs === 0 ? random.between(2, 6) : 2;
  return Array.from({ length: count }, (): PlannedMessage => {
    const key = random.chance(0.6) ? `key-${random.between(1, keys)}` : undefined;
    return { at: fromMs + random.between(0, overMs), key, behaviour: behave(random, key) };
  }).sort((one, other) => one.at - other.at);
}

function behaviourOf(random: Random): HandlerBehaviour {
  let luck = random.between(1, 1_000);
  for (const [behaviour, share] of Object.entries(shares)) {
    luck -= share;
    if (luck <= 0) return behaviour as HandlerBehaviour;
  }
  return 'succeed';
}

/**
 * A member that comes and goes has the partitions handed out anew each time: the others would never get to the end of a
 * long handler. The order of a key that was sent back is one loop's.
 */
function consumingOf(random: Random, family: Plan['family'], ordering: Plan['ordering']): Plan['consuming'] {
  const isLong = family === 'partitioned' || ordering === 'key' || random.chance(0.8);
  return isLong ? 'loop' : 'until-empty';
}

/** Without a dead-letter queue a message that never succeeds comes again for ever: there is none here. */
function endingBehaviourOf(random: Random): HandlerBehaviour {
  const behaviour = survivableBehaviourOf(random);
  return behaviour === 'throw-always' ? 'throw-once' : behaviour;
}

/** A broker that does not tell how often it handed a message out cannot help one that ends its process. */
function survivableBehaviourOf(random: Random): HandlerBehaviour {
  const behaviour = behaviourOf(random);
  return behaviour === 'end-process' ? 'throw-once' : behaviour;
}

const networkFaults = ['request-lost', 'answer-lost', 'request-doubled', 'stall', 'late'] as const;

function faultOf(random: Random, workers: number, family: Plan['family']): PlannedFault {
  const at = random.between(0, faultsEndMs - 20_000);
  const worker = random.between(0, workers - 1);
  const forMs = random.between(10, 15_000);
  // At the time itself, or in the midst of what follows.
  const afterSteps = random.chance(0.3) ? 0 : random.between(1, 40);
  const kinds = ['network', 'network', 'cut', 'crash', 'stop', 'freeze', 'clock-step', 'cache-away'] as const;
  const rare = ['cache-forgets', 'rebalance', 'rebalance', 'fail-over', 'queue-away'] as const;
  const kind = random.chance(0.8) ? random.pick(kinds) : random.pick(rare);
  switch (kind) {
    case 'network': {
      // Requests of publishers go astray, too.
      const disturbed = random.chance(0.3) ? publisher : worker;
      const lastsMs = disturbed === publisher ? forMs * 2 : forMs;
      return { at, kind, worker: disturbed, fault: random.pick(networkFaults), forMs: lastsMs };
    }
    case 'cut':
      return { at, kind, worker };
    case 'crash':
      return { at, kind, worker, afterSteps, forMs };
    case 'stop': {
      const deadlineMs = random.between(0, 3_000);
      const stopped = random.chance(0.15) ? publisher : worker;
      return { at, kind, worker: stopped, afterSteps, deadlineMs, forMs, isUpgrade: random.chance(0.3) };
    }
    case 'freeze':
      return { at, kind, worker, forMs };
    case 'clock-step':
      return { at, kind, worker, byMs: random.pick([-3_600_000, 3_600_000]) };
    case 'fail-over':
      // Only brokers of the leasing family may forget what they confirmed: Redis, whose replicas are behind.
      if (family !== 'leasing') return { at, kind: 'cut', worker };
      return { at, kind, forgetsMs: random.between(1, 1_000) };
    case 'rebalance':
      return family === 'partitioned' ? { at, kind } : { at, kind: 'cut', worker };
    case 'cache-away':
    case 'queue-away':
      return { at, kind, forMs };
    case 'cache-forgets':
      return { at, kind };
  }
}
