export type { AuditEntry, DashboardOptions, DashboardQueue } from './options.ts';
export {
  type DashboardHandler,
  dashboardHandler,
  type ServedDashboard,
  type ServeOptions,
  serveDashboard,
} from './serve.ts';
