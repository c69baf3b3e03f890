/**
 * Offsets that are finished although an earlier one is not, as they travel in the metadata of a commit: runs of
 * unfinished and finished offsets in turn, from the committed offset on. So what was finished out of order is
 * delivered to nobody again, neither after a rebalance nor after a restart.
 */

/** Begins all metadata of ours. */
export const finishedMark = 'melange1:';

/** Bounded, whatever somebody may have written. */
const runForm = /^[0-9a-z]{1,9}\.[0-9a-z]{1,4}$/;
const longestRun = 36 ** 4 - 1;

/** The broker takes 4,096 bytes by default (`offset.metadata.max.bytes`). What does not fit may be delivered again. */
export const maxMetadataBytes = 4_000;

/**
 * @param finished ascending, each at least `offset`.
 * @param longest in bytes.
 */
export function describeFinished(
  offset: number,
  finished: Iterable<number>,
  longest: number = maxMetadataBytes,
): string {
  const runs: { gap: number; length: number }[] = [];
  let next = offset;
  for (const one of finished) {
    const last = runs.at(-1);
    if (last !== undefined && one === next && last.length < longestRun) last.length += 1;
    else runs.push({ gap: one - next, length: 1 });
    next = one + 1;
  }
  if (runs.length === 0 || longest <= finishedMark.length) return '';
  let text = finishedMark;
  for (const { gap, length } of runs) {
    const run = `${gap.toString(36)}.${length.toString(36)},`;
    if (text.length + run.length > longest) break;
    text += run;
  }
  return text;
}

/** What `describeFinished` wrote; nothing when somebody else committed. */
export function finishedBeyond(metadata: string, offset: number): Set<number> {
  const finished = new Set<number>();
  if (!metadata.startsWith(finishedMark)) return finished;
  let next = offset;
  for (const run of metadata.slice(finishedMark.length).split(',')) {
    if (!runForm.test(run)) break;
    const [gap = 0, length = 0] = run.split('.').map((number) => Number.parseInt(number, 36));
    next += gap;
    for (let count = 0; count < length; count += 1) finished.add(next + count);
    next += length;
  }
  return finished;
}
