import type { ConsumeContext, Logger, MessageHeaders } from '@melange/core';
import type { Publishing } from './publishing.ts';
import type { HandlerContext, ServicePublishing } from './service.ts';

/** What a handler is given. What it does not look at is not made. */
export class MessageContext implements HandlerContext {
  readonly queue: string;
  readonly #consume: ConsumeContext;
  readonly #publishing: Publishing;
  readonly #logger: Logger;
  #caused: ServicePublishing | undefined;

  constructor(queue: string, context: ConsumeContext, publishing: Publishing, logger: Logger) {
    this.queue = queue;
    this.#consume = context;
    this.#publishing = publishing;
    this.#logger = logger;
  }

  get messageId(): string {
    return this.#consume.messageId;
  }

  get manifest(): string | undefined {
    return this.#consume.manifest;
  }

  get attempt(): number {
    return this.#consume.attempt;
  }

  get headers(): MessageHeaders {
    return this.#consume.headers;
  }

  get key(): string | undefined {
    return this.#consume.key;
  }

  get correlationId(): string {
    return this.#consume.correlationId;
  }

  get signal(): AbortSignal {
    return this.#consume.signal;
  }

  get publish(): ServicePublishing['publish'] {
    return this.#publishes.publish;
  }

  get publishBatch(): ServicePublishing['publishBatch'] {
    return this.#publishes.publishBatch;
  }

  get send(): ServicePublishing['send'] {
    return this.#publishes.send;
  }

  get sendBatch(): ServicePublishing['sendBatch'] {
    return this.#publishes.sendBatch;
  }

  get logger(): Logger {
    const { queue, messageId, attempt, correlationId } = this;
    return withFacts(this.#logger, { queue, messageId, attempt, correlationId });
  }

  get #publishes(): ServicePublishing {
    this.#caused ??= this.#publishing.because(this.#consume);
    return this.#caused;
  }
}

/** The logger, with facts that every line has. */
function withFacts(logger: Logger, common: Readonly<Record<string, unknown>>): Logger {
  return {
    debug: (message, facts) => logger.debug(message, { ...common, ...facts }),
    info: (message, facts) => logger.info(message, { ...common, ...facts }),
    warn: (message, facts) => logger.warn(message, { ...common, ...facts }),
    error: (message, facts) => logger.error(message, { ...common, ...facts }),
  };
}
