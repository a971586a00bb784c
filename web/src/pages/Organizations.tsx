// The tree of organizations, and what holds for the one that is chosen.
import { Box, Button, Grid, Group, Stack, Text } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { Link, useSearchParams } from 'react-router';
import { useWords } from '../i18n';
import { useMay, useOrg, useSession } from '../session';
import { useWord } from '../ui/Badges';
import { Facts } from '../ui/Changes';
import { Page, Panel, Waiting } from '../ui/Page';
import { ProblemNote } from '../ui/Problem';
import { AddDialog, RenameDialog } from './organizations/Dialogs';
import { MoveDialog } from './organizations/MoveDialog';
import { Tree } from './organizations/Tree';
import { useTree, type Forest, type Organization } from './organizations/data';
import { AllSettings } from './settings/SettingsTable';

export default function OrganizationsPage() {
  const { t } = useWords();
  const org = useOrg();
  const [params, setParams] = useSearchParams();
  const mayAdd = useMay('organizations.write');
  const [adding, setAdding] = useState<string | null>(null);
  const [renaming, setRenaming] = useState<Organization | null>(null);
  const [moving, setMoving] = useState<Organization | null>(null);
  const tree = useTree();
  const chosen = params.get('of') ?? org;
  const choose = (id: string) => setParams(id === org ? {} : { of: id }, { replace: true });
  const one = tree.data?.byId.get(chosen);
  return (
    <Page
      title={t('organizations.title')}
      lead={t('organizations.lead')}
      actions={
        mayAdd && (
          <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setAdding(chosen)}>
            {t('organizations.add')}
          </Button>
        )
      }
    >
      {tree.data === undefined ? (
        tree.error === null ? (
          <Box className="panel" mih={320}>
            <Waiting rows={6} />
          </Box>
        ) : (
          <ProblemNote error={tree.error} retry={() => void tree.refetch()} />
        )
      ) : (
        <Grid gap="lg">
          <Grid.Col span={{ base: 12, lg: 3 }}>
            <Tree forest={tree.data} chosen={chosen} choose={choose} />
          </Grid.Col>
          <Grid.Col span={{ base: 12, lg: 9 }}>
            {one !== undefined && (
              <Stack gap="lg">
                <Chosen
                  one={one}
                  forest={tree.data}
                  choose={choose}
                  add={() => setAdding(one.id)}
                  rename={() => setRenaming(one)}
                  move={() => setMoving(one)}
                />
                <Box component="section" aria-label={t('organizations.settings', { name: one.name })}>
                  <AllSettings key={one.id} org={one.id} title={t('organizations.settings', { name: one.name })} />
                </Box>
              </Stack>
            )}
          </Grid.Col>
        </Grid>
      )}
      {tree.data !== undefined && (
        <>
          <AddDialog below={adding} forest={tree.data} close={() => setAdding(null)} added={choose} />
          <MoveDialog one={moving} forest={tree.data} close={() => setMoving(null)} />
        </>
      )}
      <RenameDialog one={renaming} close={() => setRenaming(null)} />
    </Page>
  );
}

function Chosen(props: {
  one: Organization;
  forest: Forest;
  choose: (id: string) => void;
  add: () => void;
  rename: () => void;
  move: () => void;
}) {
  const { t } = useWords();
  const say = useWord();
  const org = useOrg();
  const mayChange = useMay('organizations.write');
  const session = useSession();
  const { one, forest } = props;
  // Whoever works in an organization cannot place it elsewhere, and the only one has no other place.
  const mayMove = mayChange && session.organization !== one.id && forest.byId.size > 1;
  const above = one.parent == null ? undefined : forest.byId.get(one.parent);
  const below = forest.below.get(one.id) ?? [];
  return (
    <Panel
      title={one.name}
      aside={
        <Group gap="xs">
          {mayChange && (
            <>
              <Button size="xs" variant="default" onClick={props.rename}>
                {t('organizations.rename')}
              </Button>
              {mayMove && (
                <Button size="xs" variant="default" onClick={props.move}>
                  {t('organizations.move')}
                </Button>
              )}
              <Button size="xs" variant="default" onClick={props.add}>
                {t('organizations.add.below')}
              </Button>
            </>
          )}
          {one.id === org ? (
            <Text size="sm" c="dimmed">
              {t('organizations.here')}
            </Text>
          ) : (
            <Button size="xs" variant="light" component={Link} to={`/o/${encodeURIComponent(one.id)}`}>
              {t('organizations.work')}
            </Button>
          )}
        </Group>
      }
    >
      <Facts
        facts={[
          [t('organizations.kind'), say('organizations.kind', one.kind)],
          [t('organizations.id'), one.id],
          [t('organizations.above'), above?.name ?? t('organizations.above.none')],
          [t('organizations.below'), below.length === 0 ? t('organizations.below.none') : names(below)],
        ]}
      />
    </Panel>
  );
}

const NAMED = 8;

function names(below: Organization[]): string {
  const first = below.slice(0, NAMED).map((one) => one.name);
  return below.length > NAMED ? `${first.join(', ')}, … (${below.length})` : first.join(', ');
}
