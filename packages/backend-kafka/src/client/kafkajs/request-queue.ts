/// <reference path="./kafkajs-modules.d.ts" />
import RequestQueue from 'kafkajs/src/network/requestQueue/index.js';

/**
 * Lets a connection look for requests that wait only while some do. kafkajs looks a thousand times a second, for as long as
 * the connection lives, and Node 24 warns of it (tulios/kafkajs 1751). It looks again when one begins to wait, and at
 * every answer.
 */
export function restWhenIdle(): void {
  const { prototype } = RequestQueue;
  const schedule = prototype.scheduleCheckPendingRequests;
  if (schedule === undefined || rested.has(schedule)) return;
  const scheduleWhereWaiting = function (this: RequestQueue): void {
    if (this.pending.length > 0) schedule.call(this);
  };
  rested.add(scheduleWhereWaiting);
  prototype.scheduleCheckPendingRequests = scheduleWhereWaiting;
}

const rested = new WeakSet<object>();
