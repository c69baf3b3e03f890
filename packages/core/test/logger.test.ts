import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { warningLogger } from '@melange/core';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

const written: string[] = [];
beforeEach(() => {
  written.length = 0;
  for (const level of ['warn', 'error'] as const)
    vi.spyOn(console, level).mockImplementation((...parts: unknown[]) => void written.push(parts.join(' ')));
});
afterEach(() => vi.restoreAllMocks());

test('an event is one line, with its facts and without a stack', () => {
  const error = new RangeError('too\nfar', { cause: new Error('"no"') });
  warningLogger.error('message dead-lettered to dead: rejected', {
    queue: 'orders',
    attempt: 2,
    consumer: undefined,
    note: 'two words',
    empty: '',
    error,
  });
  expect(written).toEqual([
    'melange: message dead-lettered to dead: rejected queue=orders attempt=2 note="two words" empty="" error="RangeError: too\\nfar < Error: \\"no\\""',
  ]);
  warningLogger.warn('nothing more');
  expect(written[1]).toBe('melange: nothing more');
});

test('facts of any kind are written, and none makes it throw', () => {
  const bare: unknown = Object.create(null);
  warningLogger.error('odd', { bare, symbol: Symbol('s'), error: bare, list: ['a', 'b'] });
  expect(written).toEqual(['melange: odd bare={} symbol=Symbol(s) error="{}" list="[\\"a\\",\\"b\\"]"']);
});

test('debug and info are silent', () => {
  warningLogger.debug('debug');
  warningLogger.info('info');
  expect(written).toEqual([]);
});

test('NODE_DEBUG=melange writes every level, and stacks', async () => {
  const program = fileURLToPath(new URL('support/log-at-every-level.ts', import.meta.url));
  const { stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', program], {
    env: { ...process.env, NODE_DEBUG: 'melange' },
  });
  expect(stderr).toMatch(
    /^melange: at debug\nmelange: at info\nmelange: at error error="Error: declined"\nError: declined\n +at /m,
  );
});
