/** Schema of Melange's tables in benchmarks. */
export const melangeSchema = 'bench_melange';
