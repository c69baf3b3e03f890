export { type CircuitBreakerOptions, circuitBreaker } from './flow/circuit-breaker.ts';
export type { FlowControl, FlowEnvironment, Limiter, StartedFlowControl } from './flow/flow-control.ts';
export { type RateLimitOptions, rateLimit } from './flow/rate-limit.ts';
