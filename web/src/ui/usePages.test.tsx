import { act, renderHook } from '@testing-library/react';
import type { ReactNode } from 'react';
import { MemoryRouter, useNavigate } from 'react-router';
import { expect, it } from 'vitest';
import { usePages } from './usePages';

const Wrapper = ({ children }: { children: ReactNode }) => <MemoryRouter initialEntries={['/tasks?state=all']}>{children}</MemoryRouter>;

it('comes back to the page of a list that was left, and begins anew for another filter', () => {
  const all = renderHook(({ of }: { of: string }) => ({ pages: usePages(of), go: useNavigate() }), {
    wrapper: Wrapper,
    initialProps: { of: 'all' },
  });
  const now = () => all.result.current;
  act(() => now().pages.next('c2'));
  act(() => now().pages.next('c3'));
  expect([now().pages.page, now().pages.cursor]).toEqual([3, 'c3']);
  act(() => void now().go('/tasks/tk-1'));
  expect(now().pages.page).toBe(1);
  act(() => void now().go(-1));
  expect([now().pages.page, now().pages.cursor]).toEqual([3, 'c3']);
  act(() => now().pages.previous());
  expect([now().pages.page, now().pages.cursor]).toEqual([2, 'c2']);
  all.rerender({ of: 'open' });
  expect(now().pages.page).toBe(1);
});
