export { JsonSerializer } from './json-serializer.ts';
