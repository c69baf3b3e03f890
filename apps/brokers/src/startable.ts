/** Set for the test files: names, with commas. */
const variable = 'MELANGE_STARTABLE_BROKERS';

/**
 * Whether a test may start a broker of its own, to break it: so it is where the test run's came from the same
 * package. Where it was given by its address or by Docker, the package may be neither there nor to be had.
 */
export function canStartHere(name: 'rabbitmq' | 'redis' | 'sqs' | 'kafka' | 'nats' | 'postgres'): boolean {
  return (process.env[variable] ?? '').split(',').includes(name);
}

/** Tells the test files, whose processes inherit this environment. */
export function sayStartable(names: readonly string[]): void {
  process.env[variable] = names.join(',');
}
