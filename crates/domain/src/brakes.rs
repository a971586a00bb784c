//! The brakes: whether a plan would end or change too much of what its connection holds.

use crate::billing;
use crate::finding::{Code, Finding, Subject};
use crate::ids::{AdditionId, AgreementId, CatalogItemId};
use crate::money::{Currency, Money, Quantity};
use crate::period::{BillingCycle, CycleUnit};
use crate::plan::{Action, DraftPlan, Target};
use crate::psa::{AdditionState, Agreement, Snapshot};
use crate::settings::Settings;
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::{BTreeMap, BTreeSet};

/// A plan beside what its connection holds, which comes in parts: of a large tenant it is never whole in memory.
pub struct Brakes<'a> {
    plan: &'a DraftPlan,
    /// Additions that the plan writes to, and whether each is open there.
    written: BTreeMap<AdditionId, bool>,
    /// Open additions that are known.
    open: u64,
    /// What they come to in a month.
    values: BTreeMap<Currency, Decimal>,
    /// The agreements that the plan names.
    agreements: BTreeMap<AgreementId, Agreement>,
}

impl<'a> Brakes<'a> {
    /// Of a plan, before anything is known.
    pub fn of(plan: &'a DraftPlan) -> Self {
        let writes = plan.changes.iter().filter(|change| change.writes());
        let written = writes.filter_map(|change| match change.action.target() {
            Some(Target::Existing(id)) => Some((*id, false)),
            Some(Target::CreatedBy(_)) | None => None,
        });
        Self {
            plan,
            written: written.collect(),
            open: 0,
            values: BTreeMap::new(),
            agreements: BTreeMap::new(),
        }
    }

    /// Takes in a part of what is known: agreements, and open additions of some of them. None comes twice.
    pub fn add(&mut self, part: &Snapshot) {
        for (id, additions) in &part.additions {
            let agreement = part.agreements.get(id);
            for addition in additions.iter().filter(|addition| addition.state.is_open()) {
                self.open = self.open.saturating_add(1);
                if let Some(is_open) = self.written.get_mut(&addition.id) {
                    *is_open = true;
                }
                let worth = agreement.and_then(|a| a_month(&addition.state, addition.less_included, a));
                if let Some((currency, amount)) = worth {
                    *self.values.entry(currency).or_default() += amount;
                }
            }
        }
        let named = self.plan.changes.iter().filter_map(|change| part.agreements.get(&change.agreement));
        self.agreements.extend(named.map(|agreement| (agreement.id, agreement.clone())));
    }

    /// Findings (TU7007) where the plan goes beyond a limit.
    pub fn held(&self, settings: &Settings) -> Vec<Finding> {
        let limits = &settings.brakes;
        let ends = self
            .plan
            .changes
            .iter()
            .filter(|c| matches!(c.action, Action::Cancel { .. } | Action::Delete { .. }))
            .filter(|c| matches!(c.action.target(), Some(Target::Existing(_))))
            .count();
        let changes = Decimal::from(self.written.values().filter(|is_open| **is_open).count());
        let mut held = Vec::new();
        let mut hold = |what: String| {
            held.push(Finding::new(Code::Tu7007, Subject::default(), what));
        };
        if Decimal::from(ends) > limits.cancels {
            hold(format!("The run would end {ends} additions; the limit is {}.", limits.cancels));
        }
        if changes < limits.min_changes {
            return held;
        }
        let total = Decimal::from(self.open);
        let hundred = Decimal::ONE_HUNDRED;
        if changes * hundred > limits.percent * total {
            hold(format!(
                "The run would end or change {changes} of {total} open additions; the limit is {} percent.",
                limits.percent
            ));
        }
        let moved = self.moved();
        let currencies: BTreeSet<Currency> = moved.keys().chain(self.values.keys()).copied().collect();
        for currency in currencies {
            let of = |sums: &BTreeMap<Currency, Decimal>| sums.get(&currency).copied().unwrap_or_default();
            let (moved, value) = (of(&moved), of(&self.values));
            if moved * hundred > limits.value_percent * value {
                let shown = |value: Decimal| {
                    let places = currency.places();
                    value.round_dp_with_strategy(places, RoundingStrategy::MidpointAwayFromZero)
                };
                hold(format!(
                    "The run would move {} {currency} of {} {currency} a month; the limit is {} percent.",
                    Money::new(shown(moved)).shown(currency),
                    Money::new(shown(value)).shown(currency),
                    limits.value_percent
                ));
            }
        }
        held
    }

    /// What updates, ends and deletes move in a month, less what takes the place of what ends: that is what is of the same
    /// catalog item on the same agreement.
    fn moved(&self) -> BTreeMap<Currency, Decimal> {
        let mut moved: BTreeMap<(AgreementId, CatalogItemId, Currency), (Decimal, bool)> = BTreeMap::new();
        for change in &self.plan.changes {
            let Some(agreement) = self.agreements.get(&change.agreement) else { continue };
            let amount_of = |state: Option<&AdditionState>| {
                state
                    .filter(|s| s.is_open())
                    .and_then(|s| a_month(s, Quantity::ZERO, agreement))
                    .map_or(Decimal::ZERO, |v| v.1)
            };
            let key = (change.agreement, change.catalog_item, change.currency);
            let (sum, is_there) = moved.entry(key).or_default();
            *sum += amount_of(change.action.after()) - amount_of(change.action.before());
            *is_there |= matches!(change.action.target(), Some(Target::Existing(_)));
        }
        let mut sums: BTreeMap<Currency, Decimal> = BTreeMap::new();
        // What is new alone moves nothing that was there.
        for ((_, _, currency), (sum, _)) in moved.into_iter().filter(|(_, (_, is_there))| *is_there) {
            *sums.entry(currency).or_default() += sum.abs();
        }
        sums
    }
}

/// What a line comes to in a month.
fn a_month(state: &AdditionState, included: Quantity, agreement: &Agreement) -> Option<(Currency, Decimal)> {
    let currency = agreement.currency?;
    let amount = billing::extended(state, included, currency).ok()?.price.decimal();
    Some((currency, amount / months(agreement)))
}

fn months(agreement: &Agreement) -> Decimal {
    let Some(cycle) = agreement.billing_cycle.map(BillingCycle::normalised) else { return Decimal::ONE };
    let every = Decimal::from(cycle.every.max(1));
    match cycle.unit {
        CycleUnit::Month | CycleUnit::Year => every,
        // A year of 365 days and a quarter has twelve months.
        CycleUnit::Day | CycleUnit::Week => every / Decimal::new(304_375, 4),
    }
}
