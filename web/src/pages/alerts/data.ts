// Alerts with their tickets, the rules about them, and the log of what went on.
import { notifications } from '@mantine/notifications';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { answer, api, type Schemas } from '../../api/client';
import { fetchNames } from '../../api/names';
import { useWords } from '../../i18n';
import { useOrg } from '../../session';

export type Alert = Schemas['AlertDoc'];
export type Entry = Schemas['ActivityDoc'];
export type RuleEntry = Schemas['RuleEntryDoc'];
export type RuleValue = Schemas['RuleValueDoc'];
export type Place = Schemas['PlaceDoc'];
export type Places = Schemas['PlacesDoc'];
export type NewRule = Schemas['NewAlertRule'];
export type Test = Schemas['AlertTestDoc'];

export interface Kind {
  kind: string;
  meaning: string;
  named_alone: boolean;
}

export const BASE = '/api/v1/organizations/{org}';
/** The rule about every kind. */
export const EVERY = '*';
export const SEVERITIES = ['critical', 'error', 'warning', 'info'] as const;

type Query = Record<string, string | number>;

export function useAlerts(query: Query) {
  const org = useOrg();
  return useQuery({
    queryKey: ['alerts', org, query],
    queryFn: async () => {
      const page = await answer(api.GET(`${BASE}/alerts`, { params: { path: { org }, query } }));
      return { page, names: await fetchNames(org, { customers: customersOf(page.items) }) };
    },
    placeholderData: keepPreviousData,
  });
}

export function useAlert(alert: string) {
  const org = useOrg();
  return useQuery({
    queryKey: ['alert', org, alert],
    queryFn: async () => {
      const found = await answer(api.GET(`${BASE}/alerts/{alert}`, { params: { path: { org, alert } } }));
      const wish = {
        customers: customersOf([found.alert, ...found.history]),
        companies: found.alert.ticket == null ? [] : [found.alert.ticket.company_id],
      };
      return { ...found, names: await fetchNames(org, wish) };
    },
  });
}

export function useActivity(query: Query) {
  const org = useOrg();
  return useQuery({
    queryKey: ['activity', org, query],
    queryFn: async () => {
      const page = await answer(api.GET(`${BASE}/activity`, { params: { path: { org }, query } }));
      return { page, names: await fetchNames(org, { customers: customersOf(page.items) }) };
    },
    placeholderData: keepPreviousData,
  });
}

/** Who is spoken of, as far as it is somebody. */
function customersOf(rows: { source?: string | null; customer_id?: string | null }[]): Schemas['RecordRef'][] {
  return rows.flatMap(({ source, customer_id: id }) =>
    source == null || source === '' || id == null || id === '' ? [] : [{ source, id }],
  );
}

export interface Which {
  kind: string;
  severity: string | null;
}

const queryOf = ({ kind, severity }: Which) => ({ kind, ...(severity === null ? {} : { severity }) });

export function useRules(which: Which) {
  const org = useOrg();
  return useQuery({
    queryKey: ['alert-rules', org, which],
    queryFn: async () => {
      const found = await answer(api.GET(`${BASE}/alerts/rules`, { params: { path: { org }, query: queryOf(which) } }));
      return { ...found, kinds: found.kinds as unknown as Kind[] };
    },
    placeholderData: keepPreviousData,
  });
}

/** What ConnectWise has, read when it is looked at. */
export function usePlaces(board: string, wanted = true) {
  const org = useOrg();
  const query = board === '' ? {} : { board: parseInt(board, 10) };
  return useQuery({
    queryKey: ['alert-places', org, board],
    queryFn: () => answer(api.GET(`${BASE}/alerts/places`, { params: { path: { org }, query } })),
    enabled: wanted,
    placeholderData: keepPreviousData,
  });
}

/** A write; what stands on it is read anew. */
export function useAlertWrite<T, R>(write: (org: string, wish: T) => Promise<R>, done: (made: R) => void) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (wish: T) => write(org, wish),
    onSuccess: (made) => {
      done(made);
      notifications.show({ color: 'green', message: t('alerts.saved') });
      void client.invalidateQueries();
    },
  });
}

export const setRule = (org: string, body: NewRule) =>
  answer(api.PUT(`${BASE}/alerts/rules`, { params: { path: { org } }, body }));
export const unsetRule = (org: string, which: Which) =>
  answer(api.DELETE(`${BASE}/alerts/rules`, { params: { path: { org }, query: queryOf(which) } }));
export const testTicket = (org: string, body: Schemas['NewAlertTest']) =>
  answer(api.POST(`${BASE}/alerts/test`, { params: { path: { org } }, body }));
export const startRun = (org: string) =>
  answer(api.POST(`${BASE}/alerts/run`, { params: { path: { org } }, body: {} }));

/**
 * The page of a ticket in ConnectWise. The API's host is the site's with `api-` before it; what is not reached by https is
 * no site that people look at.
 */
export function ticketAddress(site: { url: string; company: string } | undefined, ticket: number): string | null {
  if (site === undefined || !URL.canParse(site.url)) return null;
  const url = new URL(site.url);
  if (url.protocol !== 'https:') return null;
  const query = new URLSearchParams({ service_recid: String(ticket), companyName: site.company });
  const host = url.host.replace(/^api-/, '');
  return `https://${host}/v4_6_release/services/system_io/Service/fv_sr100_request.rails?${query.toString()}`;
}
