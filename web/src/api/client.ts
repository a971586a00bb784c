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
  async onResponse({ response, request }) {
    const isSession = new URL(request.url).pathname === '/api/v1/session';
    if (response.status === 401 && !isSession) onSignedOut();
    return (await isOurs(response)) ? response : Response.json(answered(response.status), { status: 502 });
  },
  onError() {
    return Object.assign(new Error('unreachable'), unreachable);
  },
});

/** What is no refusal of the service, told in the same form as one. The words come from the catalogue. */
export type OwnKind = 'unreachable' | 'answered' | 'page';
const OWN = 'urn:trueup:problem:';

function own(kind: OwnKind, status: number, detail = ''): Problem {
  return { type: `${OWN}${kind}`, title: '', status, detail, fix: '', fields: [] };
}

/** Nobody answered. */
const unreachable = own('unreachable', 503);
/** Somebody answered who is not trueup: what stands before it, mostly. */
const answered = (status: number) => own('answered', status);

/** Which problem of the console itself it is; null for those of the service. */
export function ownKind(problem: Problem): OwnKind | null {
  const kind = problem.type.startsWith(OWN) ? problem.type.slice(OWN.length) : '';
  return kind === 'unreachable' || kind === 'answered' || kind === 'page' ? kind : null;
}

/** Whether an answer has the form in which the service answers: JSON, or nothing at all where it went well. */
async function isOurs(response: Response): Promise<boolean> {
  if (response.ok) return !(response.headers.get('content-type') ?? '').startsWith('text/html');
  return isProblem(await response.clone().json().catch(() => null));
}

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
  return isProblem(error) ? error : own('page', 0, error instanceof Error ? error.message : String(error));
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
  if (!response.ok) throw new Refused(isProblem(data) ? data : answered(response.status));
  return data;
}
