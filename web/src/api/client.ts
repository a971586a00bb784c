// The one way to the API: typed by its document, and the session's token is sent along with whatever changes something.
import createFetch from 'openapi-fetch';
import createQueries from 'openapi-react-query';
import type { components, paths } from './schema';

export type Schemas = components['schemas'];
export type Problem = Schemas['Problem'];

let csrf: string | null = null;
let onSignedOut: () => void = () => undefined;

export function setToken(token: string | null | undefined): void {
  csrf = token ?? null;
}

export function whenSignedOut(callback: () => void): void {
  onSignedOut = callback;
}

export const api = createFetch<paths>({ baseUrl: '/' });

api.use({
  onRequest({ request }) {
    if (csrf !== null && request.method !== 'GET') request.headers.set('x-csrf-token', csrf);
    return request;
  },
  onResponse({ response, request }) {
    const isSession = new URL(request.url).pathname === '/api/v1/session';
    if (response.status === 401 && !isSession) onSignedOut();
    return response;
  },
  onError() {
    return Object.assign(new Error('unreachable'), unreachable);
  },
});

// Nobody answered: told in the same form as a refusal. The words come from the catalogue.
const unreachable: Problem = {
  type: 'urn:trueup:problem:unreachable',
  title: '',
  status: 503,
  detail: '',
  fix: '',
  fields: [],
};

export const queries = createQueries(api);

export function isProblem(error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && 'type' in error && 'detail' in error;
}

export class Refused extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** The answer, or the problem as an error. */
export async function answer<T>(asked: Promise<{ data?: T; error?: unknown }>): Promise<T> {
  const { data, error } = await asked;
  if (error !== undefined) throw isProblem(error) ? new Refused(error) : new Error('the answer is no problem document', { cause: error });
  return data as T;
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  return isProblem(error) ? error : unreachable;
}

/** Bodies that are no JSON go past the typed client. */
export async function send(path: string, method: string, type: string, body: string): Promise<unknown> {
  const headers: Record<string, string> = { 'content-type': type };
  if (csrf !== null) headers['x-csrf-token'] = csrf;
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body });
  } catch {
    throw new Refused(unreachable);
  }
  const data: unknown = await response.json().catch(() => null);
  if (!response.ok) throw new Refused(isProblem(data) ? data : { ...unreachable, status: response.status });
  return data;
}
