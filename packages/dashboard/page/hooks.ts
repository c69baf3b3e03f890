import { useCallback, useEffect, useRef, useState } from 'preact/hooks';

/** What was loaded last, and why loading again failed. */
export interface Loaded<Value> {
  readonly value: Value | undefined;
  readonly error: string | undefined;
  readonly isLoading: boolean;
  /** Loads again now. */
  readonly reload: () => void;
}

/** Loads a value when `key` changes, and every so often. The value before stays while another one is loaded. */
export function useLoaded<Value>(
  key: string,
  load: (signal: AbortSignal) => Promise<Value>,
  everyMs?: number,
): Loaded<Value> {
  const [state, setState] = useState<{ key: string; value?: Value; error?: string }>({ key });
  const [isLoading, setLoading] = useState(false);
  const [turn, setTurn] = useState(0);
  const current = useRef(load);
  current.current = load;
  useEffect(() => {
    const ending = new AbortController();
    let timer: number | undefined;
    const run = async (): Promise<void> => {
      setLoading(true);
      try {
        const value = await current.current(ending.signal);
        if (!ending.signal.aborted) setState({ key, value });
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        if (!ending.signal.aborted) setState((before) => ({ ...before, key, error: text }));
      }
      if (ending.signal.aborted) return;
      setLoading(false);
      if (everyMs !== undefined) timer = window.setTimeout(run, everyMs);
    };
    void run();
    return () => {
      ending.abort();
      window.clearTimeout(timer);
    };
  }, [key, turn, everyMs]);
  const reload = useCallback(() => setTurn((before) => before + 1), []);
  const isOfKey = state.key === key;
  return {
    value: isOfKey ? state.value : undefined,
    error: isOfKey ? state.error : undefined,
    isLoading,
    reload,
  };
}

/** The address behind `#`, which the browser's back button goes through. */
export function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const onChange = (): void => setHash(location.hash);
    addEventListener('hashchange', onChange);
    return () => removeEventListener('hashchange', onChange);
  }, []);
  return hash;
}
