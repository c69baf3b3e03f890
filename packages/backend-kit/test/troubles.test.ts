import type { Logger } from '@melange/core';
import { expect, test } from 'vitest';
import { Troubles } from '../src/index.ts';

function setUp() {
  const lines: string[] = [];
  const write = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const logger: Logger = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  };
  const time = { now: 0 };
  return { lines, time, troubles: new Troubles({ logger, monotonicNow: () => time.now }) };
}

test('a trouble is degraded at once and unhealthy after 30 s', () => {
  const { troubles, time } = setUp();
  expect(troubles.health()).toEqual({ status: 'healthy' });
  troubles.begin('receiving from queue "orders"', 'the queue does not exist');
  expect(troubles.health()).toEqual({
    status: 'degraded',
    detail: 'trouble receiving from queue "orders" for 0 s: the queue does not exist',
  });
  time.now = 29_999;
  expect(troubles.health().status).toBe('degraded');
  time.now = 30_000;
  expect(troubles.health().status).toBe('unhealthy');
  troubles.end('receiving from queue "orders"');
  expect(troubles.health()).toEqual({ status: 'healthy' });
});

test('a trouble that is reported again keeps its age, takes the new reason, and writes no second line', () => {
  const { troubles, time, lines } = setUp();
  troubles.begin('publishing to topic "events"', 'refused');
  time.now = 30_000;
  troubles.begin('publishing to topic "events"', 'full');
  expect(troubles.health()).toEqual({
    status: 'unhealthy',
    detail: 'trouble publishing to topic "events" for 30 s: full',
  });
  troubles.end('publishing to topic "events"');
  troubles.end('publishing to topic "events"');
  expect(lines).toEqual([
    'warn trouble publishing to topic "events"',
    'info recovered from trouble publishing to topic "events"',
  ]);
});

test('the oldest of several troubles decides', () => {
  const { troubles, time } = setUp();
  troubles.begin('a', 'first');
  time.now = 20_000;
  troubles.begin('b', 'second');
  time.now = 30_000;
  expect(troubles.health()).toMatchObject({ status: 'unhealthy', detail: 'trouble a for 30 s: first' });
  troubles.end('a');
  expect(troubles.health()).toMatchObject({ status: 'degraded', detail: 'trouble b for 10 s: second' });
});

test('a forgotten trouble writes no line', () => {
  const { troubles, lines } = setUp();
  troubles.begin('a', 'first');
  expect(troubles.has('a')).toBe(true);
  troubles.forget('a');
  expect(troubles.has('a')).toBe(false);
  expect(troubles.health()).toEqual({ status: 'healthy' });
  expect(lines).toEqual(['warn trouble a']);
});

test('a trouble that rests is forgotten when its time is over, without a line, unless it is reported again', () => {
  const { troubles, time, lines } = setUp();
  troubles.rest('a', 60_000);
  troubles.begin('a', 'first');
  troubles.rest('a', 60_000);
  time.now = 59_999;
  expect(troubles.health()).toMatchObject({ status: 'unhealthy' });
  troubles.begin('a', 'second');
  time.now = 200_000;
  expect(troubles.health()).toMatchObject({ detail: 'trouble a for 200 s: second' });
  troubles.rest('a', 60_000);
  time.now = 260_000;
  expect(troubles.has('a')).toBe(false);
  expect(troubles.health()).toEqual({ status: 'healthy' });
  expect(lines).toEqual(['warn trouble a']);
});

test('one that is reported after its rest begins anew', () => {
  const { troubles, time } = setUp();
  troubles.begin('a', 'first');
  troubles.rest('a', 60_000);
  time.now = 60_000;
  troubles.begin('a', 'second');
  expect(troubles.health()).toMatchObject({ status: 'degraded', detail: 'trouble a for 0 s: second' });
});

test('a minor trouble is degraded however long it lasts, and hides no other one', () => {
  const { troubles, time } = setUp();
  troubles.begin('a', 'first', true);
  time.now = 20_000;
  troubles.begin('b', 'second');
  time.now = 60_000;
  expect(troubles.health()).toMatchObject({ status: 'unhealthy', detail: 'trouble b for 40 s: second' });
  troubles.end('b');
  expect(troubles.health()).toEqual({ status: 'degraded', detail: 'trouble a for 60 s: first' });
});

test('a note is one warning, and a line in the detail, whatever the status is', () => {
  const { troubles, lines } = setUp();
  troubles.note('frames are written by the client library');
  troubles.note('frames are written by the client library');
  expect(lines).toEqual(['warn frames are written by the client library']);
  expect(troubles.health()).toEqual({
    status: 'healthy',
    detail: 'frames are written by the client library',
  });
  troubles.begin('being connected', 'reset');
  expect(troubles.health()).toEqual({
    status: 'degraded',
    detail: 'trouble being connected for 0 s: reset; frames are written by the client library',
  });
});
