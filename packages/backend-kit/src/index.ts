export { type Backend, type BackendClass, type Browsing, defineBackend } from './backend.ts';
export { type BrowseDriver, type BrowseDriverOptions, badCursor } from './browsing.ts';
export { checkContentBytes, checkName, checkSubscribeOptions, type NameRules } from './checks.ts';
export { type Leased, type LeaseSettings, Leases } from './consume/leases.ts';
export type { BackendDefinition, BackendOptions } from './definition.ts';
export type {
  Again,
  BatchAnswer,
  BatchLimits,
  ConnectionDriver,
  Destination,
  DirectPublishDriver,
  Driver,
  DriverContext,
  Fault,
  Intake,
  LaneDriver,
  LeaseDriver,
  Outgoing,
  PublishDriver,
  PullContext,
  PullDriver,
  PullSource,
  PushDriver,
  PushSource,
  Received,
  Renewal,
  SettleDriver,
  SubscriptionContext,
  Take,
  TopologyDriver,
} from './driver.ts';
export { unlessMissing } from './explain.ts';
export { describedFilter, redeclaredFilter, type TopicFilter } from './filters.ts';
export { Troubles, type TroublesOptions } from './health/troubles.ts';
export { reconnectDelayMs } from './reconnect-delay.ts';
export { sendEach } from './send-each.ts';
export { SharedRequests, type SharedRequestsSettings } from './shared-requests.ts';
export { contentHeader, type Envelope, fromEnvelope, toEnvelope } from './wire/envelope.ts';
export { packHeaders, unpackHeaders } from './wire/packed-headers.ts';
