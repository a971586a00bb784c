// Reading and changing settings.
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { answer, api, queries } from '../../api/client';
import { useWords } from '../../i18n';
import { useSettingWords, type Setting } from './words';

const PATH = '/api/v1/organizations/{org}/settings';

export function useSettings(org: string) {
  return queries.useQuery('get', PATH, { params: { path: { org } } });
}

/** Sets a value, or with none lets it be inherited again; whatever stands on it is read anew. */
export function useChange(org: string, done: () => void) {
  const { t } = useWords();
  const words = useSettingWords();
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ key, value }: { key: string; value: string | null }): Promise<Setting> => {
      const params = { path: { org, key } };
      return answer(
        value === null ? api.DELETE(`${PATH}/{key}`, { params }) : api.PUT(`${PATH}/{key}`, { params, body: { value } }),
      );
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
