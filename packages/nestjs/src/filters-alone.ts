import type { ArgumentsHost } from '@nestjs/common';
import type { ExternalContextCreator } from '@nestjs/core';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';

/** Nest's filters of one method. */
interface Filters {
  invokeCustomFilters(error: unknown, host: ArgumentsHost): unknown;
}

/**
 * The creator of Nest, except that it does not log what no exception filter has answered: the dispatcher does, with what becomes of the
 * message. What it creates answers what the filter does, and `undefined` where none catches the error.
 *
 * It replaces what calls Nest's filters. A version of Nest that calls them by another name goes on as it was, and logs each error once more.
 */
export function filtersAlone(creator: ExternalContextCreator, contextType: string): ExternalContextCreator {
  const createProxy =
    (target: (...values: readonly unknown[]) => unknown, filters: Filters) =>
    async (...values: unknown[]): Promise<unknown> => {
      try {
        return await target(...values);
      } catch (error) {
        const host = new ExecutionContextHost(values);
        host.setType(contextType);
        return filters.invokeCustomFilters(error, host);
      }
    };
  return Object.create(creator, { externalErrorProxy: { value: { createProxy } } }) as ExternalContextCreator;
}
