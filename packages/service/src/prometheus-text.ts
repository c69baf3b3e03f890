import type { DispatcherCounters, HealthStatus } from '@melange/core';
import type { AnyService } from './service.ts';

/** `Content-Type` of what `prometheusText` writes. */
export const prometheusContentType = 'text/plain; version=0.0.4; charset=utf-8';

const counters: Readonly<Record<keyof DispatcherCounters, readonly [name: string, help: string]>> = {
  received: ['melange_received_total', 'Deliveries handed over by the broker.'],
  acknowledged: ['melange_acknowledged_total', 'Messages acknowledged.'],
  retried: ['melange_retried_total', 'Messages given back to come again.'],
  deadLettered: ['melange_dead_lettered_total', 'Messages moved to a dead-letter queue.'],
  unhandled: ['melange_unhandled_total', 'Messages that no consumer accepted.'],
  undecodable: ['melange_undecodable_total', 'Messages whose content no serializer could read.'],
  duplicates: ['melange_duplicates_total', 'Runs spared because the cache knew them to be done.'],
};

const healthValue: Readonly<Record<HealthStatus, number>> = { healthy: 0, degraded: 1, unhealthy: 2 };

/** Counters and health of a service, as Prometheus reads them. */
export async function prometheusText(service: AnyService): Promise<string> {
  const byQueue = Object.entries(service.counters());
  const lines: string[] = [];
  for (const [counter, [name, help]] of Object.entries(counters)) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} counter`);
    for (const [queue, values] of byQueue) {
      const labels = labelsOf({ service: service.name, queue });
      lines.push(`${name}${labels} ${values[counter as keyof DispatcherCounters]}`);
    }
  }
  const { status, queues, backends } = await service.health();
  const health = 'melange_health';
  lines.push(`# HELP ${health} 0 healthy, 1 degraded, 2 unhealthy.`, `# TYPE ${health} gauge`);
  lines.push(`${health}${labelsOf({ service: service.name })} ${healthValue[status]}`);
  for (const [queue, part] of Object.entries(queues))
    lines.push(`${health}${labelsOf({ service: service.name, queue })} ${healthValue[part.status]}`);
  for (const [backend, part] of Object.entries(backends))
    lines.push(`${health}${labelsOf({ service: service.name, backend })} ${healthValue[part.status]}`);
  return `${lines.join('\n')}\n`;
}

function labelsOf(labels: Readonly<Record<string, string>>): string {
  const each = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return `{${each.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
