import { Troubles } from '@melange/backend-kit';
import { type MelangeError, QueueNotFoundError, silentLogger } from '@melange/core';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { GroupSession, JoinAnswer } from '../src/client/index.ts';
import { Assignment } from '../src/consume/assignment.ts';
import { type LossReason, Membership, type MembershipContext } from '../src/consume/membership.ts';
import { PartitionTracker } from '../src/consume/partition-tracker.ts';
import { Progress } from '../src/consume/progress.ts';
import type { TakenRecord } from '../src/consume/taken-record.ts';
import { settingsOf } from '../src/options.ts';
import { readSubscription, writeAssignment } from '../src/wire/group.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

type Request = 'join' | 'sync' | 'heartbeat' | 'commit' | 'leave' | 'close';

/** A membership over a client that a test scripts; it counts the members that the group knows of. */
function scene() {
  const settings = settingsOf({ brokers: ['localhost:9092'], sessionTimeoutMs: 6_000 });
  const layout = { deadLetterQueue: undefined, bindings: new Map(), topics: ['orders'] };
  const troubles = new Troubles({ logger: silentLogger });
  const progress = new Progress('orders', settings, troubles);
  const told = {
    sessions: 0,
    requests: [] as Request[],
    topics: [] as (readonly string[])[],
    lost: [] as LossReason[],
    gone: [] as MelangeError[],
    assigned: [] as Assignment[],
    mostMembers: 0,
  };
  /** What the group knows. */
  const members = new Set<string>();
  const open = new Set<number>();
  /** Says how a request goes, in place of the group: by an error, or later. */
  const script: Partial<Record<Request, () => unknown>> = {};
  let ids = 0;
  let generation = 0;
  const run = async (request: Request): Promise<void> => {
    told.requests.push(request);
    await script[request]?.();
  };
  const openGroup = (): GroupSession => {
    told.sessions += 1;
    const number = told.sessions;
    open.add(number);
    return {
      async join({ memberId, bytes }): Promise<JoinAnswer> {
        told.topics.push(readSubscription(bytes));
        await run('join');
        if (memberId !== '' && !members.has(memberId)) throw refusal('UNKNOWN_MEMBER_ID');
        ids += memberId === '' ? 1 : 0;
        const id = memberId || `member-${ids}`;
        members.add(id);
        told.mostMembers = Math.max(told.mostMembers, members.size);
        generation += 1;
        return { memberId: id, generation, leaderId: id, members: [{ memberId: id, bytes }] };
      },
      async sync(_place, _protocol, assignments) {
        await run('sync');
        return assignments[0]?.bytes ?? writeAssignment({});
      },
      async heartbeat({ memberId }) {
        await run('heartbeat');
        if (!members.has(memberId)) throw refusal('UNKNOWN_MEMBER_ID');
      },
      commit: () => run('commit'),
      async leave(memberId) {
        await run('leave');
        members.delete(memberId);
      },
      fetch: async () => [],
      async close() {
        open.delete(number);
        await run('close');
      },
    };
  };
  let isThere = true;
  const context: MembershipContext = {
    queue: 'orders',
    client: { openGroup, leadersOf: async (topic) => (topic === 'orders' ? partitions : [1]) },
    topology: {
      layoutOf: async () => {
        if (!isThere) throw new QueueNotFoundError('orders');
        return { ...layout };
      },
    },
    settings,
    progress,
    logger: silentLogger,
    load: async (assigned) => {
      const trackers = (assigned.orders ?? []).map((partition) => {
        const tracker = new PartitionTracker('orders', partition, 0, new Set());
        return [`orders/${partition}`, tracker] as const;
      });
      return new Assignment(new Map(trackers), () => undefined);
    },
    onAssigned: (assignment) => told.assigned.push(assignment),
    onLost: (assignment, reason) => {
      told.lost.push(reason);
      for (const taken of assignment.busy.all()) assignment.leaveBusy(taken);
    },
    onGone: (error) => told.gone.push(error),
  };
  const partitions = [1];
  const membership = new Membership({ ...layout }, context);
  const setThere = (value: boolean): void => {
    isThere = value;
  };
  return { membership, troubles, progress, layout, partitions, told, members, open, script, setThere };
}

