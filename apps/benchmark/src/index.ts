export { type BenchmarkOptions, readArguments, UsageError } from './arguments.ts';
export { type BenchmarkResult, runBenchmark } from './benchmark.ts';
export { tables } from './tables/index.ts';
