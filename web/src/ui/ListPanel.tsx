// A list that the server cuts into pages, in a panel of its own.
import { Box } from '@mantine/core';
import type { ReactNode } from 'react';
import { DataTable, Pager, type Column } from './DataTable';
import type { usePages } from './usePages';

export function ListPanel<T>(props: {
  label: string;
  columns: Column<T>[];
  /** The page of rows as it is asked for. */
  list: {
    data: { items: T[]; next_cursor?: string | null } | undefined;
    error: unknown;
    isPlaceholderData: boolean;
    refetch: () => unknown;
  };
  pages: ReturnType<typeof usePages>;
  id: (row: T) => string;
  empty: ReactNode;
}) {
  const { list, pages } = props;
  const next = list.data?.next_cursor;
  return (
    <Box className="panel">
      <DataTable
        label={props.label}
        columns={props.columns}
        rows={list.data?.items}
        id={props.id}
        error={list.error}
        retry={() => void list.refetch()}
        busy={list.isPlaceholderData}
        empty={props.empty}
        footer={
          <Pager
            page={pages.page}
            hasNext={next != null}
            onPrevious={pages.previous}
            onNext={() => next != null && pages.next(next)}
          />
        }
      />
    </Box>
  );
}
