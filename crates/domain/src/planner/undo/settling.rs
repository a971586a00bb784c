//! What invoices made of what is taken back: how much more or less they billed than they would have without it, and the
//! line that is billed once so that all of them come to that. It names its true days, and no order goes by it later.

use super::{Credit, Effect, Step, push};
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, AgreementId, ChangeId, OrderId, ProductId, SourceId, SubscriptionId};
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::period::{Period, next_day};
use crate::plan::{Action, Change, DraftPlan, Role, Undoing};
use crate::planner::left_out;
use crate::planner::{World, safe_text};
use crate::psa::{AdditionState, Agreement, BillFlag, ObservedAddition};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// What invoices would have billed of one addition without the plans, less what they billed.
pub(super) struct Owed {
    amounts: PriceAndCost,
    days: Period,
    formula: String,
    /// The line that they billed: what settles it is named and taxed as it is.
    like: AdditionState,
    /// Where it is settled.
    open: Period,
    /// Where a line is made again: what it would have billed.
    again: Option<Missed>,
}

/// What a line that is made again would have billed, invoice by invoice, and the order that it is of.
struct Missed {
    order: Option<OrderId>,
    parts: Vec<(Period, PriceAndCost)>,
}

/// Why what is owed cannot be settled by a line, and how much it is, where that can be told.
pub(super) struct Unsettled {
    pub(super) why: &'static str,
    pub(super) amount: Option<Money>,
}

impl From<MoneyError> for Unsettled {
    fn from(_: MoneyError) -> Self {
        Self { why: "what they come to cannot be reckoned", amount: None }
    }
}

/// What is owed for the invoices of these days, none where they billed what they would have without the plans.
pub(super) fn owed(
    world: &World<'_>,
    effect: &Effect<'_>,
    agreement: &Agreement,
    there: Option<&ObservedAddition>,
    invoiced: Period,
    currency: Currency,
) -> Result<Option<Owed>, Unsettled> {
    let unknown = |why| Unsettled { why, amount: None };
    if agreement.prorates && effect.before.is_some() {
        return Err(unknown("ConnectWise prorates, and bills by itself what opens again"));
    }
    let included = there.map_or(Quantity::ZERO, |a| a.less_included);
    let first = effect.changes.first().and_then(|(_, change)| change.action.after());
    // Where ConnectWise prorates, it bills the days that were invoiced before the line was there.
    let caught_up = first.filter(|_| agreement.prorates).map(|state| state.effective);
    let mut day = caught_up.map_or(invoiced.start(), |from| from.min(invoiced.start()));
    let mut sum = PriceAndCost::default();
    let mut days: Option<Period> = None;
    let mut terms: Vec<(u32, Money, Money)> = Vec::new();
    let mut parts = Vec::new();
    while day < invoiced.end() {
        let period = billing::invoice_period(world.snapshot, agreement, day)
            .filter(|period| period.end() > day)
            .ok_or_else(|| unknown("their periods are not known"))?;
        let bill = |state: Option<&AdditionState>| match state {
            Some(state) => billing::billed_in(state, included, period, agreement.prorates, currency),
            None => Ok(PriceAndCost::default()),
        };
        let (would, was) = (bill(effect.before)?, bill(billed_then(effect, there, day))?);
        if would != was {
            let differs = would.minus(was)?;
            sum = sum.plus(differs)?;
            let own = own_days(effect, period);
            parts.push((own, differs));
            days = Some(days.map_or(own, |days| hull(days, own)));
            match terms.last_mut().filter(|last| (last.1, last.2) == (would.price, was.price)) {
                Some(last) => last.0 += 1,
                None => terms.push((1, would.price, was.price)),
            }
        }
        day = period.end();
    }
    let Some(days) = days.filter(|_| sum != PriceAndCost::default()) else { return Ok(None) };
    if effect.then.iter().any(Option::is_none) {
        return Err(unknown("nobody knows which of them were made since"));
    }
    let like = there.map(|a| &a.state).or(effect.before).or(first);
    let open = open_days(world, agreement);
    let (Some(like), Some(open)) = (like, open) else {
        let why = "no invoice follows on which that could be settled";
        return Err(Unsettled { why, amount: Some(sum.price) });
    };
    let terms: Vec<String> = terms
        .iter()
        .map(|(count, would, was)| format!("{count} x ({} - {})", would.shown(currency), was.shown(currency)))
        .collect();
    let formula = format!("addition {}: {}", effect.addition, terms.join(" + "));
    let link = world.links.iter().find(|l| l.addition == effect.addition);
    let again = link.filter(|link| there.is_none() && link.role == Role::Recurring);
    let again = again.map(|link| Missed { order: link.order.clone(), parts });
    Ok(Some(Owed { amounts: sum, days, formula, like: like.clone(), open, again }))
}

