/**
 * `healthy`: works. `degraded`: works with limits or is recovering by itself.
 * `unhealthy`: does no work and needs attention, now or if it lasts.
 */
export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy';

/** A state for a probe to read, and the reason for a person to. */
export interface Health {
  /** How much works. */
  readonly status: HealthStatus;
  /** Why, whenever it is not `healthy`. Free of credentials. */
  readonly detail?: string;
}