function refusal(type: string): Error {
  return Object.assign(new Error(type), { type });
}

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds);
const never = () => new Promise(() => undefined);

/** A record that is handed over and not finished. */
function busyWith(assignment: Assignment | undefined): TakenRecord {
  const taken = { slot: -1, entry: {} } as unknown as TakenRecord;
  assignment?.busy.add(taken);
  return taken;
}

/** Joined, with partition 0. */
async function steady() {
  const scripted = scene();
  scripted.membership.start();
  await pass(10);
  expect(scripted.membership.state).toBe('steady');
  return scripted;
}

async function expectLeft({ membership, members, open, told }: ReturnType<typeof scene>): Promise<void> {
  const leaving = membership.leave();
  await pass(20_000);
  await leaving;
  expect(membership.state).toBe('left');
  expect([members.size, open.size]).toEqual([0, 0]);
  expect(told.mostMembers).toBe(1);
  const { length } = told.requests;
  await pass(60_000);
  expect(told.requests).toHaveLength(length);
}

describe('a member', () => {
  test('joins, lives, and leaves in order: nothing is asked after that', async () => {
    const scripted = await steady();
    const { told } = scripted;
    await pass(3_000);
    expect(told.requests.slice(0, 2)).toEqual(['join', 'sync']);
    expect(told.requests.filter((request) => request === 'heartbeat').length).toBeGreaterThan(2);
    expect(told.assigned[0]?.trackers.size).toBe(1);
    await expectLeft(scripted);
    expect(told.requests.slice(-2)).toEqual(['leave', 'close']);
  });

  test('drains in a rebalance, lives on meanwhile, commits, and joins as the same member', async () => {
    const scripted = await steady();
    const { membership, told, script } = scripted;
    const [assignment] = told.assigned;
    const tracker = assignment?.tracker('orders', 0);
    const taken = busyWith(assignment);
    script.heartbeat = () => Promise.reject(refusal('REBALANCE_IN_PROGRESS'));
    await pass(1_500);
    expect([membership.state, assignment?.isLost]).toEqual(['draining', true]);
    const beats = told.requests.length;
    await pass(1_000);
    expect(told.requests.length).toBeGreaterThan(beats);
    tracker?.receive(0);
    tracker?.finish(0);
    assignment?.leaveBusy(taken);
    script.heartbeat = () => undefined;
    await pass(10);
    const others = told.requests.filter((request) => request !== 'heartbeat');
    expect(others).toEqual(['join', 'sync', 'commit', 'join', 'sync']);
    await pass(10);
    expect(membership.state).toBe('steady');
    expect(told.lost).toEqual(['partition-revoked']);
    await expectLeft(scripted);
  });

  test('hands over what is not finished by the deadline of a rebalance', async () => {
    const scripted = await steady();
    const { membership, told, script } = scripted;
    busyWith(told.assigned[0]);
    script.heartbeat = () => Promise.reject(refusal('REBALANCE_IN_PROGRESS'));
    await pass(1_000);
    script.heartbeat = () => undefined;
    await pass(2_900);
    expect(membership.state).toBe('draining');
    await pass(200);
    expect(membership.state).toBe('steady');
    expect(told.lost).toEqual(['partition-revoked']);
    await expectLeft(scripted);
  });

  test('that the group does not know any more loses all at once, and joins as another', async () => {
    const scripted = await steady();
    const { membership, told, members } = scripted;
    busyWith(told.assigned[0]);
    members.clear();
    await pass(1_100);
    expect(membership.state).toBe('steady');
    expect(told.lost).toEqual(['partition-revoked']);
    expect(members).toEqual(new Set(['member-2']));
    await expectLeft(scripted);
  });

  test('whose commits are fenced loses all at once, and joins again', async () => {
    const scripted = await steady();
    const { membership, told, script } = scripted;
    const tracker = told.assigned[0]?.tracker('orders', 0);
    tracker?.receive(0);
    tracker?.finish(0);
    script.commit = () => Promise.reject(refusal('ILLEGAL_GENERATION'));
    await membership.flush();
    await pass(10);
    expect(told.lost).toEqual(['partition-revoked']);
    expect([membership.state, told.assigned.length]).toEqual(['steady', 2]);
    await expectLeft(scripted);
  });

  test('whose heartbeats fail keeps its partitions for a session, and not for longer', async () => {
    const scripted = await steady();
    const { membership, told, script, members } = scripted;
    busyWith(told.assigned[0]);
    script.heartbeat = () => Promise.reject(new Error('no connection'));
    script.leave = never;
    await pass(5_000);
    expect([membership.state, told.lost]).toEqual(['steady', []]);
    await pass(3_000);
    expect(told.lost).toEqual(['connection-lost']);
    // The group forgets who is silent.
    members.clear();
    delete script.heartbeat;
    delete script.leave;
    await pass(5_000);
    expect(membership.state).toBe('steady');
    await expectLeft(scripted);
  });

  test('that waits for the group without an answer gives up, says so, and joins over other connections', async () => {
    const scripted = scene();
    const { membership, troubles, told, script } = scripted;
    script.join = never;
    membership.start();
    await pass(10_000);
    expect(troubles.health().detail).toMatch('reaching the group of queue "orders"');
    expect(told.sessions).toBe(1);
    await pass(2_500);
    delete script.join;
    await pass(5_000);
    expect([membership.state, told.sessions]).toEqual(['steady', 2]);
    await expectLeft(scripted);
  });

  test('waits for a coordinator that moves without a word', async () => {
    const scripted = scene();
    const { membership, troubles, script } = scripted;
    script.join = () => Promise.reject(refusal('NOT_COORDINATOR_FOR_GROUP'));
    membership.start();
    await pass(1_000);
    expect(troubles.health()).toEqual({ status: 'healthy' });
    delete script.join;
    await pass(100);
    expect(membership.state).toBe('steady');
    await expectLeft(scripted);
  });

  test('that was asleep for longer than a session lets go, be an old answer at hand', async () => {
    const scripted = await steady();
    const { membership, told } = scripted;
    await pass(5_000);
    const { assignment } = membership;
    // The process stands still: no timer fires.
    const started = performance.now();
    vi.spyOn(performance, 'now').mockImplementation(() => started + 7_000);
    expect(membership.isTrusted()).toBe(false);
    expect(assignment?.isLost).toBe(true);
    expect(told.lost).toEqual(['connection-lost']);
    vi.restoreAllMocks();
    await expectLeft(scripted);
  });
});

