import { expect, test } from 'vitest';
import { dashboardView } from '../observe/dashboard-view.ts';
import { type DrawnSpan, traceView } from '../observe/trace-view.ts';

const span = (
  id: string,
  parent: string | undefined,
  start: number,
  end: number,
  attributes = {},
): DrawnSpan => ({
  id,
  parent,
  name: `span <${id}>`,
  start,
  end,
  attributes: { 'messaging.system': 'kafka', ...attributes },
});

/** Texts of a picture, in their order. */
const texts = (picture: string): (string | undefined)[] =>
  [...picture.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);

test('a trace is drawn with what followed below what it followed from, and what became of it', () => {
  const picture = traceView('One order', [
    span('c', 'b', 1_030, 2_080, { 'melange.attempt': 2, 'messaging.system': 'aws_sqs' }),
    span('a', 'elsewhere', 1_000, 1_010),
    span('d', 'a', 1_090, 1_091, {
      'melange.outcome': 'dead-letter',
      'melange.dead_letter.reason': 'rejected',
    }),
    span('b', 'a', 1_020, 1_024.5, {
      'melange.outcome': 'retry',
      'melange.retry.delay_ms': 50,
      'error.type': 'TypeError',
    }),
  ]);
  expect(texts(picture)).toEqual([
    'One order',
    '4 spans, 2 brokers, 1.08 s',
    'aws_sqs',
    'kafka',
    'span &lt;a&gt;',
    '10 ms',
    'span &lt;b&gt;',
    '4.5 ms, TypeError: again in 50 ms',
    'span &lt;c&gt;',
    '1.05 s, attempt 2',
    'span &lt;d&gt;',
    '1.0 ms, dead letter: rejected',
  ]);
  const lefts = [...picture.matchAll(/<text x="(\d+)" y="\d+">span/g)].map(([, x]) => Number(x));
  expect(lefts).toEqual([16, 30, 44, 30]);
});

test('a panel of the dashboard names what it shows, the highest first, and nothing that stayed at 0', () => {
  const line = (name: string, ...values: number[]) => ({
    name,
    points: values.map((value, second): [number, number] => [second, value]),
  });
  const lines = [line('low', 1, 1, 1), line('never', 0, 0, 0), line('high', 0, 10, 5)];
  const picture = dashboardView('All', [{ title: 'Retries', unit: 'cps', lines }]);
  expect(texts(picture)).toEqual(['All', '2 s', 'Retries', '0/s', '5.5/s', '11/s', 'high', 'low']);
  expect(picture.match(/<polyline/g)).toHaveLength(2);
});