/// The days that the next invoice bills, up to the end of the agreement.
fn open_days(world: &World<'_>, agreement: &Agreement) -> Option<Period> {
    let open = billing::open_period(world.snapshot, agreement)?;
    match agreement.end {
        None => Some(open),
        // Of days that are cut short ConnectWise would take a share.
        Some(end) if agreement.prorates => Some(open).filter(|open| open.last_day() <= end),
        Some(end) => open.before_day(open.end().min(next_day(end))),
    }
}

/// The state in which the invoice that begins with `day` billed the addition: as the last change before it had left it.
fn billed_then<'s>(
    effect: &Effect<'s>,
    there: Option<&'s ObservedAddition>,
    day: Date,
) -> Option<&'s AdditionState> {
    let is_before = |then: &Option<Date>| then.is_none_or(|then| then <= day);
    let at = effect.then.iter().rposition(is_before).unwrap_or(0);
    match effect.changes.get(at + 1) {
        Some(_) => effect.changes[at].1.action.after(),
        // ConnectWise may keep it otherwise than it was sent.
        None => there.map(|a| &a.state),
    }
}

/// The days of an invoice that a line is for: those that it names where it is billed once, else all that it lies on.
fn own_days(effect: &Effect<'_>, invoice: Period) -> Period {
    let state = match (effect.before, effect.after, effect.changes.first()) {
        (None, _, Some((_, made))) => {
            if let Some(days) = made.true_period.filter(|_| made.role != Role::Recurring) {
                return days;
            }
            made.action.after()
        }
        (Some(taken_away), None, _) => Some(taken_away),
        (Some(_), Some(_), _) | (None, _, None) => None,
    };
    let days = state.and_then(|state| {
        Period::new(state.effective, state.cancelled.map_or(invoice.end(), next_day)).ok()?.intersect(invoice)
    });
    days.unwrap_or(invoice)
}

fn hull(one: Period, other: Period) -> Period {
    let (start, end) = (one.start().min(other.start()), one.end().max(other.end()));
    Period::new(start, end).unwrap_or(one)
}

/// What is owed for one product on one agreement.
struct Sum<'e, 'a> {
    /// The last of what was taken back.
    effect: &'e Effect<'a>,
    owed: Owed,
    /// What is written to the lines themselves.
    written: Vec<ChangeId>,
}

impl Sum<'_, '_> {
    fn add(&mut self, owed: Owed, written: impl IntoIterator<Item = ChangeId>) -> Result<(), MoneyError> {
        self.owed.amounts = self.owed.amounts.plus(owed.amounts)?;
        self.owed.days = hull(self.owed.days, owed.days);
        self.owed.formula = format!("{}; {}", owed.formula, self.owed.formula);
        self.written.extend(written);
        Ok(())
    }
}

/// What is owed, newest first, with what is written to the line itself.
pub(super) type AllOwed<'e, 'a> = Vec<(&'e Effect<'a>, Owed, Option<ChangeId>)>;

