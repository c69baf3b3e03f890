export { checkDelayMs, checkWholeNumber } from './check-number.ts';
export { hiddenContent, isPlain } from './hidden-content.ts';
export { describeThrown, type ThrownDescription, thrownText } from './thrown.ts';
