import { expect, test } from 'vitest';
import { AttemptMemory } from '../src/consume/attempt-memory.ts';
import type { ReceivedMessage } from '../src/wire/message.ts';

function received(receives: number, id = 'm-1'): ReceivedMessage {
  return { MessageId: id, Attributes: { ApproximateReceiveCount: String(receives) } };
}

test('a message that nothing is known of counts its receives, of which ten at most are redeliveries', () => {
  const memory = new AttemptMemory();
  const counts = [1, 2, 3, 4, 5, 21].map((receives) => memory.countsOf(received(receives)));
  expect(counts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 21]);
  expect(counts.map(({ redeliveries }) => redeliveries)).toEqual([0, 1, 2, 3, 4, 10]);
});

test('what went back comes as it is told to, and receives elsewhere count besides', () => {
  const memory = new AttemptMemory();
  memory.remember(received(5), { attempt: 2, redeliveries: 0 });
  expect(memory.countsOf(received(6))).toEqual({ attempt: 2, redeliveries: 0 });
  expect(memory.countsOf(received(8))).toEqual({ attempt: 4, redeliveries: 2 });
  expect(memory.countsOf(received(90))).toMatchObject({ redeliveries: 10 });
  memory.remember(received(6), { attempt: 3, redeliveries: 1 });
  expect(memory.countsOf(received(7))).toEqual({ attempt: 3, redeliveries: 1 });
});

test('receives behind another message of its group were no runs', () => {
  const memory = new AttemptMemory();
  expect(memory.countsOf(received(7), true)).toEqual({ attempt: 1, redeliveries: 0 });
  memory.remember(received(5), { attempt: 2, redeliveries: 1 });
  expect(memory.countsOf(received(9), true)).toEqual({ attempt: 2, redeliveries: 1 });
});

test('a message that SQS counts from the beginning again is a new one, and so is one that was forgotten', () => {
  const memory = new AttemptMemory();
  memory.remember(received(5), { attempt: 5, redeliveries: 0 });
  expect(memory.countsOf(received(1))).toEqual({ attempt: 1, redeliveries: 0 });
  expect(memory.countsOf(received(5))).toEqual({ attempt: 5, redeliveries: 4 });
  memory.forget(received(5));
  expect(memory.countsOf(received(6))).toEqual({ attempt: 6, redeliveries: 5 });
});

test('of 20,000 messages it knows those that went back last', () => {
  const memory = new AttemptMemory();
  for (let index = 0; index <= 20_000; index += 1)
    memory.remember(received(1, `m-${index}`), { attempt: 1, redeliveries: 0 });
  expect(memory.countsOf(received(2, 'm-0')).attempt).toBe(2);
  expect(memory.countsOf(received(2, 'm-1')).attempt).toBe(1);
  // What goes back once more is the latest again.
  memory.remember(received(2, 'm-1'), { attempt: 1, redeliveries: 0 });
  memory.remember(received(1, 'm-20001'), { attempt: 1, redeliveries: 0 });
  expect(memory.countsOf(received(3, 'm-1')).attempt).toBe(1);
  expect(memory.countsOf(received(2, 'm-2')).attempt).toBe(2);
});
