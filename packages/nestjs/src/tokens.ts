/** Token of the options. */
export const melangeOptions: unique symbol = Symbol.for('melange:nestjs:options') as never;

/** Token of the backend, or of the backends by name: a test overrides it. */
export const MELANGE_BACKEND: unique symbol = Symbol.for('melange:nestjs:backend') as never;

/** Token of the deduplication cache, `undefined` where there is none: a test overrides it. */
export const MELANGE_CACHE: unique symbol = Symbol.for('melange:nestjs:cache') as never;
