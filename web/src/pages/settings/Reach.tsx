// Whom a value reaches below: told before it is saved.
import { Text } from '@mantine/core';
import { queries } from '../../api/client';
import { useWords } from '../../i18n';
import { useSettingWords, type Setting } from './words';

const PATH = '/api/v1/organizations/{org}/settings/{key}/reach';

export function Reach({ org, setting }: { org: string; setting: Setting }) {
  const { t, tn } = useWords();
  const words = useSettingWords();
  const tree = queries.useQuery('get', '/api/v1/organizations', { params: { query: { limit: 200 } } });
  const found = queries.useQuery('get', PATH, { params: { path: { org, key: setting.key } } }, { staleTime: 0 });
  const data = found.data;
  if (data === undefined) return null;
  const name = (id: string) => tree.data?.items.find((one) => one.id === id)?.name ?? id;
  const listed = (ids: string[], count: number) => (ids.length < count ? `${ids.join(', ')}, …` : ids.join(', '));
  const nobody = data.inherit.count === 0 && data.own_count === 0;
  return (
    <Text size="sm" component="div" role="note">
      {nobody ? (
        t('settings.reach.none')
      ) : (
        <>
          {data.inherit.count === 0
            ? t('settings.reach.nobody')
            : `${tn('settings.reach.inherit', data.inherit.count)} ${listed(data.inherit.first.slice(0, 5).map(name), data.inherit.count)}.`}
          {data.own_count > 0 && (
            <>
              {' '}
              {tn('settings.reach.own', data.own_count)}{' '}
              {listed(
                data.own.slice(0, 5).map((one) => `${name(one.organization)} (${words.value(setting, one.value)})`),
                data.own_count,
              )}
              .
            </>
          )}
          {data.apart > 0 && <> {tn('settings.reach.apart', data.apart)}</>}
        </>
      )}
    </Text>
  );
}