/// Writes what settles the invoices: a line a product and agreement, after what ends or restores the lines themselves.
/// Where nothing is to be given back, what is owed for the products of a subscription is taken together: what is not given
/// back of one is not charged for another.
pub(super) fn settle(
    world: &World<'_>,
    draft: &mut DraftPlan,
    owed: AllOwed<'_, '_>,
    credit: Credit,
) -> Result<(), MoneyError> {
    type Whose = (SourceId, SubscriptionId, Currency);
    type What = (AgreementId, ProductId, Option<AdditionId>);
    let mut all: BTreeMap<Whose, BTreeMap<What, Sum<'_, '_>>> = BTreeMap::new();
    for (effect, owed, written) in owed {
        let Some((_, change)) = effect.changes.last() else { continue };
        let whose = (change.source.clone(), change.subscription.clone(), change.currency);
        let sums = all.entry(whose).or_default();
        // What is made again is of its order, as it would have been: the next one has to find what was billed of it.
        let alone = owed.again.as_ref().map(|_| effect.addition);
        let key = (effect.agreement, change.product.clone(), alone);
        match sums.get_mut(&key) {
            Some(sum) => sum.add(owed, written)?,
            None => {
                let written = written.into_iter().collect();
                sums.insert(key, Sum { effect, owed, written });
            }
        }
    }
    let left_out = match credit {
        Credit::LeaveOut => Some("the undo is to give nothing back"),
        Credit::Propose if world.settings.credits.is_on() => None,
        Credit::Propose => Some(left_out::CREDITS_OFF),
    };
    for sums in all.into_values() {
        let mut sums: Vec<Sum<'_, '_>> = sums.into_values().collect();
        let why = left_out.filter(|_| sums.iter().any(|sum| sum.owed.amounts.price.is_negative()));
        if let Some(why) = why {
            let mut total = Money::ZERO;
            for sum in &sums {
                total = total.plus(sum.owed.amounts.price)?;
            }
            if total.is_negative() || total.is_zero() {
                sums.iter().for_each(|sum| tell_left_out(world, draft, sum, why));
                continue;
            }
            sums.sort_by_key(|sum| sum.owed.amounts.price);
            let Some(mut whole) = sums.pop() else { continue };
            whole.owed.again = None;
            for sum in sums.drain(..) {
                whole.add(sum.owed, sum.written)?;
            }
            sums.push(whole);
        }
        for mut sum in sums {
            match sum.owed.again.take() {
                Some(missed) => catch_up(world, draft, &sum, &missed)?,
                None => write(world, draft, &sum)?,
            }
        }
    }
    Ok(())
}

fn name_of<'s>(world: &'s World<'_>, sum: &'s Sum<'_, '_>) -> &'s str {
    let catalog = world.snapshot.catalog.get(&sum.owed.like.catalog_item);
    let said = sum.owed.like.description.as_deref().or(catalog.map(|item| item.description.as_str()));
    said.or_else(|| sum.effect.changes.last().map(|(_, change)| change.product.as_str())).unwrap_or_default()
}

fn about(sum: &Sum<'_, '_>, code: Code, message: String) -> Option<Finding> {
    let (_, change) = sum.effect.changes.last()?;
    let subject = Subject {
        agreement: Some(sum.effect.agreement),
        addition: None,
        detail: Some(sum.owed.days.to_string()),
        ..super::line::subject(sum.effect, change)
    };
    let finding = Finding::new(code, subject, message).severity(Severity::Warning);
    Some(finding.amount(sum.owed.amounts.price, change.currency))
}

fn tell_left_out(world: &World<'_>, draft: &mut DraftPlan, sum: &Sum<'_, '_>, why: &str) {
    let Some((_, change)) = sum.effect.changes.last().filter(|_| !sum.owed.amounts.price.is_zero()) else {
        return;
    };
    let message = format!(
        "{} {} for {}, {}, is left out: {why}. It is what the invoices of these days would have billed without what is \
         taken back, less what they billed: {}.",
        sum.owed.amounts.price.shown(change.currency),
        change.currency,
        name_of(world, sum),
        sum.owed.days,
        sum.owed.formula
    );
    let fix = "Give it back by hand, or switch credits on and plan the undo anew. A task that is taken in again bills these \
               days once more.";
    draft.findings.extend(about(sum, Code::Tu6005, message).map(|finding| finding.fix(fix)));
}

/// The line that settles what is owed: it is billed once, by the next invoice, and names its true days.
fn write(world: &World<'_>, draft: &mut DraftPlan, sum: &Sum<'_, '_>) -> Result<(), MoneyError> {
    let PriceAndCost { price, cost } = sum.owed.amounts;
    let Some((plan, change)) = sum.effect.changes.last().copied().filter(|_| !price.is_zero()) else {
        return Ok(());
    };
    let gives_back = price.is_negative();
    let days = sum.owed.days;
    let quantity = Quantity::from(if gives_back { -1 } else { 1 });
    let unit_cost = if gives_back { Money::ZERO.minus(cost)? } else { cost };
    let wanted = once(world, sum, days, quantity, PriceAndCost { price: price.abs(), cost: unit_cost });
    let amount = price.abs().shown(change.currency);
    let (than, becomes) = if gives_back { ("more", "given back") } else { ("less", "charged") };
    tell(world, draft, sum, than, becomes);
    let reason = format!(
        "Undo of plan {plan}: invoices of {days} billed {amount} {than} than they would have without it, which is \
         {becomes} once."
    );
    let step = Step {
        change,
        plan,
        action: Action::Create { wanted: wanted.into() },
        role: if gives_back { Role::Refund } else { Role::OneTime },
        true_period: Some(days),
        amounts: sum.owed.amounts,
        reason,
        formula: format!("{} = {}", sum.owed.formula, price.shown(change.currency)),
        order: change.order.clone(),
        undoing: Some(Undoing::Settled),
        depends_on: sum.written.clone(),
    };
    push(world, draft, (settled(sum), sum.effect.agreement), step);
    Ok(())
}

