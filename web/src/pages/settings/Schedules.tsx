// What trueup does by itself: when next, what came out last, pausing, and how often.
import { Alert, Anchor, Badge, Box, Button, Group, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { answer, api, queries, type Schemas } from '../../api/client';
import { useStart } from '../../api/runs';
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import { useMay, useOrg } from '../../session';
import { RunState, useWord } from '../../ui/Badges';
import { Facts } from '../../ui/Changes';
import { Waiting } from '../../ui/Page';
import { ProblemNote } from '../../ui/Problem';
import { RunProgress } from '../../ui/RunProgress';
import { useSettings } from './data';
import { EditSetting } from './EditSetting';
import { From, isFixed, ResetSetting, SettingGroups } from './SettingsTable';
import { useSettingWords, type Setting } from './words';

type Schedule = Schemas['ScheduleDoc'];
const BASE = '/api/v1/organizations/{org}';

/** First what only reads. */
const ORDER = ['check', 'pull', 'sync', 'quantity', 'alerts'];
/** How often each fires stands with the schedule itself. */
const RULES = ['schedule.customers', 'schedule.time_zone', 'schedule.freeze'];

export function Schedules() {
  const { t } = useWords();
  const org = useOrg();
  const params = { params: { path: { org } } };
  const found = queries.useQuery('get', `${BASE}/schedules`, params, { refetchInterval: 30_000 });
  const settings = useSettings(org);
  const [editing, setEditing] = useState<Setting | null>(null);
  const [resetting, setResetting] = useState<Setting | null>(null);
  const failed = found.error ?? settings.error;
  if (found.data === undefined || settings.data === undefined) {
    return failed === null ? (
      <Box className="panel" mih={320}>
        <Waiting rows={6} />
      </Box>
    ) : (
      <ProblemNote
        error={failed}
        retry={() => {
          void found.refetch();
          void settings.refetch();
        }}
      />
    );
  }
  const { items } = settings.data;
  const inOrder = [...found.data.items].sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
  const frozen = found.data.items.some((one) => one.frozen);
  return (
    <>
      <Text size="sm" c="dimmed" maw="44rem">
        {t('schedules.lead')}
      </Text>
      {frozen && (
        <Alert color="yellow" variant="light" role="status">
          {t('schedules.frozen')}
        </Alert>
      )}
      <SimpleGrid cols={{ base: 1, lg: 3 }} spacing="lg">
        {inOrder.map((one) => (
          <Card
            key={one.kind}
            schedule={one}
            setting={items.find((setting) => setting.key === one.setting)}
            edit={setEditing}
            reset={setResetting}
          />
        ))}
      </SimpleGrid>
      <SettingGroups org={org} groups={['schedule']} fits={(setting) => RULES.includes(setting.key)} />
      <EditSetting org={org} setting={editing} close={() => setEditing(null)} />
      <ResetSetting org={org} setting={resetting} close={() => setResetting(null)} />
    </>
  );
}

function usePause(schedule: Schedule, name: string) {
  const { t } = useWords();
  const org = useOrg();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (pause: boolean) => {
      const params = { path: { org, schedule: schedule.kind } };
      return answer(
        pause
          ? api.POST(`${BASE}/schedules/{schedule}/pause`, { params })
          : api.POST(`${BASE}/schedules/{schedule}/resume`, { params }),
      );
    },
    onSuccess: (now) => {
      notifications.show({ color: 'green', message: t(now.paused ? 'schedules.didPause' : 'schedules.didResume', { name }) });
      void client.invalidateQueries();
    },
  });
}

