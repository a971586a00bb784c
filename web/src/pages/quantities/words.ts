// A rule in words: only what it does.
import { useFormats } from '../../format';
import { useWords } from '../../i18n';
import type { Rule } from './data';

export function useRuleWords(): (rule: Rule | undefined) => string[] {
  const { t } = useWords();
  const { quantity } = useFormats();
  return (rule) => {
    if (rule === undefined) return [t('quantities.rule.plain')];
    const told: string[] = [];
    if (rule.add_up) told.push(t('quantities.rule.said.add_up'));
    if (rule.combine !== 'sum') told.push(t(`quantities.rule.combine.${rule.combine}`));
    if (rule.unit !== undefined) told.push(t('quantities.rule.said.unit', { unit: rule.unit }));
    for (const one of rule.exclude ?? []) {
      told.push(
        t('quantities.rule.said.exclude', {
          what: one.quantity === undefined ? (one.service ?? '') : quantity(one.quantity),
          reason: one.reason,
        }),
      );
    }
    if (rule.included !== '0') told.push(t('quantities.rule.said.included', { n: quantity(rule.included) }));
    if (rule.minimum !== undefined) told.push(t('quantities.rule.said.minimum', { n: quantity(rule.minimum) }));
    if (rule.maximum !== undefined) told.push(t('quantities.rule.said.maximum', { n: quantity(rule.maximum) }));
    if (rule.rounding !== 'auto') told.push(t(`quantities.rule.rounding.${rule.rounding}`));
    if (rule.pack !== undefined) told.push(t('quantities.rule.said.pack', { n: quantity(rule.pack.size) }));
    if ((rule.tiers ?? []).length > 0) told.push(t('quantities.rule.said.tiers', { n: rule.tiers?.length ?? 0 }));
    if (rule.ratio !== undefined) {
      told.push(t('quantities.rule.said.ratio', { of: quantity(rule.ratio.of), per: quantity(rule.ratio.per) }));
    }
    return told.length === 0 ? [t('quantities.rule.plain')] : told;
  };
}
