import { expect, test } from 'vitest';
import { LaneWaits } from '../src/dispatch/lane-waits.ts';
import { Lanes } from '../src/dispatch/lanes.ts';
import { Parking } from '../src/dispatch/parking.ts';
import { Work } from '../src/dispatch/work.ts';
import { ManualClock, settled } from './support/manual-clock.ts';
import { RecordingDelivery } from './support/recording-delivery.ts';

test('a message of a parked key that is lost while it waits in its lane keeps its place when it comes again', async () => {
  const clock = new ManualClock();
  const lanes = new Lanes<Work>();
  const parking: Parking = new Parking({
    clock,
    lanes,
    waits: new LaneWaits(clock, () => undefined),
    isStarved: () => true,
    isFull: () => false,
    pump: () => parking.relieve(),
    onLeft: () => undefined,
    report: (error) => expect.unreachable(String(error)),
  });
  const arrive = (id: string): RecordingDelivery => {
    const delivery = new RecordingDelivery({ id, key: 'a' });
    parking.enter(new Work(delivery), 'a');
    return delivery;
  };
  const sentBack = ['first', 'second', 'third', 'fourth'].map(arrive).slice(1);
  lanes.takeReady();
  parking.relieve();
  await clock.advance(500);
  await settled();
  expect(sentBack.map(({ settlements }) => settlements.length)).toEqual([1, 1, 1]);

  arrive('second').controller.abort();
  const again = arrive('second');
  arrive('third');
  arrive('fourth');
  const waiting = [...lanes].map(({ delivery }) => delivery);
  expect(waiting.map(({ message }) => message.id)).toEqual(['first', 'second', 'second', 'third', 'fourth']);
  expect(waiting[2]).toBe(again);
  parking.stop();
});
