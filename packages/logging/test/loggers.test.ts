import { consumeContext } from '@melange/core';
import { contextLogger, jsonLogger, pinoLogger } from '@melange/logging';
import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';

/** What is written, as objects. */
function collected() {
  const lines: string[] = [];
  return { lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe('jsonLogger', () => {
  it('writes one JSON object for each line, with its facts', () => {
    const { lines, parsed } = collected();
    const logger = jsonLogger({ write: (line) => lines.push(line) });
    logger.info('charged', { queue: 'orders', messageId: 'm-1', attempt: 2, absent: undefined });
    expect(parsed()).toEqual([
      {
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        level: 'info',
        message: 'charged',
        queue: 'orders',
        messageId: 'm-1',
        attempt: 2,
      },
    ]);
    expect(lines[0]).not.toContain('\n');
  });

  it('writes what is at its level or above, to standard output', () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
    const levels = () =>
      log.mock.calls.map(([line]) => (JSON.parse(String(line)) as { level: string }).level);
    const all = (logger = jsonLogger()) => {
      logger.debug('a');
      logger.info('b');
      logger.warn('c');
      logger.error('d');
    };
    all();
    expect(levels()).toEqual(['info', 'warn', 'error']);
    log.mockClear();
    all(jsonLogger({ level: 'error' }));
    expect(levels()).toEqual(['error']);
    log.mockClear();
    all(jsonLogger({ level: 'debug' }));
    expect(levels()).toEqual(['debug', 'info', 'warn', 'error']);
    log.mockRestore();
  });

  it('writes an error as an object, with its causes', () => {
    const { lines, parsed } = collected();
    const cause = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    const error = new TypeError('fetch failed', { cause });
    jsonLogger({ write: (line) => lines.push(line) }).error('message will be retried', { error });
    expect(parsed()[0]?.error).toEqual({
      name: 'TypeError',
      message: 'fetch failed',
      stack: error.stack,
      cause: { name: 'Error', message: 'refused', code: 'ECONNREFUSED', stack: cause.stack },
    });
  });

  it('never throws, whatever the facts are, and keeps its own fields', () => {
    const { lines, parsed } = collected();
    const logger = jsonLogger({ write: (line) => lines.push(line) });
    const circle: Record<string, unknown> = { name: 'a', twice: [] };
    circle.self = circle;
    const shared = { x: 1 };
    logger.info('odd', { circle, cents: 10n, one: shared, other: shared, time: 'mine', level: 'mine' });
    const failing = {
      toJSON: () => {
        throw new Error('no');
      },
    };
    logger.info('worse', { failing, attempt: 3 });
    const error = new Error('loop');
    error.cause = error;
    logger.info('itself', { error });
    expect(parsed()[0]).toMatchObject({
      level: 'info',
      message: 'odd',
      circle: { name: 'a', twice: [], self: '[circular]' },
      cents: '10',
      one: { x: 1 },
      other: { x: 1 },
      time: expect.stringMatching(/Z$/),
    });
    expect(parsed()[1]).toMatchObject({ message: 'worse', attempt: 3 });
    expect(lines).toHaveLength(3);
  });

  it('asks for further facts when it writes, and a line is not lost where they fail', () => {
    const { lines, parsed } = collected();
    const facts = vi.fn(() => ({ traceId: 't', queue: 'other' }) as Record<string, string>);
    const logger = jsonLogger({ facts, write: (line) => lines.push(line) });
    logger.debug('not written');
    logger.info('one', { queue: 'orders' });
    facts.mockImplementation(() => {
      throw new Error('no');
    });
    logger.info('two', { queue: 'orders' });
    expect(parsed()).toMatchObject([{ traceId: 't', queue: 'orders' }, { queue: 'orders' }]);
    expect(facts).toHaveBeenCalledTimes(2);
    expect(facts).toHaveBeenCalledWith({ queue: 'orders' });
  });
});

describe('pinoLogger', () => {
  it('writes by levels of pino, with facts and errors as pino has them', () => {
    const { lines, parsed } = collected();
    const target = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
    const logger = pinoLogger(target, { facts: () => ({ traceId: 't' }) });
    logger.debug('a');
    logger.info('b', { queue: 'orders', messageId: 'm-1' });
    logger.warn('c');
    logger.error('d', { error: new TypeError('odd') });
    expect(parsed()).toMatchObject([
      { level: 20, msg: 'a', traceId: 't' },
      { level: 30, msg: 'b', queue: 'orders', messageId: 'm-1', traceId: 't' },
      { level: 40, msg: 'c' },
      { level: 50, msg: 'd', err: { type: 'TypeError', message: 'odd', stack: expect.any(String) } },
    ]);
  });
});

describe('contextLogger', () => {
  it('binds what a line about a message should say', () => {
    const { lines, parsed } = collected();
    const logger = jsonLogger({ level: 'debug', write: (line) => lines.push(line) });
    const context = consumeContext({ messageId: 'm-1', correlationId: 'checkout-7', attempt: 2 });
    const bound = contextLogger(logger, context, { queue: 'orders' });
    bound.debug('a');
    bound.info('b', { cents: 5 });
    bound.warn('c');
    bound.error('d', { attempt: 9 });
    const common = { queue: 'orders', messageId: 'm-1', correlationId: 'checkout-7', attempt: 2 };
    expect(parsed()).toMatchObject([
      { level: 'debug', ...common },
      { level: 'info', ...common, cents: 5 },
      { level: 'warn', ...common },
      { level: 'error', ...common, attempt: 9 },
    ]);
  });
});
