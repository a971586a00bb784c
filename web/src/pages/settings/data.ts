// Reading and changing settings.
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { answer, api, problemOf, queries } from '../../api/client';
import { useWords } from '../../i18n';
import { useMay } from '../../session';
import { useSettingWords, type Setting } from './words';

const PATH = '/api/v1/organizations/{org}/settings';

export function useSettings(org: string) {
  return queries.useQuery('get', PATH, { params: { path: { org } } });
}

/** Somebody set the value while it was being changed here. */
export class ChangedMeanwhile extends Error {
  constructor(
    readonly now: Setting,
    /** Who, and when; nothing where the audit does not say or may not be read. */
    readonly by: { actor: string; at: string } | null,
  ) {
    super('changed meanwhile');
  }
}

interface Wish {
  /** The setting as its reader saw it, or decided to overrule it. */
  seen: Setting;
  /** None lets it be inherited again. */
  value: string | null;
}

/** The API refuses to replace another version than the one that was read; told with what holds by now, and who set it. */
const MEANWHILE = 412;

async function whatHappened(org: string, key: string, mayAudit: boolean): Promise<ChangedMeanwhile | null> {
  const { items } = await answer(api.GET(PATH, { params: { path: { org } } }));
  const now = items.find((one) => one.key === key);
  if (now === undefined) return null;
  const query = { action: 'setting', object: `setting/${key}`, limit: 1 };
  const audit = mayAudit
    ? await api.GET('/api/v1/organizations/{org}/audit', { params: { path: { org }, query } })
    : null;
  const last = audit?.data?.items[0];
  return new ChangedMeanwhile(now, last === undefined ? null : { actor: last.actor, at: last.at });
}

/** Sets a value, or lets it be inherited again; whatever stands on it is read anew. */
export function useChange(org: string, done: () => void) {
  const { t } = useWords();
  const words = useSettingWords();
  const client = useQueryClient();
  const mayAudit = useMay('audit.read');
  return useMutation({
    mutationFn: async ({ seen, value }: Wish): Promise<Setting> => {
      const params = { path: { org, key: seen.key }, header: { 'If-Match': `"${seen.version}"` } };
      const asked = value === null ? api.DELETE(`${PATH}/{key}`, { params }) : api.PUT(`${PATH}/{key}`, { params, body: { value } });
      try {
        return await answer(asked);
      } catch (error) {
        if (problemOf(error).status !== MEANWHILE) throw error;
        throw (await whatHappened(org, seen.key, mayAudit)) ?? error;
      }
    },
    onError: (error) => {
      if (error instanceof ChangedMeanwhile) void client.invalidateQueries();
    },
    onSuccess: (now, { value }) => {
      done();
      const message = t(value === null ? 'settings.wasReset' : 'settings.saved', {
        name: words.label(now),
        value: words.value(now),
      });
      notifications.show({ color: 'green', message });
      void client.invalidateQueries();
    },
  });
}
