export { checkName, checkSubscribeOptions, type NameRules } from './checks.ts';
export { reconnectDelayMs } from './reconnect-delay.ts';
export { Troubles, type TroublesOptions } from './troubles.ts';
