import { render } from 'preact';
import type { Overview } from '../src/api.ts';
import { Audit } from './audit.tsx';
import { DeadLetters } from './dead-letters.tsx';
import { useHash, useLoaded } from './hooks.ts';
import { get } from './http.ts';
import { Jobs } from './jobs.tsx';
import { Queues } from './queues.tsx';
import { ThemeChoice } from './theme.tsx';

const askEveryMs = 2_000;
const askOftenMs = 500;

function Page() {
  const hash = useHash();
  const isBusy = (overview: Overview | undefined): boolean =>
    overview?.jobs.some(({ endedAt }) => endedAt === undefined) ?? false;
  const loaded = useLoaded('overview', (signal) => get<Overview>('api/overview', signal), askEveryMs);
  const { value: overview, error } = loaded;
  const often = useLoaded(
    isBusy(overview) ? 'often' : 'never',
    (signal) => (isBusy(overview) ? get<Overview>('api/overview', signal) : Promise.resolve(undefined)),
    isBusy(overview) ? askOftenMs : undefined,
  );
  const current = often.value ?? overview;
  const [, view, broker, queue] = hash.split('/').map(decodeURIComponent);
  return (
    <>
      <a class="skip" href="#/">
        All queues
      </a>
      <header class="top">
        <h1>
          <a href="#/">Melange</a>
        </h1>
        {current !== undefined && !current.allowChanges && <span class="badge">read-only</span>}
        <nav aria-label="Pages">
          <a href="#/">Queues</a>
          <a href="#/audit">Audit log</a>
        </nav>
        <ThemeChoice />
      </header>
      <main>
        {error !== undefined && (
          <p role="alert" class="away">
            {error}
          </p>
        )}
        {current === undefined ? (
          <p role="status">Asking the brokers …</p>
        ) : view === 'audit' ? (
          <Audit />
        ) : view === 'dead' && broker !== undefined && queue !== undefined ? (
          <DeadLetters key={`${broker}/${queue}`} broker={broker} queue={queue} overview={current} />
        ) : (
          <Queues overview={current} />
        )}
        {current !== undefined && view !== 'audit' && (
          <Jobs jobs={current.jobs} canCancel={current.allowChanges} />
        )}
      </main>
    </>
  );
}

render(<Page />, document.getElementById('page') as HTMLElement);
