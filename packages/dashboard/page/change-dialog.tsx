import { useEffect, useRef, useState } from 'preact/hooks';
import type { ChangeRequest } from '../src/api.ts';
import { letters } from './format.ts';
import { post } from './http.ts';

interface ChangeDialogProps {
  readonly path: string;
  readonly queue: string;
  readonly action: 'redrive' | 'discard';
  readonly which: Pick<ChangeRequest, 'ids' | 'group' | 'text' | 'all'>;
  readonly count: number;
  readonly onClose: (isBegun: boolean) => void;
}

/** Says what is going to happen, and asks. */
export function ChangeDialog({ path, queue, action, which, count, onClose }: ChangeDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [rate, setRate] = useState('');
  const [first, setFirst] = useState('');
  const [patience, setPatience] = useState('300');
  const [isSure, setSure] = useState(action === 'redrive');
  const [error, setError] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  useEffect(() => dialog.current?.showModal(), []);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    const request: ChangeRequest = {
      action,
      ...which,
      ...(rate !== '' && { maxPerSecond: Number(rate) }),
      ...(first !== '' && { canaryFirst: Number(first), canaryPatienceMs: Number(patience) * 1_000 }),
    };
    try {
      await post(`${path}/changes`, request);
      onClose(true);
    } catch (failure) {
      setError((failure as Error).message);
      setBusy(false);
    }
  };
  const isRedrive = action === 'redrive';
  return (
    <dialog class="change" ref={dialog} aria-labelledby="change-title" onClose={() => onClose(false)}>
      <form onSubmit={submit}>
        <h2 id="change-title">
          {isRedrive ? 'Redrive' : 'Discard'} {letters(count)}
        </h2>
        <p>
          {isRedrive
            ? `They go back to the queues that they failed in, and leave ${queue} when they are confirmed there.`
            : `They are removed from ${queue} for good. This cannot be undone.`}
        </p>
        {isRedrive ? (
          <>
            <label>
              At most so many a second
              <input
                type="number"
                min="0.1"
                step="any"
                value={rate}
                placeholder="no bound"
                onInput={(event) => setRate(event.currentTarget.value)}
              />
            </label>
            <label>
              Letters that go first, as a trial
              <input
                type="number"
                min="1"
                value={first}
                placeholder="none"
                onInput={(event) => setFirst(event.currentTarget.value)}
              />
            </label>
            {first !== '' && (
              <label>
                Seconds to wait whether they come back
                <input
                  type="number"
                  min="0"
                  step="any"
                  required
                  value={patience}
                  onInput={(event) => setPatience(event.currentTarget.value)}
                />
              </label>
            )}
          </>
        ) : (
          <label class="sure">
            <input
              type="checkbox"
              checked={isSure}
              onChange={(event) => setSure(event.currentTarget.checked)}
            />
            Remove them for good
          </label>
        )}
        {error !== undefined && <p role="alert">{error}</p>}
        <footer>
          <button type="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit" class={isRedrive ? 'primary' : 'danger'} disabled={isBusy || !isSure}>
            {isRedrive ? 'Redrive' : 'Discard'}
          </button>
        </footer>
      </form>
    </dialog>
  );
}
