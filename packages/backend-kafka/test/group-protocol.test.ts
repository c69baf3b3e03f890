import { AssignerProtocol } from 'kafkajs';
import { expect, test } from 'vitest';
import {
  readAssignment,
  readSubscription,
  shareOut,
  writeAssignment,
  writeSubscription,
} from '../src/wire/group.ts';

const userData = Buffer.alloc(0);

test('members of the versions before, which kafkajs wrote for, are understood and understand', () => {
  const topics = ['orders', 'zürich.retry'];
  const subscription = { version: 1, topics, userData };
  expect(writeSubscription(topics)).toEqual(AssignerProtocol.MemberMetadata.encode(subscription));
  expect(readSubscription(AssignerProtocol.MemberMetadata.encode(subscription))).toEqual(topics);
  const assignment = { orders: [0, 2], 'zürich.retry': [2] };
  const theirs = AssignerProtocol.MemberAssignment.encode({ version: 1, assignment, userData });
  expect(writeAssignment(assignment)).toEqual(theirs);
  expect({ ...readAssignment(theirs) }).toEqual(assignment);
  expect({ ...readAssignment(Buffer.alloc(0)) }).toEqual({});
});

test('partitions of one number go to one member, those of a topic to members that read it', () => {
  const members = [
    { memberId: 'b', topics: ['orders', 'orders.retry', 'events'] },
    { memberId: 'a', topics: ['orders', 'orders.retry'] },
    { memberId: 'c', topics: [] },
  ];
  const shares = shareOut(members, (topic) => (topic === 'events' ? 2 : 3));
  expect(Object.fromEntries([...shares].map(([id, share]) => [id, { ...share }]))).toEqual({
    a: { orders: [0, 2], 'orders.retry': [0, 2] },
    b: { orders: [1], 'orders.retry': [1], events: [0, 1] },
    c: {},
  });
});
