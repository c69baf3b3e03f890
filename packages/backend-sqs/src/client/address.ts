import type { AwsClientSettings } from '../options.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Where SQS is, for people: host and port of an endpoint that is given, else the region. Without credentials, which the
 * address of an endpoint may hold.
 *
 * @returns `undefined` where only the AWS SDK finds out: by its configuration files, or by a function that it is given.
 */
export function addressOf(
  { endpoint, region }: AwsClientSettings = {},
  environment: Environment = process.env,
): string | undefined {
  const given = endpoint ?? endpointOf(environment);
  if (typeof given === 'function') return undefined;
  if (given !== undefined) return hostOf(given);
  const place = region ?? environment.AWS_REGION;
  return typeof place === 'string' && place !== '' ? `region ${place}` : undefined;
}

/** The SDK prefers the variable of the one service. */
function endpointOf(environment: Environment): string | undefined {
  if (environment.AWS_IGNORE_CONFIGURED_ENDPOINT_URLS === 'true') return undefined;
  return environment.AWS_ENDPOINT_URL_SQS || environment.AWS_ENDPOINT_URL || undefined;
}

function hostOf(
  endpoint: Exclude<AwsClientSettings['endpoint'], undefined | (() => unknown)>,
): string | undefined {
  if (typeof endpoint === 'object' && 'url' in endpoint) return endpoint.url.host;
  if (typeof endpoint === 'object') {
    const { hostname, port } = endpoint;
    return port === undefined ? hostname : `${hostname}:${port}`;
  }
  return URL.canParse(endpoint) ? new URL(endpoint).host : undefined;
}
