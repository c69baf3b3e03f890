import type { AuditView } from '../src/api.ts';
import { time } from './format.ts';
import { useLoaded } from './hooks.ts';
import { get } from './http.ts';

/** Who did what, since the dashboard was started. */
export function Audit() {
  const { value: entries = [], error } = useLoaded(
    'audit',
    (signal) => get<readonly AuditView[]>('api/audit', signal),
    5_000,
  );
  return (
    <section aria-labelledby="audit">
      <h2 id="audit">Audit log</h2>
      {error !== undefined && <p role="alert">{error}</p>}
      {entries.length === 0 && <p class="quiet">Nobody changed anything since the dashboard was started.</p>}
      <ol class="audit">
        {entries.map(({ at, user, action, broker, queue, letters, result }) => (
          <li key={`${at}${action}${result}`}>
            {time(at)}: <strong>{user}</strong> {result === undefined ? 'began' : 'ended'} {action} of{' '}
            {letters} of {queue} on {broker}
            {result !== undefined && `: ${result}`}
          </li>
        ))}
      </ol>
    </section>
  );
}
