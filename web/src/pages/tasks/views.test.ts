import { expect, it } from 'vitest';
import { queryOf, viewsIn, withView } from './views';

it('tells equal views by their filters, whatever their order or page', () => {
  const one = queryOf(new URLSearchParams('kind=sales&state=failed&cursor=abc&search='));
  expect(one).toBe('state=failed&kind=sales');
  expect(queryOf(new URLSearchParams('state=failed&kind=sales'))).toBe(one);
  expect(queryOf(new URLSearchParams('age=-7&source=shop'))).toBe('source=shop&age=-7');
});

it('reads what was kept, and nothing that is no view', () => {
  expect(viewsIn(null)).toEqual([]);
  expect(viewsIn('{')).toEqual([]);
  expect(viewsIn('{"name":"a"}')).toEqual([]);
  expect(viewsIn('[{"name":"a","query":"kind=sales&state=failed"},{"name":7},null]')).toEqual([
    { name: 'a', query: 'state=failed&kind=sales' },
  ]);
});

it('replaces a view of the same name, and sorts as the reader does', () => {
  const views = withView([{ name: 'Übrig', query: '' }], { name: 'Zuletzt', query: 'sort=-moved' }, 'de');
  expect(withView(views, { name: 'Übrig', query: 'state=ignored' }, 'de')).toEqual([
    { name: 'Übrig', query: 'state=ignored' },
    { name: 'Zuletzt', query: 'sort=-moved' },
  ]);
});
