import { useEffect, useRef } from 'preact/hooks';
import type { LetterView } from '../src/api.ts';
import { bytes, harmless, time } from './format.ts';
import { useLoaded } from './hooks.ts';
import { get } from './http.ts';

/** One letter: what failed, what happened when, headers and content. */
export function Letter({
  path,
  id,
  onClose,
}: {
  readonly path: string;
  readonly id: string;
  readonly onClose: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  const address = `${path}/letters/${encodeURIComponent(id)}`;
  const { value: letter, error } = useLoaded(address, (signal) => get<LetterView>(address, signal));
  return (
    <dialog class="letter-view" ref={dialog} aria-labelledby="letter-title" onClose={onClose}>
      <header>
        <h2 id="letter-title">Letter {harmless(id)}</h2>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </header>
      {error !== undefined && <p role="alert">{error}</p>}
      {error === undefined && letter === undefined && <p role="status">Looking for the letter …</p>}
      {letter !== undefined && <Parts letter={letter} />}
    </dialog>
  );
}

function Parts({ letter }: { readonly letter: LetterView }) {
  const { content } = letter;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Reason', letter.reason],
    ['Error', [letter.errorName, letter.errorMessage].filter(Boolean).join(': ')],
    ['Cause', letter.errorCause],
    ['Consumer', letter.consumer],
    ['Failed in', letter.sourceQueue],
    ['Manifest', letter.manifest],
    ['Key', letter.key],
  ];
  const form = { json: 'JSON', text: 'text', bytes: 'bytes', none: 'none' }[content.form];
  return (
    <>
      <dl class="facts">
        {facts.map(([name, value]) =>
          value ? (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{harmless(value)}</dd>
            </div>
          ) : null,
        )}
      </dl>
      <h3>What happened</h3>
      <ol class="timeline">
        <li>Published: {time(letter.publishedAt)}</li>
        {letter.redriven > 0 && <li>Moved back from a dead-letter queue: {letter.redriven} times</li>}
        {letter.attempts !== undefined && <li>Attempts: {letter.attempts}</li>}
        <li>Dead-lettered: {time(letter.deadLetteredAt)}</li>
      </ol>
      <h3>
        Content{' '}
        <span class="quiet">
          ({form}, {bytes(content.bytes)})
        </span>
      </h3>
      <pre class="content">{harmless(content.text)}</pre>
      {content.isCut && (
        <p class="quiet">Only the beginning is shown. Export the letter to have all of it.</p>
      )}
      <h3>Headers</h3>
      <table class="headers">
        <tbody>
          {Object.entries(letter.headers).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{harmless(name)}</th>
              <td>{harmless(value.slice(0, 2_000))}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
