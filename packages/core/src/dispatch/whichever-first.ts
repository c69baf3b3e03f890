/**
 * A signal that is aborted as soon as one of the two is, until it is released. `AbortSignal.any` has no release: in Node 20
 * each of its signals stays registered with a source that is never aborted.
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
