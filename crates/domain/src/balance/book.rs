//! One subscription: what its lines come to by a plan, and what by its orders.

use super::sold::{Reading, Sold};
use super::{Key, Of};
use crate::billing;
use crate::check::After;
use crate::feed::{BillingModel, Order, OrderKind, OrderLine, ProductKind, Subscription, SubscriptionItem};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, AgreementId, ChangeId, OrderId};
use crate::money::{Currency, Exact, Money, MoneyError, Quantity, RoundingMode};
use crate::period::Period;
use crate::plan::{AdditionLink, Change, DraftPlan, Role, Target, TaskOutcome};
use crate::planner::World;
use crate::psa::{AdditionState, Agreement, AgreementStatus, ObservedAddition};
use crate::task::task_id_of_order;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::BTreeSet;

/// Nobody bills so far ahead: what reaches further is not followed.
const PERIODS: usize = 600;

/// Why nothing is said of a subscription.
#[derive(Debug)]
pub(super) struct Unsaid;

impl From<MoneyError> for Unsaid {
    fn from(_: MoneyError) -> Self {
        Self
    }
}

/// One subscription with all that the plan and its orders say of it.
pub(super) struct Book<'a, 'b> {
    pub world: &'b World<'a>,
    pub draft: &'b DraftPlan,
    pub key: Key<'b>,
    pub of: &'b Of<'b>,
    pub links: &'b [&'b AdditionLink],
    pub changes: &'b [&'b Change],
    /// The orders that were carried out before.
    pub known: &'b [Order],
}

impl Book<'_, '_> {
    /// The finding where sold and billed move apart; none where they do not.
    pub fn difference(&self, after: &After) -> Result<Option<Finding>, Unsaid> {
        let home = self.home().ok_or(Unsaid)?;
        let currency = home.currency.ok_or(Unsaid)?;
        self.is_by_orders_alone()?;
        let (before, now) = self.orders();
        let periods = self.periods(home, before.iter().chain(&now))?;
        let (billed, each) = self.billed(after, &periods, currency)?;
        let told = self.told(currency);
        // What was invoiced when a cancellation was written that is taken back, nobody knows here.
        let open = match self.draft.undoes.is_empty() {
            true => billing::open_period(self.world.snapshot, home).ok_or(Unsaid)?.start(),
            false => Date::MIN,
        };
        let unit = Decimal::new(1, currency.places());
        let tolerance = unit * self.roundings(before.iter().chain(&now));
        let mut usual: Option<(Decimal, Decimal)> = None;
        let mut range: Option<(Decimal, Decimal)> = None;
        for reading in Reading::all() {
            let count = Sold {
                periods: &periods,
                settings: self.world.settings,
                subscription: self.sold(),
                reading,
                open,
                unit,
            };
            let (before, now) = (count.of(&before)?, count.of(&now)?);
            let unexplained = self.value_of(&self.lines_before(), currency)?.minus(before.standing)?;
            if unexplained.round(currency.places() + 2, RoundingMode::HalfUp)?.abs() > tolerance {
                return Err(Unsaid);
            }
            let rounded = |exact: Exact| exact.round(currency.places() + 2, RoundingMode::HalfUp);
            let apart = rounded(billed.minus(now.sum.minus(before.sum)?)?)?;
            let each_apart = rounded(each.minus(now.standing.minus(before.standing)?)?)?;
            let is_told = told.iter().any(|told| {
                (apart + *told).abs() <= tolerance || (apart.abs() - told.abs()).abs() <= tolerance
            });
            if apart.abs() <= tolerance || is_told {
                return Ok(None);
            }
            range = Some(range.map_or((apart, apart), |(low, high)| (low.min(apart), high.max(apart))));
            usual = usual.or(Some((apart, each_apart)));
        }
        // Of a cancelled period that no invoice has billed more or less of it is owed, by what its parts are for.
        let ends = |order: &&&Order| order.kind == OrderKind::Cancellation;
        let cut = before.iter().chain(&now).filter(ends).all(|order| order.period.start() >= open);
        if cut && range.is_some_and(|(low, high)| low <= tolerance && high >= -tolerance) {
            return Ok(None);
        }
        let horizon = periods.last().ok_or(Unsaid)?.last_day();
        Ok(usual.map(|apart| self.finding(apart, horizon, currency)))
    }

