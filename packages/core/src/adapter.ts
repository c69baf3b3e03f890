export { checkDelayMs, checkWholeNumber } from './check-number.ts';