/// What a line that is made again would have billed of invoiced days, as an order that comes late has it billed: a part
/// for each invoice, so that what is cancelled later takes away what is not owed of it.
fn catch_up(
    world: &World<'_>,
    draft: &mut DraftPlan,
    sum: &Sum<'_, '_>,
    missed: &Missed,
) -> Result<(), MoneyError> {
    let Some((plan, change)) = sum.effect.changes.last().copied() else { return Ok(()) };
    tell(world, draft, sum, "less", "charged");
    let like = &sum.owed.like;
    for (days, amounts) in &missed.parts {
        let own = billing::extended(like, Quantity::ZERO, change.currency)?;
        let of_units = PriceAndCost { price: like.unit_price, cost: like.unit_cost };
        let whole = own == *amounts;
        let (quantity, unit) = if whole { (like.quantity, of_units) } else { (Quantity::from(1), *amounts) };
        let true_days = if whole { stands_for(world, change, *days) } else { *days };
        let step = Step {
            change,
            plan,
            action: Action::Create { wanted: once(world, sum, true_days, quantity, unit).into() },
            role: Role::Prorate,
            true_period: Some(true_days),
            amounts: *amounts,
            reason: format!("Undo of plan {plan}: {days} was invoiced without the line that it removed."),
            formula: format!("{} x {}", quantity.shown(), unit.price.shown(change.currency)),
            order: missed.order.clone(),
            undoing: None,
            depends_on: sum.written.clone(),
        };
        push(world, draft, (settled(sum), sum.effect.agreement), step);
    }
    Ok(())
}

/// The period of the subscription that an invoice bills whole: the one that begins within its days, wherever these lie.
fn stands_for(world: &World<'_>, change: &Change, invoice: Period) -> Period {
    let sold = world.subscriptions.get(&(change.source.clone(), change.subscription.clone()));
    let own = sold.and_then(|sold| {
        let anchor = sold.period.map_or(sold.start, Period::start);
        sold.billing_cycle.period_containing(anchor, invoice.last_day()).ok()
    });
    own.filter(|own| invoice.contains(own.start())).unwrap_or(invoice)
}

/// The name of what settles a line: its key is made of it.
fn settled(sum: &Sum<'_, '_>) -> String {
    format!("{}/settled", sum.effect.addition)
}

/// A line that the next invoice bills once.
fn once(
    world: &World<'_>,
    sum: &Sum<'_, '_>,
    days: Period,
    quantity: Quantity,
    unit: PriceAndCost,
) -> AdditionState {
    let (like, open) = (&sum.owed.like, sum.owed.open);
    AdditionState {
        catalog_item: like.catalog_item,
        quantity,
        unit_price: unit.price,
        unit_cost: unit.cost,
        effective: open.start(),
        cancelled: Some(open.last_day()),
        bill: BillFlag::Billable,
        taxable: like.taxable,
        description: like.description.clone(),
        invoice_description: Some(safe_text(format!("{} ({days})", name_of(world, sum)))),
    }
}

/// Says that invoices are settled, and how.
fn tell(world: &World<'_>, draft: &mut DraftPlan, sum: &Sum<'_, '_>, than: &str, becomes: &str) {
    let Some((_, change)) = sum.effect.changes.last() else { return };
    let message = format!(
        "Invoices of {} billed {} {} {than} for {} than they would have without what is taken back: it is {becomes} on \
         agreement {}, once, {}.",
        sum.owed.days,
        sum.owed.amounts.price.abs().shown(change.currency),
        change.currency,
        name_of(world, sum),
        sum.effect.agreement,
        sum.owed.open
    );
    let fix = "Nothing, where the line is right; plan the undo without it where money is given back otherwise \
               (`trueup undo --no-credit`).";
    draft.findings.extend(about(sum, Code::Tu4002, message).map(|finding| finding.fix(fix)));
}