    /// Its lines that go on, as they are before the plan.
    fn lines_before(&self) -> Vec<&AdditionState> {
        let live = self.links.iter().filter(|link| !link.deleted && link.role == Role::Recurring);
        live.map(|link| &link.written).filter(|state| state.is_open()).collect()
    }

    /// What these lines come to each period.
    fn value_of(&self, lines: &[&AdditionState], currency: Currency) -> Result<Exact, Unsaid> {
        lines.iter().try_fold(Exact::ZERO, |sum, state| {
            Ok(sum.plus(billing::extended(state, Quantity::ZERO, currency)?.price.exact())?)
        })
    }

    fn sold(&self) -> Option<&Subscription> {
        self.world.subscriptions.get(&(self.key.0.clone(), self.key.1.clone()))
    }

    /// An agreement that its lines are on.
    fn home(&self) -> Option<&Agreement> {
        let written = self.changes.iter().map(|change| change.agreement);
        let there = self.links.iter().filter(|link| !link.deleted).map(|link| link.agreement);
        written.chain(there).find_map(|id| self.world.snapshot.agreements.get(&id))
    }

    /// Whether orders alone say what is billed: its lines are as trueup wrote them, and nobody said that something is not.
    fn is_by_orders_alone(&self) -> Result<(), Unsaid> {
        let planned: BTreeSet<&OrderId> = self.of.planned.iter().map(|(_, order)| &order.id).collect();
        let as_written = |link: &&AdditionLink| {
            let seen =
                self.world.snapshot.additions_of(link.agreement).iter().find(|a| a.id == link.addition);
            let is_left = |seen: &ObservedAddition| {
                seen.less_included.is_zero() && bills_alike(&link.written, &seen.state)
            };
            let by_order = link.order.is_some()
                && link.edits.iter().all(|edit| edit.order.is_some())
                && link.ends.iter().all(|end| end.order.is_some() || end.last.is_none());
            // Where a run broke off, a part of what is planned is there.
            let begun = planned.iter().any(|order| link.names(order));
            link.key.is_some() && by_order && !begun && (link.deleted || seen.is_some_and(is_left))
        };
        let is_plain = self.sold().is_none_or(|sold| {
            let included = |item: &SubscriptionItem| item.included_quantity.is_some_and(|q| !q.is_zero());
            let by_itself = sold.plan.is_none() && sold.parent.is_none() && !sold.items.iter().any(included);
            sold.trial_until.is_none() && sold.billing_model == BillingModel::Advance && by_itself
        });
        // What was left out before is not known any more: of what is taken back, or begins again.
        let left_out = !self.draft.undoes.is_empty()
            || self.known.iter().any(|order| order.kind == OrderKind::Cancellation);
        // Nor is what a line came to that was taken back alone.
        let settled = self.links.iter().any(|link| link.is_settled());
        let told_once =
            (self.draft.undoes.is_empty() || !settled) && (self.world.settings.credits.is_on() || !left_out);
        // What is planned once more, or was withdrawn since, is no sale of now.
        let is_new = self.known.iter().all(|known| known.is_completed() && !planned.contains(&known.id));
        let carried_out = |change: &Change| {
            let outcome = self.draft.outcomes.get(&change.task);
            matches!(outcome, Some(TaskOutcome::Planned | TaskOutcome::Undone))
        };
        let on_one_that_goes_on = |link: &&AdditionLink| {
            link.deleted || self.world.snapshot.agreements.get(&link.agreement).is_some_and(goes_on)
        };
        let counted_once = |line: &OrderLine| {
            let product = self.world.products.get(&(self.key.0.clone(), line.product.clone()));
            let is_plan = product.is_some_and(|product| product.kind == Some(ProductKind::Plan));
            !is_plan || line.quantity == Quantity::from(1)
        };
        let whole = is_plain
            && told_once
            && is_new
            && self.changes.iter().all(|change| carried_out(change))
            && self.links.iter().all(on_one_that_goes_on)
            && self.of.planned.iter().flat_map(|(_, order)| &order.lines).all(counted_once)
            && self.links.iter().all(as_written);
        if whole { Ok(()) } else { Err(Unsaid) }
    }