describe('a queue that changes', () => {
  test('topics and partitions that are added are shared out anew by the same member', async () => {
    const scripted = await steady();
    const { membership, layout, partitions, told } = scripted;
    await membership.reread();
    await pass(10);
    expect(told.assigned).toHaveLength(1);
    partitions.push(1);
    await membership.reread();
    await pass(10);
    expect(told.assigned[1]?.trackers.size).toBe(2);
    layout.topics = ['orders', 'events'];
    await membership.reread();
    await pass(10);
    expect(told.topics).toEqual([['orders'], ['orders'], ['orders', 'events']]);
    await expectLeft(scripted);
  });

  test('a topic that is added while it joins is read', async () => {
    const scripted = scene();
    const { membership, layout, told, script } = scripted;
    let join: (value?: unknown) => void = () => undefined;
    script.join = () => new Promise((resolve) => (join = resolve));
    membership.start();
    await pass(10);
    layout.topics = ['orders', 'events'];
    await membership.reread();
    delete script.join;
    join();
    await pass(10);
    expect(membership.state).toBe('steady');
    expect(told.topics).toEqual([['orders'], ['orders', 'events']]);
    await expectLeft(scripted);
  });

  test('a crash in the middle of reading other topics leaves one member, which reads them', async () => {
    const scripted = await steady();
    const { membership, layout, told, script } = scripted;
    const tracker = told.assigned[0]?.tracker('orders', 0);
    tracker?.receive(0);
    tracker?.finish(0);
    let confirm: (value?: unknown) => void = () => undefined;
    script.commit = () => new Promise((resolve) => (confirm = resolve));
    layout.topics = ['orders', 'events'];
    await membership.reread();
    await pass(10);
    expect([membership.state, told.requests.at(-1)]).toEqual(['draining', 'commit']);
    membership.onCrash(new Error('crashed'));
    await pass(10);
    confirm();
    await pass(5_000);
    expect(membership.state).toBe('steady');
    expect(told.topics.at(-1)).toEqual(['orders', 'events']);
    expect(scripted.members.size).toBe(1);
    await expectLeft(scripted);
  });

  test('is deleted when its member has left, and is joined when it is there again', async () => {
    const scripted = await steady();
    const { membership, told, members, setThere } = scripted;
    busyWith(told.assigned[0]);
    await Promise.all([membership.standDown(), pass(10)]);
    expect([membership.state, members.size, told.lost]).toEqual(['out', 0, ['connection-lost']]);
    await pass(60_000);
    expect(membership.state).toBe('out');
    setThere(false);
    membership.onCrash(new QueueNotFoundError('orders'));
    await pass(5_000);
    expect(told.gone.length).toBeGreaterThan(1);
    expect(membership.state).toBe('out');
    setThere(true);
    // Whoever declares it says so.
    await membership.reread();
    await pass(10);
    expect(membership.state).toBe('steady');
    await expectLeft(scripted);
  });
});

