import { useEffect, useRef, useState } from 'preact/hooks';
import type { GroupView, LookView, Overview } from '../src/api.ts';
import { ChangeDialog } from './change-dialog.tsx';
import { Bars } from './charts.tsx';
import { count, harmless, letters, time } from './format.ts';
import { useLoaded } from './hooks.ts';
import { get, pathOf, queryOf } from './http.ts';
import { Letter } from './letter.tsx';
import { LetterList } from './letter-list.tsx';

interface DeadLettersProps {
  readonly broker: string;
  readonly queue: string;
  readonly overview: Overview;
}

/** Dead letters of a queue: grouped, over time, one by one. */
export function DeadLetters({ broker, queue, overview }: DeadLettersProps) {
  const path = pathOf(broker, queue);
  const [group, setGroup] = useState<string>();
  const [typed, setTyped] = useState('');
  const [text, setText] = useState('');
  const [opened, setOpened] = useState<string>();
  const [asked, setAsked] = useState<'redrive' | 'discard'>();
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [trouble, setTrouble] = useState<string>();
  const isFresh = useRef(false);
  const ended = overview.jobs.filter(
    ({ endedAt, queue: of }) => endedAt !== undefined && of === queue,
  ).length;
  const {
    value: look,
    error,
    isLoading,
    reload,
  } = useLoaded(`${path}?${queryOf({ group, text })}#${ended}`, (signal) => {
    const fresh = isFresh.current ? 1 : undefined;
    isFresh.current = false;
    return get<LookView>(`${path}?${queryOf({ group, text, fresh })}`, signal);
  });
  const last = useRef<LookView>();
  if (look !== undefined) last.current = look;
  const shown = look ?? last.current;

  useEffect(() => setSelected(new Set()), [shown?.takenAt]);
  const toggle = (id: string): void =>
    setSelected((before) => {
      const after = new Set(before);
      if (!after.delete(id)) after.add(id);
      return after;
    });
  const total = group === undefined ? shown?.count : shown?.groups.find((one) => one.group === group)?.count;
  const meant = selected.size > 0 ? selected.size : (total ?? 0);
  const which =
    selected.size > 0
      ? { ids: [...selected] }
      : group === undefined && text === ''
        ? { all: true as const }
        : { ...(group !== undefined && { group }), ...(text !== '' && { text }) };

  return (
    <section aria-labelledby="dead">
      <p>
        <a href="#/">All queues</a>
      </p>
      <h2 id="dead">
        Dead letters of {queue} <span class="quiet">on {broker}</span>
      </h2>
      {[error, trouble].map((message) => message !== undefined && <p role="alert">{message}</p>)}
      <div class="tools">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            setText(typed.trim());
          }}
        >
          <label>
            Filter
            <input
              type="search"
              value={typed}
              placeholder="error, id, manifest, queue"
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          </label>
          <button type="submit">Filter</button>
        </form>
        <button
          type="button"
          onClick={() => {
            isFresh.current = true;
            reload();
          }}
        >
          Look again
        </button>
      </div>
      <p role="status" class="quiet">
        {isLoading && 'Looking … '}
        {shown !== undefined &&
          `${letters(shown.count)} as of ${time(shown.takenAt)}${shown.isComplete ? '' : '; there are more than a look goes through'}`}
      </p>
      {shown !== undefined && (
        <>
          {shown.histogram !== undefined && <Bars histogram={shown.histogram} />}
          <Groups groups={shown.groups} chosen={group} onChoose={setGroup} />
          {overview.allowChanges && (
            <div class="actions">
              <span>
                {selected.size > 0
                  ? `${letters(selected.size)} selected`
                  : `No letter selected: all ${letters(meant)}`}
              </span>
              {(['redrive', 'discard'] as const).map((action) => (
                <button key={action} type="button" disabled={meant === 0} onClick={() => setAsked(action)}>
                  {action === 'redrive' ? 'Redrive …' : 'Discard …'}
                </button>
              ))}
              {selected.size > 0 && (
                <button type="button" onClick={() => setSelected(new Set())}>
                  Select none
                </button>
              )}
            </div>
          )}
          <LetterList
            path={path}
            filter={{ group, text: text === '' ? undefined : text }}
            takenAt={shown.takenAt}
            total={total ?? 0}
            selected={selected}
            onToggle={overview.allowChanges ? toggle : undefined}
            onOpen={setOpened}
            onError={setTrouble}
          />
        </>
      )}
      {opened !== undefined && <Letter path={path} id={opened} onClose={() => setOpened(undefined)} />}
      {asked !== undefined && (
        <ChangeDialog
          path={path}
          queue={queue}
          action={asked}
          which={which}
          count={meant}
          onClose={() => setAsked(undefined)}
        />
      )}
    </section>
  );
}

interface GroupsProps {
  readonly groups: readonly GroupView[];
  readonly chosen: string | undefined;
  readonly onChoose: (group: string | undefined) => void;
}

function Groups({ groups, chosen, onChoose }: GroupsProps) {
  return (
    <ul class="groups" aria-label="Groups of letters that failed alike">
      {groups
        .slice(0, 200)
        .map(({ group, count: size, reason, consumer, errorName, errorMessage, first, last }) => (
          <li key={group}>
            <button
              type="button"
              aria-pressed={group === chosen}
              onClick={() => onChoose(group === chosen ? undefined : group)}
            >
              <span class="size">{count(size)}</span>{' '}
              <span class="what">
                <strong>{harmless(errorName ?? reason ?? 'unknown')}</strong> {harmless(errorMessage ?? '')}
              </span>
              <span class="quiet">
                {[reason, consumer]
                  .filter(Boolean)
                  .map((part) => harmless(part as string))
                  .join(' · ')}{' '}
                · {time(first)} to {time(last)}
              </span>
            </button>
          </li>
        ))}
    </ul>
  );
}
