import { Anchor, Box, Code, Group, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'react-router';
import type { Schemas } from '../api/client';
import { NO_NAMES, type Names } from '../api/names';
import { useFormats } from '../format';
import { useWords } from '../i18n';
import { useOrg } from '../session';
import { SeverityBadge, useWord } from './Badges';
import { OWN_WAY, withoutCommands } from './plain';
import { useSaid } from './said';

type Finding = Schemas['FindingDoc'];

export interface FindingSubject {
  source: string | null;
  customer: string | null;
  subscription: string | null;
  product: string | null;
  addition: number | null;
}

export function subjectOf(finding: Finding): FindingSubject {
  return finding.subject as unknown as FindingSubject;
}

/** The question that a finding is about. */
export function approvalOf({ code, subject }: Pick<Finding, 'code' | 'subject'>): string | null {
  const { detail } = subject as { detail?: string | null };
  const found = code === 'TU7007' ? /^approval (\S+)$/.exec(detail ?? '') : null;
  return found?.[1] ?? null;
}

/** The customers and products that findings are about. */
export function namesOfFindings(findings: Finding[]) {
  const ref = (field: 'customer' | 'product') =>
    findings.flatMap((finding) => {
      const subject = subjectOf(finding);
      const id = subject[field];
      return id === null || subject.source === null ? [] : [{ source: subject.source, id }];
    });
  return { customers: ref('customer'), products: ref('product') };
}

/** What to do, in the words of the API where they fit a page, else in those of the catalogue. */
export function useRemedy(): (found: { code: string; fix: string }) => string {
  const { language } = useWords();
  const say = useWord();
  const { days } = useSaid();
  return ({ code, fix }) => {
    const plain = language !== 'en' || OWN_WAY.has(code) ? '' : withoutCommands(fix);
    return plain === '' ? say('fix', code) : days(plain);
  };
}

const CODES = /^TU\d{4}(, TU\d{4})*$/;

/** Why a task stands where it does: one sentence, or exception codes in words. */
export function useReason(): (reason: string) => string {
  const say = useWord();
  const { said } = useSaid();
  return (reason) =>
    CODES.test(reason)
      ? reason
          .split(', ')
          .map((code) => `${say('code', code)} (${code})`)
          .join(', ')
      : said(withoutCommands(reason) || reason);
}

/** The cause in the reader's language, and the words of the API, which are English. */
export function Told({ code, message }: { code: string; message: string }) {
  const { cause } = useWords();
  const say = useWord();
  const { said } = useSaid();
  const usual = cause(code);
  const plain = withoutCommands(message);
  if (usual === null) return <Text size="sm">{said(plain === '' ? say('code', code) : plain)}</Text>;
  return (
    <>
      <Text size="sm">{usual}</Text>
      {plain !== '' && (
        <Text size="sm" c="dimmed" lang="en">
          {said(plain)}
        </Text>
      )}
    </>
  );
}

/** What was found: what it is, why, and what to do. */
export function FindingText({ finding, names = NO_NAMES }: { finding: Finding; names?: Names }) {
  const { t } = useWords();
  const { money } = useFormats();
  const say = useWord();
  const remedy = useRemedy();
  const org = useOrg();
  const { source, customer, product, subscription } = subjectOf(finding);
  const approval = approvalOf(finding);
  const about = [
    source !== null && customer !== null ? names.customer(source, customer) : null,
    source !== null && product !== null ? names.product(source, product) : null,
    // What is only counted has no subscription but in name.
    subscription?.startsWith('quantity:') === true ? null : subscription,
  ].filter((one) => one !== null);
  return (
    <Stack gap={4}>
      <Group gap="sm" justify="space-between" align="flex-start" wrap="nowrap">
        <Group gap="xs">
          <Text size="sm" fw={600}>
            {say('code', finding.code)}
          </Text>
          <SeverityBadge severity={finding.severity} />
          <Code>{finding.code}</Code>
        </Group>
        {finding.amount != null && (
          <Text size="sm" fw={600} className="num">
            {money(finding.amount.amount, finding.amount.currency)}
          </Text>
        )}
      </Group>
      {about.length > 0 && (
        <Text size="sm" fw={500} className="name">
          {about.join(' · ')}
        </Text>
      )}
      <Told code={finding.code} message={finding.message} />
      <Text size="sm" c="dimmed">
        {t('problem.whatToDo')}: {remedy(finding)}
        {approval !== null && (
          <>
            {' '}
            <Link className="plain" to={`/o/${org}/approvals/${encodeURIComponent(approval)}`}>
              {t('approval.toIt')}
            </Link>
          </>
        )}
      </Text>
      {finding.their_words != null && (
        <Text size="sm" c="dimmed">
          {t('problem.theirs')}: <q>{finding.their_words}</q>
        </Text>
      )}
    </Stack>
  );
}

/** The first few; the others on demand, so that what follows stays in sight. */
const AT_ONCE = 3;

export function FindingList({ findings, names = NO_NAMES }: { findings: Finding[]; names?: Names }) {
  const { t } = useWords();
  const [all, setAll] = useState(false);
  const shown = all ? findings : findings.slice(0, AT_ONCE);
  return (
    <>
      {shown.map((finding, at) => (
        <Box key={`${finding.code} ${at}`} className="line" px="lg" py="sm">
          <FindingText finding={finding} names={names} />
        </Box>
      ))}
      {shown.length < findings.length && (
        <Box px="lg" py="xs">
          <Anchor component="button" type="button" size="sm" onClick={() => setAll(true)}>
            {t('action.all', { n: findings.length })}
          </Anchor>
        </Box>
      )}
    </>
  );
}
