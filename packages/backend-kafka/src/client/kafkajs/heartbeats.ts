/// <reference path="./kafkajs-modules.d.ts" />
import ConsumerGroup from 'kafkajs/src/consumer/consumerGroup.js';

const patched = new WeakSet<object>();

/**
 * Lets members send heartbeats when the time of the machine is set back. kafkajs asks the wall clock whether one is due:
 * set back by an hour, it would send none for an hour, and the group would give the partitions to others.
 */
export function beatWhenTimeIsSetBack(): void {
  const { prototype } = ConsumerGroup;
  const beat = prototype.heartbeat;
  if (patched.has(beat)) return;
  const beatInTime: typeof beat = function (this: ConsumerGroup, options) {
    if (this.lastRequest > Date.now()) this.lastRequest = 0;
    return beat.call(this, options);
  };
  patched.add(beatInTime);
  prototype.heartbeat = beatInTime;
}
