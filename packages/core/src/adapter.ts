export { checkDelayMs, checkWholeNumber } from './contract/check-number.ts';
export { describeThrown, type ThrownDescription, thrownText } from './errors.ts';
export { hiddenContent, isPlain } from './messages/hidden-content.ts';