function Card(props: {
  schedule: Schedule;
  setting: Setting | undefined;
  edit: (setting: Setting) => void;
  reset: (setting: Setting) => void;
}) {
  const { t } = useWords();
  const { instant, ago } = useFormats();
  const say = useWord();
  const words = useSettingWords();
  const org = useOrg();
  const mayChange = useMay('settings.write');
  const mayRun = useMay('runs.write');
  const { schedule, setting } = props;
  const name = say('schedule', schedule.kind);
  const pause = usePause(schedule, name);
  const start = useStart(org);
  const [run, setRun] = useState<string | null>(null);
  const isOff = setting?.value === 'off';
  return (
    <Box component="section" className="panel" p="lg" aria-label={name}>
      <Stack gap="sm" h="100%">
        <Group justify="space-between" gap="xs">
          <Title order={2}>{name}</Title>
          {schedule.paused && (
            <Badge className="badge" color="yellow" variant="light" tt="none" fw={500} radius="sm">
              {t('schedules.paused')}
            </Badge>
          )}
        </Group>
        <Text size="sm" c="dimmed">
          {setting === undefined ? null : words.help(setting)}
        </Text>
        {setting !== undefined && (
          <Facts
            facts={[
              [
                t('schedules.often'),
                <Group key="often" gap="xs">
                  <span>{isOff ? t('schedules.off') : words.value(setting)}</span>
                  <From setting={setting} />
                </Group>,
              ],
              [
                t('schedules.next'),
                schedule.next_at == null ? '–' : `${ago(schedule.next_at)} (${instant(schedule.next_at)})`,
              ],
              [t('schedules.last'), <Last key="last" schedule={schedule} />],
            ]}
          />
        )}
        {schedule.paused && schedule.paused_at != null && (
          <Text size="sm">
            {t('schedules.pausedBy', { who: schedule.paused_by ?? '?', when: ago(schedule.paused_at) })}
          </Text>
        )}
        {schedule.missed_at != null && (
          <Text size="sm">{t('schedules.missed', { when: instant(schedule.missed_at) })}</Text>
        )}
        {pause.error !== null && <ProblemNote error={pause.error} />}
        {start.error !== null && <ProblemNote error={start.error} />}
        {run !== null && <RunProgress id={run} onClose={() => setRun(null)} />}
        <Group gap="xs" mt="auto">
          {mayChange && setting !== undefined && !isFixed(setting) && (
            <Button
              size="xs"
              variant="light"
              onClick={() => props.edit(setting)}
              aria-label={t('schedules.change.of', { name })}
            >
              {t('schedules.change')}
            </Button>
          )}
          {mayChange && !isOff && (
            <Button
              size="xs"
              variant="default"
              loading={pause.isPending}
              onClick={() => pause.mutate(!schedule.paused)}
              aria-label={t(schedule.paused ? 'schedules.resume.of' : 'schedules.pause.of', { name })}
            >
              {t(schedule.paused ? 'schedules.resume' : 'schedules.pause')}
            </Button>
          )}
          {mayRun && schedule.kind !== 'sync' && (
            <Button
              size="xs"
              variant="default"
              loading={start.isPending}
              onClick={() =>
                start.mutate({ kind: schedule.kind }, { onSuccess: (begun) => setRun(begun.run_id) })
              }
              aria-label={t('schedules.run.of', { name })}
            >
              {t('schedules.run')}
            </Button>
          )}
          {mayChange && setting?.own === true && (
            <Anchor component="button" type="button" size="sm" onClick={() => props.reset(setting)} aria-label={t('settings.reset.of', { name })}>
              {t('settings.reset')}
            </Anchor>
          )}
        </Group>
      </Stack>
    </Box>
  );
}

/** What came out of the last one. */
function Last({ schedule }: { schedule: Schedule }) {
  const { t } = useWords();
  const { ago } = useFormats();
  const org = useOrg();
  const run = schedule.last_run ?? '';
  const params = { params: { path: { org, run } } };
  const found = queries.useQuery('get', `${BASE}/runs/{run}`, params, { enabled: run !== '', retry: false });
  if (schedule.last_fire == null) return t('schedules.never');
  return (
    <Group gap="xs">
      <span>{ago(schedule.last_fire)}</span>
      {found.data !== undefined && <RunState state={found.data.state} />}
    </Group>
  );
}