/** What may happen to a member, at any time. */
const events = {
  crash: ({ membership }: ReturnType<typeof scene>) => membership.onCrash(new Error('crashed')),
  revoke: ({ script }: ReturnType<typeof scene>) => {
    script.heartbeat = () => Promise.reject(refusal('REBALANCE_IN_PROGRESS'));
  },
  fence: ({ members }: ReturnType<typeof scene>) => members.clear(),
  reread: ({ membership, partitions }: ReturnType<typeof scene>) => {
    partitions.push(1);
    void membership.reread();
  },
  'stand down': ({ membership }: ReturnType<typeof scene>) =>
    void membership.standDown().then(() => membership.onCrash(new Error('deleted'))),
  leave: ({ membership }: ReturnType<typeof scene>) => void membership.leave(),
  silence: ({ script }: ReturnType<typeof scene>) => {
    script.heartbeat = never;
    script.commit = never;
  },
  'slow joining': ({ script }: ReturnType<typeof scene>) => {
    script.join = () => new Promise((resolve) => setTimeout(resolve, 2_000));
  },
} as const;

type Event = keyof typeof events;
const names = Object.keys(events) as Event[];
const orders = names.flatMap((first) =>
  names.flatMap((second) => names.map((third) => [first, second, third] as const)),
);

describe('every order of three events', () => {
  test.each(['at once', 'each in the middle of the last one', 'each after the last one'] as const)(
    '%s: never two members, and in the end one, or none where it left',
    async (when) => {
      for (const order of orders) {
        const scripted = await steady();
        const { membership, script, members, open, told } = scripted;
        busyWith(told.assigned[0]);
        const label = `${order.join(', ')} ${when}`;
        for (const event of order) {
          events[event](scripted);
          // The group forgets who is silent for a session.
          if (when === 'each in the middle of the last one') await pass(1_100);
          if (when === 'each after the last one') {
            await pass(7_000);
            if (script.heartbeat === never) members.clear();
          }
        }
        await pass(15_000);
        if (script.heartbeat === never) members.clear();
        for (const request of Object.keys(script) as Request[]) delete script[request];
        await pass(40_000);
        const hasLeft = order.includes('leave');
        expect([label, membership.state]).toEqual([label, hasLeft ? 'left' : 'steady']);
        expect([label, members.size, open.size]).toEqual([label, hasLeft ? 0 : 1, hasLeft ? 0 : 1]);
        await expectLeft(scripted);
      }
    },
    60_000,
  );
});
