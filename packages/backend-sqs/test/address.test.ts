import { silentLogger } from '@melange/core';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { SqsBackend, type SqsBackendOptions } from '../src/index.ts';

const credentials = { accessKeyId: 'key-id', secretAccessKey: 'secret' };
const nowhere = {
  AWS_REGION: undefined,
  AWS_ENDPOINT_URL: undefined,
  AWS_ENDPOINT_URL_SQS: undefined,
  AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: undefined,
};

async function addressFor(
  client: SqsBackendOptions['client'],
  environment: Readonly<Record<string, string>> = {},
): Promise<string | undefined> {
  for (const [name, value] of Object.entries({ ...nowhere, ...environment })) vi.stubEnv(name, value);
  await using backend = new SqsBackend({ logger: silentLogger, ...(client && { client }) });
  return backend.address;
}

describe('the address', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test.each([
    ['a URL', 'http://127.0.0.1:4566/'],
    ['a URL with credentials', 'http://user:secret@127.0.0.1:4566'],
    ['an object', { protocol: 'http:', hostname: '127.0.0.1', port: 4566, path: '/' }],
    ['a URL in an object', { url: new URL('http://user:secret@127.0.0.1:4566') }],
  ])('is host and port of an endpoint that is %s', async (_, endpoint) => {
    expect(await addressFor({ endpoint, region: 'eu-west-1', credentials })).toBe('127.0.0.1:4566');
  });

  test('is the region without an endpoint, and in preference to that of the environment', async () => {
    expect(await addressFor({ region: 'eu-west-1', credentials }, { AWS_REGION: 'us-east-1' })).toBe(
      'region eu-west-1',
    );
    expect(await addressFor(undefined, { AWS_REGION: 'us-east-1' })).toBe('region us-east-1');
  });

  test('is the endpoint of the environment, that of SQS alone before that of all services', async () => {
    const all = { AWS_REGION: 'us-east-1', AWS_ENDPOINT_URL: 'http://all.example:1' };
    expect(await addressFor(undefined, all)).toBe('all.example:1');
    const one = { ...all, AWS_ENDPOINT_URL_SQS: 'http://sqs.example:2' };
    expect(await addressFor(undefined, one)).toBe('sqs.example:2');
    const ignored = { ...one, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: 'true' };
    expect(await addressFor(undefined, ignored)).toBe('region us-east-1');
  });

  test('is not told where only the SDK finds out', async () => {
    expect(await addressFor(undefined)).toBeUndefined();
    expect(await addressFor({ region: async () => 'eu-west-1', credentials })).toBeUndefined();
    expect(
      await addressFor({ endpoint: async () => ({ url: new URL('http://sqs.example') }) }),
    ).toBeUndefined();
  });
});
