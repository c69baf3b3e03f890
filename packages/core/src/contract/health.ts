/**
 * `healthy`: works. `degraded`: works with limits or is recovering by itself.
 * `unhealthy`: does no work and needs attention, now or if it lasts.
 */
export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy';

/** A status for probes, and the reason for people. */
export interface Health {
  /** How well it works. */
  readonly status: HealthStatus;
  /** Why, whenever it is not `healthy`. Free of credentials. */
  readonly detail?: string;
}

/** Order of the statuses: the greater, the worse. */
export const severity: Readonly<Record<HealthStatus, number>> = { healthy: 0, degraded: 1, unhealthy: 2 };

/**
 * One health of several, such as those of a service's dispatchers: the worst status, and the details of all that are not
 * healthy, each under its name.
 */
export function combineHealth(parts: Readonly<Record<string, Health>>): Health {
  let status: HealthStatus = 'healthy';
  const details: string[] = [];
  for (const [name, part] of Object.entries(parts)) {
    if (part.status === 'healthy') continue;
    if (severity[part.status] > severity[status]) status = part.status;
    details.push(`${name}: ${part.detail ?? part.status}`);
  }
  return status === 'healthy' ? { status } : { status, detail: details.join('; ') };
}
