import { expect, it } from 'vitest';
import { Acknowledgements } from '../src/consume/acknowledgements.ts';

it('sends the acknowledgements of one turn together, and tells each what became of them', async () => {
  const sent: (readonly string[])[] = [];
  const acknowledgements = new Acknowledgements(async (ids) => {
    sent.push(ids);
    if (sent.length > 1) throw new Error('no answer');
  });
  await Promise.all([acknowledgements.add('1'), acknowledgements.add('2')]);
  const outcomes = await Promise.allSettled([acknowledgements.add('3'), acknowledgements.add('4')]);
  expect(sent).toEqual([
    ['1', '2'],
    ['3', '4'],
  ]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
});
