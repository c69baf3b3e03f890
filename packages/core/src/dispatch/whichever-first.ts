/**
 * Aborted as soon as one of the two is, until it is released. `AbortSignal.any` has no release: what it makes stays with
 * a source that is never aborted, one for each call (Node 20).
 */
export function whicheverFirst(
  closing: AbortSignal,
  stopping: AbortSignal | undefined,
): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const sources = stopping === undefined ? [closing] : [closing, stopping];
  for (const source of sources) {
    if (source.aborted) abort();
    else source.addEventListener('abort', abort, { once: true });
  }
  return {
    signal: controller.signal,
    release: () => {
      for (const source of sources) source.removeEventListener('abort', abort);
    },
  };
}
