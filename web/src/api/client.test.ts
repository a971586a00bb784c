import { expect, it } from 'vitest';
import { answer, api, ownKind, problemOf } from './client';

async function told(response: Response | Error) {
  const fetch = () => (response instanceof Error ? Promise.reject(response) : Promise.resolve(response));
  try {
    await answer(api.GET('/api/v1/session', { baseUrl: 'http://127.0.0.1/', fetch }));
  } catch (error) {
    const problem = problemOf(error);
    return [ownKind(problem), problem.status];
  }
  return 'fine';
}

const html = (status: number) => new Response('<html>Bad gateway</html>', { status, headers: { 'content-type': 'text/html' } });

it('tells apart that nobody answered, that somebody else did, and that the page is wrong', async () => {
  expect(await told(new TypeError('Failed to fetch'))).toEqual(['unreachable', 503]);
  expect(await told(html(502))).toEqual(['answered', 502]);
  expect(await told(html(200))).toEqual(['answered', 200]);
  // A refusal without a body is one all the same.
  expect(await told(new Response(null, { status: 500, headers: { 'content-length': '0' } }))).toEqual(['answered', 500]);
  expect(ownKind(problemOf(new RangeError('Invalid time value')))).toBe('page');
  expect(problemOf(new RangeError('Invalid time value')).detail).toBe('Invalid time value');
});

it('leaves the refusals of the service as they are', async () => {
  const refusal = { type: 'urn:x:not-found', title: 'Not found', status: 404, detail: 'no such task', fix: '', fields: [] };
  expect(await told(Response.json(refusal, { status: 404 }))).toEqual([null, 404]);
});
