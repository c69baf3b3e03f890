import { createServer, type Server, type ServerResponse } from 'node:http';
import { metricsContentType, metricsText, queueLoads, recordMetrics } from '@melange/metrics';
import type { AnyService, Metrics } from './service.ts';

const paths: readonly string[] = ['/live', '/ready', '/metrics', '/queues'];

/** The endpoints of a service, listening. */
export interface Endpoints {
  /** The port that it listens on. */
  readonly port: number;
  /** Answers what is under way, and no more. */
  close(): Promise<void>;
}

/**
 * `GET /live`: 200 while the process runs. `GET /ready`: 200, or 503 while the service is unhealthy; before it has started and
 * while it stops it is. `GET /metrics`: text for Prometheus. `GET /queues`: what waits and what is in flight, by queue, for autoscalers.
 *
 * @param port 0 takes a free one.
 * @throws what Node says when it cannot listen.
 */
export async function serveEndpoints(
  service: AnyService,
  port: number,
  host: string | undefined,
  metrics: Metrics = metricsText,
): Promise<Endpoints> {
  if (metrics === metricsText) recordMetrics();
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    answer(service, path, request.method, metrics, response).catch((error: unknown) => {
      respond(
        response,
        500,
        'text/plain; charset=utf-8',
        error instanceof Error ? error.message : String(error),
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return { port: (server.address() as { port: number }).port, close: () => close(server) };
}

async function answer(
  service: AnyService,
  path: string | undefined,
  method: string | undefined,
  metrics: Metrics,
  response: ServerResponse,
): Promise<void> {
  if (path === undefined || !paths.includes(path))
    return respond(response, 404, 'text/plain; charset=utf-8', 'not found');
  if (method !== 'GET' && method !== 'HEAD')
    return respond(response, 405, 'text/plain; charset=utf-8', 'GET only');
  if (path === '/live') return respondJson(response, 200, { status: 'alive' });
  if (path === '/metrics') return respond(response, 200, metricsContentType, await metrics(service));
  if (path === '/queues') return respondJson(response, 200, { queues: await queueLoads(service) });
  const health = await service.health();
  respondJson(response, health.status === 'unhealthy' ? 503 : 200, health);
}

function respondJson(response: ServerResponse, status: number, body: object): void {
  respond(response, status, 'application/json; charset=utf-8', JSON.stringify(body));
}

function respond(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' }).end(body);
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}
