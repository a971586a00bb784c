// One plan: what it does to the next invoices, line by line; write it, follow it, take it back.
import { Box, Group } from '@mantine/core';
import { useState } from 'react';
import { useParams } from 'react-router';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { PlanState } from '../ui/Badges';
import { Page, Waiting } from '../ui/Page';
import { AsksPeople, Halted, PlanActions } from '../ui/PlanActions';
import { PlanView, usePlan } from '../ui/PlanView';
import { ProblemNote } from '../ui/Problem';
import { useActor } from '../ui/said';

export default function PlanPage() {
  const who = useActor();
  const { t } = useWords();
  const { instant } = useFormats();
  const org = useOrg();
  const { plan: id = '' } = useParams();
  const [all, setAll] = useState(false);
  const found = usePlan(org, id, all);
  const plan = found.data?.plan;
  return (
    <Page
      title={t('plan.title')}
      lead={
        plan === undefined ? undefined : (
          <Group gap="xs">
            <PlanState state={plan.state} />
            <span>{t('plan.made', { when: instant(plan.created_at), actor: who(plan.actor) })}</span>
          </Group>
        )
      }
      actions={plan === undefined ? undefined : <PlanActions plan={plan} />}
    >
      {found.data === undefined || plan === undefined ? (
        found.error === null ? (
          <Box className="panel">
            <Waiting rows={10} />
          </Box>
        ) : (
          <ProblemNote error={found.error} retry={() => void found.refetch()} />
        )
      ) : (
        <>
          <Halted plan={plan} />
          <AsksPeople plan={plan} />
          <PlanView plan={plan} names={found.data.names} all={{ shown: all, change: setAll }} />
        </>
      )}
    </Page>
  );
}
