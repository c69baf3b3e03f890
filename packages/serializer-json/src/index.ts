export type { JsonSerializerOptions } from './json-options.ts';
export { JsonSerializer } from './json-serializer.ts';
