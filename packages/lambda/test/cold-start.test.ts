import { expect, test } from 'vitest';
import { bundle } from './support/bundle.ts';

test('a bundled function is smaller than 1 MB, and begins without SNS and the credentials of developers', async () => {
  await using made = await bundle('orders');
  expect(made.bytes).toBeLessThan(1_000_000);
  const isImported = (name: string): boolean => made.imported.some((path) => path.includes(name));
  expect(isImported('@aws-sdk/client-sqs')).toBe(true);
  expect(isImported('@aws-sdk/client-sns')).toBe(false);
  expect(isImported('@aws-sdk/credential-provider-sso')).toBe(false);
});
