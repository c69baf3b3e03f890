import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import type { Measurement, Meter, Task } from './contestant.ts';

/** A meter, and what it has measured when its window has ended. */
export interface RunningMeter extends Meter {
  /** @throws Error when the window has not ended. */
  measurement(): Measurement;
}

/** Measures this process. */
export function startMeter({ warmUp, messages }: Pick<Task, 'warmUp' | 'messages'>): RunningMeter {
  let requests = 0;
  // Where Node itself begins a request: whatever client library made it.
  subscribe('http.client.request.start', () => {
    requests += 1;
  });
  let handled = 0;
  let begun: { readonly at: number; readonly cpu: NodeJS.CpuUsage; readonly requests: number } | undefined;
  let measured: Omit<Measurement, 'figures'> | undefined;
  const figures: Record<string, number> = {};
  let resolveEnded = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    resolveEnded = resolve;
  });
  const meter: RunningMeter = {
    ended,
    begin() {
      begun = { requests, cpu: process.cpuUsage(), at: performance.now() };
    },
    end() {
      if (begun === undefined || measured !== undefined) return;
      const milliseconds = performance.now() - begun.at;
      const { user, system } = process.cpuUsage(begun.cpu);
      measured = {
        milliseconds,
        cpuMilliseconds: (user + system) / 1_000,
        peakBytes: peakBytes(),
        requests: requests - begun.requests,
      };
      resolveEnded();
    },
    handled() {
      handled += 1;
      if (handled === warmUp) meter.begin();
      else if (handled === warmUp + messages) meter.end();
    },
    report(name, value) {
      figures[name] = value;
    },
    measurement() {
      if (measured === undefined) throw new Error('the measured window has not ended');
      return { ...measured, figures };
    },
  };
  return meter;
}

/** Most memory that this program ever held. Linux's own figure of a process counts in what its parent held at the fork. */
function peakBytes(): number {
  const status = process.platform === 'linux' ? readFileSync('/proc/self/status', 'utf8') : '';
  const kibibytes = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? process.resourceUsage().maxRSS);
  return kibibytes * 1_024;
}
