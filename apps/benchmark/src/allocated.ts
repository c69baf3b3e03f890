import { GCProfiler, getHeapStatistics } from 'node:v8';

/** Bytes that `work` allocates on the heap: what each collection found more than the one before had left. */
export async function bytesAllocatedBy(work: () => Promise<void>): Promise<number> {
  const profiler = new GCProfiler();
  let left = getHeapStatistics().used_heap_size;
  profiler.start();
  await work();
  const { statistics } = profiler.stop();
  let allocated = 0;
  for (const { beforeGC, afterGC } of statistics) {
    allocated += beforeGC.heapStatistics.usedHeapSize - left;
    left = afterGC.heapStatistics.usedHeapSize;
  }
  return allocated + getHeapStatistics().used_heap_size - left;
}
