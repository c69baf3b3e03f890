export { checkDelayMs, checkWholeNumber } from './check-number.ts';
export { describeThrown, type ThrownDescription, thrownText } from './thrown.ts';
