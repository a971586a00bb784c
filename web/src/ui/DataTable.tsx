// A table of a page of rows: on a phone each row becomes a card. Rows are filtered, sorted and cut by the server.
import { Box, Button, Checkbox, Group, Text } from '@mantine/core';
import { IconChevronLeft, IconChevronRight } from '@tabler/icons-react';
import { Fragment, type ReactNode } from 'react';
import { useWords } from '../i18n';
import { ProblemNote } from './Problem';
import { Waiting } from './Page';

export interface Column<T> {
  key: string;
  header: string;
  cell: (row: T) => ReactNode;
  /** Figures stand right, under each other. */
  numeric?: boolean;
  width?: string;
  /** On a phone the cell stands without its heading. */
  bare?: boolean;
}

interface Selection<T> {
  ids: ReadonlySet<string>;
  change: (ids: Set<string>) => void;
  label: (row: T) => string;
  all: string;
}

export function DataTable<T>(props: {
  label: string;
  columns: Column<T>[];
  rows: T[] | undefined;
  id: (row: T) => string;
  error?: unknown;
  retry?: () => void;
  /** Shown in place of no rows. */
  empty: ReactNode;
  busy?: boolean;
  selection?: Selection<T>;
  /** What stands below a row that was opened; nothing where it is closed. */
  detail?: (row: T) => ReactNode;
  footer?: ReactNode;
}) {
  const { t } = useWords();
  const { rows, columns, selection, id } = props;
  if (props.error != null && rows === undefined) {
    return (
      <Box p="md">
        <ProblemNote error={props.error} {...(props.retry ? { retry: props.retry } : {})} />
      </Box>
    );
  }
  if (rows === undefined) return <Waiting rows={8} what={t('table.loading')} />;
  if (rows.length === 0) return <>{props.empty}</>;
  const ids = rows.map(id);
  const chosen = ids.filter((one) => selection?.ids.has(one)).length;
  const toggle = (which: string[], on: boolean) => {
    const next = new Set(selection?.ids);
    for (const one of which) {
      if (on) next.add(one);
      else next.delete(one);
    }
    selection?.change(next);
  };
  return (
    <>
      <Box
        role="region"
        aria-label={props.label}
        tabIndex={0}
        style={{ overflowX: 'auto', opacity: props.busy ? 0.6 : 1, transition: 'opacity 120ms' }}
        aria-busy={props.busy ?? false}
      >
        <table className="table">
          <thead>
            <tr>
              {selection !== undefined && (
                <th style={{ width: '2.5rem' }}>
                  <Checkbox
                    size="xs"
                    aria-label={selection.all}
                    checked={chosen === ids.length}
                    indeterminate={chosen > 0 && chosen < ids.length}
                    onChange={(event) => toggle(ids, event.currentTarget.checked)}
                  />
                </th>
              )}
              {columns.map((column) => (
                <th
                  key={column.key}
                  scope="col"
                  className={column.numeric ? 'num' : undefined}
                  style={{ width: column.width }}
                >
                  {column.header}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => {
              const own = id(row);
              const selected = selection?.ids.has(own) ?? false;
              const detail = props.detail?.(row);
              return (
                <Fragment key={own}>
                  <tr data-selected={selected || undefined}>
                    {selection !== undefined && (
                      <td className="bare">
                        <Checkbox
                          size="xs"
                          mt={2}
                          aria-label={selection.label(row)}
                          checked={selected}
                          onChange={(event) => toggle([own], event.currentTarget.checked)}
                        />
                      </td>
                    )}
                    {columns.map((column) => (
                      <td
                        key={column.key}
                        data-label={column.header}
                        className={`${column.numeric ? 'num' : ''} ${column.bare ? 'bare' : ''}`}
                      >
                        <span>{column.cell(row)}</span>
                      </td>
                    ))}
                  </tr>
                  {detail != null && (
                    <tr className="detail">
                      <td className="bare" colSpan={columns.length + (selection === undefined ? 0 : 1)}>
                        {detail}
                      </td>
                    </tr>
                  )}
                </Fragment>
              );
            })}
          </tbody>
        </table>
      </Box>
      {props.footer}
    </>
  );
}

/** Pages by cursor: forward as long as there is more, back by what was seen. */
export function Pager(props: { page: number; hasNext: boolean; onPrevious: () => void; onNext: () => void }) {
  const { t } = useWords();
  if (props.page === 1 && !props.hasNext) return null;
  return (
    <Group component="nav" aria-label={t('table.pages')} justify="flex-end" p="sm" gap="sm" className="pager">
      <Button
        variant="default"
        size="xs"
        leftSection={<IconChevronLeft size={14} aria-hidden />}
        disabled={props.page === 1}
        onClick={props.onPrevious}
      >
        {t('action.previous')}
      </Button>
      <Text size="sm" c="dimmed" aria-live="polite">
        {t('table.page', { n: props.page })}
      </Text>
      <Button
        variant="default"
        size="xs"
        rightSection={<IconChevronRight size={14} aria-hidden />}
        disabled={!props.hasNext}
        onClick={props.onNext}
      >
        {t('action.next')}
      </Button>
    </Group>
  );
}
