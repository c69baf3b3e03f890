import type { Refusal } from '../src/api.ts';

/** Answer of a refused request, as a sentence for people. */
export class RequestError extends Error {}

/** Relative to the page, wherever it is mounted. */
export async function get<Answer>(path: string, signal?: AbortSignal): Promise<Answer> {
  return answerOf(await request(path, { signal: signal ?? null }));
}

export async function post<Answer>(path: string, body: unknown): Promise<Answer> {
  return answerOf(
    await request(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-melange-dashboard': '1' },
      body: JSON.stringify(body),
    }),
  );
}

async function request(path: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(path, init);
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new RequestError('The dashboard does not answer.');
  }
}

async function answerOf<Answer>(response: Response): Promise<Answer> {
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as Answer;
  throw new RequestError(
    (body as Refusal | undefined)?.error ?? `The dashboard answered ${response.status}.`,
  );
}

export function pathOf(broker: string, queue: string): string {
  return `api/dead/${encodeURIComponent(broker)}/${encodeURIComponent(queue)}`;
}

export function queryOf(values: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') query.set(name, String(value));
  }
  return String(query);
}
