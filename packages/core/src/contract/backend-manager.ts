import { MelangeError } from '../errors.ts';
import type { MessagingBackend } from './backend.ts';

/** Kept on `globalThis`, so that two installed copies of this package share it. */
const defaultBackend = Symbol.for('melange.default-backend');
const holder = globalThis as { [defaultBackend]?: MessagingBackend | undefined };

/** The optional default backend of a process: what is not given a backend uses this one. */
export const BackendManager = {
  /** Sets the default; `undefined` forgets it. The backend is not closed when it is replaced. */
  setDefaultBackend(backend: MessagingBackend | undefined): void {
    holder[defaultBackend] = backend;
  },

  /** @throws MelangeError `CONFIGURATION` when no default was set. */
  getDefaultBackend(): MessagingBackend {
    const backend = holder[defaultBackend];
    if (backend !== undefined) return backend;
    throw new MelangeError(
      'CONFIGURATION',
      'No backend: pass `backend`, or call BackendManager.setDefaultBackend at startup.',
    );
  },
} as const;
