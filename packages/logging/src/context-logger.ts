import type { ConsumeContext, Logger } from '@melange/core';
import type { Facts } from './facts.ts';

/**
 * A logger whose every line has message id, correlation id and attempt among its facts, and `more`, such as the queue. For consumers
 * of a dispatcher: the handlers of a service of `@melange/service` have one that is bound already, `context.logger`.
 */
export function contextLogger(logger: Logger, context: ConsumeContext, more: Facts = {}): Logger {
  const { messageId, correlationId, attempt } = context;
  const common: Facts = { ...more, messageId, correlationId, attempt };
  return {
    debug: (message, facts) => logger.debug(message, { ...common, ...facts }),
    info: (message, facts) => logger.info(message, { ...common, ...facts }),
    warn: (message, facts) => logger.warn(message, { ...common, ...facts }),
    error: (message, facts) => logger.error(message, { ...common, ...facts }),
  };
}