    /// The orders that count before the plan and after it.
    fn orders(&self) -> (Vec<&Order>, Vec<&Order>) {
        let is_undone = |order: &&Order| {
            let task = task_id_of_order(self.key.0, &order.id);
            self.draft.outcomes.get(&task) == Some(&TaskOutcome::Undone)
        };
        let before: Vec<&Order> = self.known.iter().collect();
        let planned = self.of.planned.iter().map(|(_, order)| *order);
        let planned = planned.filter(|order| self.known.iter().all(|known| known.id != order.id));
        let now = before.iter().copied().filter(|order| !is_undone(order)).chain(planned).collect();
        (before, now)
    }

    /// The periods from the first order's on, up to the one after the last day that is named.
    fn periods<'o>(
        &self,
        home: &Agreement,
        orders: impl Iterator<Item = &'o &'o Order>,
    ) -> Result<Vec<Period>, Unsaid> {
        let (mut first, mut last) =
            (None::<Date>, billing::open_period(self.world.snapshot, home).ok_or(Unsaid)?.start());
        for order in orders {
            first = Some(first.map_or(order.period.start(), |first| first.min(order.period.start())));
            last = last.max(order.period.start()).max(order.effective);
        }
        let written = self.changes.iter().filter_map(|change| change.action.after());
        let there = self.links.iter().map(|link| &link.written);
        for state in written.chain(there) {
            last = last.max(state.effective).max(state.cancelled.unwrap_or(last));
        }
        let mut periods: Vec<Period> = Vec::new();
        let mut day = first.ok_or(Unsaid)?;
        while periods.last().is_none_or(|period| period.start() <= last) {
            let period = billing::invoice_period(self.world.snapshot, home, day).ok_or(Unsaid)?;
            if period.start() != day || periods.len() == PERIODS {
                return Err(Unsaid);
            }
            periods.push(period);
            day = period.end();
        }
        Ok(periods)
    }

    /// By how much the invoices from the next one on come to more than without the plan: all together, and each of them from
    /// the last of the periods on.
    fn billed(
        &self,
        after: &After,
        periods: &[Period],
        currency: Currency,
    ) -> Result<(Exact, Exact), Unsaid> {
        let ours: BTreeSet<AdditionId> = self.links.iter().map(|link| link.addition).collect();
        let made: BTreeSet<&ChangeId> = self.changes.iter().map(|change| &change.id).collect();
        let written: BTreeSet<AgreementId> = self.changes.iter().map(|change| change.agreement).collect();
        let (mut sum, mut each) = (Exact::ZERO, Exact::ZERO);
        for id in written {
            let agreement = self.world.snapshot.agreements.get(&id).ok_or(Unsaid)?;
            let open = billing::open_period(self.world.snapshot, agreement).ok_or(Unsaid)?;
            let from = periods.iter().position(|period| period.start() == open.start());
            let by_lines = !agreement.prorates && agreement.parent.is_none();
            if !goes_on(agreement) || !by_lines || agreement.currency != Some(currency) {
                return Err(Unsaid);
            }
            let ahead = from.and_then(|from| periods.get(from..)).ok_or(Unsaid)?;
            let bill = |state: &AdditionState, periods: &[Period]| -> Result<Exact, MoneyError> {
                periods.iter().try_fold(Exact::ZERO, |sum, period| {
                    let amount = billing::price_in(state, Quantity::ZERO, *period, false, currency)?;
                    sum.plus(amount.exact())
                })
            };
            let last = ahead.last().map_or(&[][..], std::slice::from_ref);
            for addition in self.world.snapshot.additions_of(id).iter().filter(|a| ours.contains(&a.id)) {
                sum = sum.minus(bill(&addition.state, ahead)?)?;
                each = each.minus(bill(&addition.state, last)?)?;
            }
            for (target, (state, _)) in after.get(&id).into_iter().flatten() {
                let is_ours = match target {
                    Target::Existing(id) => ours.contains(id),
                    Target::CreatedBy(id) => made.contains(id),
                };
                if is_ours {
                    sum = sum.plus(bill(state, ahead)?)?;
                    each = each.plus(bill(state, last)?)?;
                }
            }
        }
        Ok((sum, each))
    }

    /// Amounts that findings of the plan tell of the subscription: each, and all that are left out together.
    fn told(&self, currency: Currency) -> Vec<Decimal> {
        let own = |finding: &&Finding| {
            finding.subject.subscription.as_ref() == Some(self.key.1)
                && finding.subject.source.as_ref().is_none_or(|source| source == self.key.0)
        };
        let amount = |finding: &Finding| {
            finding.amount.filter(|(_, of)| *of == currency).map(|(amount, _)| amount.decimal())
        };
        let mut all: Vec<Decimal> = self.draft.findings.iter().filter(own).filter_map(amount).collect();
        let left_out = self.draft.findings.iter().filter(own).filter(|f| f.code == Code::Tu6005);
        all.push(left_out.filter_map(amount).sum());
        all.push(all.iter().sum());
        all
    }

    /// How many amounts are rounded on the way, at most.
    fn roundings<'o>(&self, orders: impl Iterator<Item = &'o &'o Order>) -> Decimal {
        let of_orders: Decimal = orders
            .flat_map(|order| &order.lines)
            .map(|line| {
                let all = [Some(line.quantity), line.old_quantity, line.new_quantity];
                all.into_iter().flatten().map(|q| q.decimal().abs()).max().unwrap_or_default() + Decimal::TWO
            })
            .sum();
        let made = self.changes.iter().filter_map(|change| change.action.after());
        of_orders + made.map(|state| state.quantity.decimal().abs() + Decimal::ONE).sum::<Decimal>()
    }

    fn finding(&self, (apart, each): (Decimal, Decimal), last: Date, currency: Currency) -> Finding {
        let task = self.of.planned.last().map(|(task, _)| task.id.clone());
        let task = task.or_else(|| self.changes.last().map(|change| change.task.clone()));
        let subject = Subject {
            task,
            source: Some(self.key.0.clone()),
            subscription: Some(self.key.1.clone()),
            ..Subject::default()
        };
        let in_places = |amount: Decimal| Money::new(amount.round_dp(currency.places()));
        let than = |amount: Money| {
            let than = if amount.is_negative() { "less" } else { "more" };
            format!("{} {currency} {than}", amount.abs().shown(currency))
        };
        let (amount, each) = (in_places(apart), in_places(each));
        let then = if each.is_zero() {
            String::new()
        } else {
            format!(", and {} each period from then on", than(each))
        };
        let message = format!(
            "The lines of subscription {} would bill {} up to {last} than its orders sell{then}; nothing that the plan says \
             explains it.",
            self.key.1,
            than(amount)
        );
        let fix = "Hold the lines and their formulas against the orders before this is approved. What is wrong can be set \
                   line by line, or the task be left out; please report it as well.";
        let finding = Finding::new(Code::Tu6006, subject, message).severity(Severity::Warning);
        finding.amount(amount, currency).fix(fix)
    }
}

/// Whether an agreement is invoiced on and on.
fn goes_on(agreement: &Agreement) -> bool {
    agreement.status == AgreementStatus::Active && agreement.end.is_none()
}

/// Whether two states are billed alike.
fn bills_alike(one: &AdditionState, other: &AdditionState) -> bool {
    let billed = |state: &AdditionState| {
        (state.quantity, state.unit_price, state.effective, state.cancelled, state.bill, state.catalog_item)
    };
    billed(one) == billed(other)
}
