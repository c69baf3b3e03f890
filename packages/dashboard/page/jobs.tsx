import type { JobView } from '../src/api.ts';
import { count, time } from './format.ts';
import { post } from './http.ts';

/** Redrives and discards, those under way with a bar. */
export function Jobs({
  jobs,
  canCancel,
}: {
  readonly jobs: readonly JobView[];
  readonly canCancel: boolean;
}) {
  if (jobs.length === 0) return null;
  return (
    <section class="jobs" aria-labelledby="jobs">
      <h2 id="jobs">Changes</h2>
      <ul>
        {jobs.slice(0, 10).map((job) => (
          <li key={job.id}>
            <strong>{job.action}</strong> of {job.letters} of {job.queue}, by {job.user} at{' '}
            {time(job.startedAt)}
            {job.result === undefined ? (
              <Progress job={job} canCancel={canCancel} />
            ) : (
              <div role="status">{job.result}</div>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function Progress({ job, canCancel }: { readonly job: JobView; readonly canCancel: boolean }) {
  const { id, moved, failed, expected } = job;
  const label = `${count(moved)}${expected === undefined ? '' : ` of ${count(expected)}`} done${failed > 0 ? `, ${count(failed)} failed` : ''}`;
  return (
    <div class="progress">
      <progress aria-label={label} {...(expected !== undefined && { value: moved, max: expected })} />
      <span>{label}</span>
      {canCancel && (
        <button type="button" onClick={() => void post(`api/jobs/${id}/cancel`, {}).catch(() => undefined)}>
          Cancel
        </button>
      )}
    </div>
  );
}
