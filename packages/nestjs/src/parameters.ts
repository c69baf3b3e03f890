/** Key under which Nest's parameter decorators, those of `createParamDecorator` included, say what a method takes. */
export const parametersKey = '__routeArguments__';

/** The message, which pipes know as `body`: so `@Payload()` of `@nestjs/microservices` calls it, too. */
export const messageParameter = 3;
/** What `@Ctx()` of `@nestjs/microservices` calls the context. */
export const contextParameter = 6;
/** The message when its schema has validated it, which pipes know as `custom`. */
export const validatedMessageParameter = 0;

/** Finds the value of a decorated parameter among what a handler is called with, for Nest. */
export const parameters: {
  exchangeKeyForValue(type: number, property: unknown, values: readonly unknown[]): unknown;
} = {
  exchangeKeyForValue(type, property, [message, context]) {
    if (type === contextParameter) return context;
    if (type !== messageParameter && type !== validatedMessageParameter) return undefined;
    return typeof property === 'string' ? (message as Record<string, unknown>)[property] : message;
  },
};
