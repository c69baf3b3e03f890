import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { LetterRow, PageOfLetters } from '../src/api.ts';
import { count, harmless, time } from './format.ts';
import { get, queryOf } from './http.ts';

/** Rows of one request. */
const pageSize = 100;
/** Rows above and below those in sight. */
const margin = 10;
/** Pages that are kept: scrolling through 100,000 letters does not fill the memory. */
const maxPages = 20;

interface LetterListProps {
  readonly path: string;
  readonly filter: { readonly group: string | undefined; readonly text: string | undefined };
  /** Names the look: another one is loaded anew. */
  readonly takenAt: number;
  readonly total: number;
  readonly selected: ReadonlySet<string>;
  readonly onToggle: ((id: string) => void) | undefined;
  readonly onOpen: (id: string) => void;
  readonly onError: (text: string) => void;
}

/** Letters of which only those in sight are in the document; loaded a hundred at a time. */
export function LetterList(props: LetterListProps) {
  const { path, filter, takenAt, total, selected, onToggle, onOpen, onError } = props;
  const box = useRef<HTMLDivElement>(null);
  const [rowHeight, setRowHeight] = useState(48);
  const [scroll, setScroll] = useState({ top: 0, height: 480 });
  const [active, setActive] = useState(0);
  const query = queryOf({ ...filter, takenAt });
  const [pages, setPages] = useState<{ query: string; rows: ReadonlyMap<number, readonly LetterRow[]> }>({
    query,
    rows: new Map(),
  });
  const rows = pages.query === query ? pages.rows : new Map<number, readonly LetterRow[]>();
  const rowAt = (index: number): LetterRow | undefined =>
    rows.get(Math.floor(index / pageSize))?.[index % pageSize];

  const first = Math.max(0, Math.floor(scroll.top / rowHeight) - margin);
  const last = Math.min(total - 1, Math.ceil((scroll.top + scroll.height) / rowHeight) + margin);
  const [firstPage, lastPage] = [Math.floor(first / pageSize), Math.floor(Math.max(last, 0) / pageSize)];

  useLayoutEffect(() => {
    const element = box.current as HTMLDivElement;
    const measure = (): void => {
      const height = getComputedStyle(element).getPropertyValue('--row-height');
      setRowHeight(Number.parseFloat(height) || 48);
      setScroll({ top: element.scrollTop, height: element.clientHeight });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    setActive(0);
    box.current?.scrollTo({ top: 0 });
  }, [query]);

  useEffect(() => {
    const ending = new AbortController();
    for (let page = firstPage; page <= lastPage && total > 0; page += 1) {
      if (rows.has(page)) continue;
      const range = queryOf({ ...filter, offset: page * pageSize, limit: pageSize });
      get<PageOfLetters>(`${path}/letters?${range}`, ending.signal)
        .then((answer) => {
          setPages((before) => {
            const kept = before.query === query ? [...before.rows] : [];
            return { query, rows: new Map([...kept, [page, answer.rows] as const].slice(-maxPages)) };
          });
        })
        .catch((error: Error) => error.name !== 'AbortError' && onError(error.message));
    }
    return () => ending.abort();
  }, [query, firstPage, lastPage, total]);

  const goTo = (index: number): void => {
    const target = Math.min(Math.max(index, 0), total - 1);
    setActive(target);
    const element = box.current as HTMLDivElement;
    const [top, bottom] = [target * rowHeight, (target + 1) * rowHeight];
    if (top < element.scrollTop) element.scrollTop = top;
    else if (bottom > element.scrollTop + element.clientHeight)
      element.scrollTop = bottom - element.clientHeight;
  };

  const onKeyDown = (event: KeyboardEvent): void => {
    const shown = Math.max(1, Math.floor(scroll.height / rowHeight) - 1);
    const moves: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + shown,
      PageUp: active - shown,
      Home: 0,
      End: total - 1,
    };
    const id = rowAt(active)?.id;
    if (moves[event.key] !== undefined) goTo(moves[event.key] as number);
    else if (event.key === 'Enter' && id !== undefined) onOpen(id);
    else if (event.key === ' ' && id !== undefined) onToggle?.(id);
    else return;
    event.preventDefault();
  };

  const shown = Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  return (
    <div
      class="letters"
      ref={box}
      role="listbox"
      aria-label={`Dead letters: ${count(total)}`}
      aria-multiselectable={onToggle !== undefined}
      aria-activedescendant={rowAt(active) && `letter-${active}`}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onScroll={(event) =>
        setScroll({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })
      }
    >
      <div class="all" role="presentation" style={{ height: `${total * rowHeight}px` }}>
        {shown.map((index) => (
          <Row
            key={index}
            index={index}
            total={total}
            top={index * rowHeight}
            row={rowAt(index)}
            isActive={index === active}
            isSelected={selected.has(rowAt(index)?.id ?? '')}
            onToggle={onToggle}
            onOpen={(id) => {
              setActive(index);
              onOpen(id);
            }}
          />
        ))}
      </div>
    </div>
  );
}

interface RowProps {
  readonly index: number;
  readonly total: number;
  readonly top: number;
  readonly row: LetterRow | undefined;
  readonly isActive: boolean;
  readonly isSelected: boolean;
  readonly onToggle: ((id: string) => void) | undefined;
  readonly onOpen: (id: string) => void;
}

function Row({ index, total, top, row, isActive, isSelected, onToggle, onOpen }: RowProps) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the list box has the keys of its options
    // biome-ignore lint/a11y/useFocusableInteractive: the list box has the focus
    <div
      id={`letter-${index}`}
      class={isActive ? 'letter active' : 'letter'}
      role="option"
      aria-selected={isSelected}
      aria-posinset={index + 1}
      aria-setsize={total}
      style={{ transform: `translateY(${top}px)` }}
      onClick={() => row && onOpen(row.id)}
    >
      {onToggle !== undefined && (
        <span
          class={isSelected ? 'check checked' : 'check'}
          aria-hidden="true"
          onClick={(event) => {
            event.stopPropagation();
            if (row) onToggle(row.id);
          }}
        />
      )}
      {row === undefined ? (
        <span class="quiet">…</span>
      ) : (
        <>
          <span class="what">
            <strong>{harmless(row.errorName ?? row.reason ?? 'unknown')}</strong>{' '}
            {harmless(row.errorMessage ?? '')}
          </span>
          <span class="which quiet">
            {harmless(row.manifest ?? 'no manifest')} · {harmless(row.id)}
          </span>
          <span class="when quiet">{time(row.deadLetteredAt)}</span>
        </>
      )}
    </div>
  );
}
