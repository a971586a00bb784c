//! What a plan saw of the agreements that it writes to, and what it makes of their next invoices.

use super::World;
use crate::billing;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::AgreementId;
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::plan::{
    Action, AgreementSight, AgreementTerms, Change, CurrencyTotals, DraftPlan, Target, Totals,
};
use crate::psa::{AdditionState, Agreement, ObservedAddition};

/// An agreement that a plan writes to.
#[derive(Debug)]
pub struct Written {
    /// Which.
    pub agreement: AgreementId,
    /// What the plan saw of it.
    pub sight: AgreementSight,
    /// Its next invoice before and after; none where it has none that can be foreseen.
    pub invoice: Result<Option<(Currency, Money, Money)>, MoneyError>,
}

/// The agreements that the changes write to, in the order of their ids. `after` tells the lines of one as the changes
/// leave them, each with what is included in it.
pub fn of<'p>(
    world: &World<'_>,
    changes: &[Box<Change>],
    after: impl Fn(AgreementId) -> Vec<(&'p AdditionState, Quantity)>,
) -> Vec<Written> {
    let mut written = Vec::new();
    let mut seen: Vec<&ObservedAddition> = Vec::new();
    let mut changed: Vec<&Change> = changes.iter().map(AsRef::as_ref).collect();
    changed.sort_by_key(|change| change.agreement);
    for of_one in changed.chunk_by(|a, b| a.agreement == b.agreement) {
        let changes = || of_one.iter().copied();
        let agreement = of_one.first().and_then(|change| world.snapshot.agreements.get(&change.agreement));
        let Some(agreement) = agreement.filter(|_| changes().any(|change| change.writes())) else { continue };
        let mut items: Vec<_> = changes().map(|change| change.catalog_item).collect();
        items.sort_unstable();
        let mut targets: Vec<_> = changes().filter_map(|change| change.action.target()).collect();
        targets.sort_unstable();
        let is_seen = |addition: &ObservedAddition| {
            items.binary_search(&addition.state.catalog_item).is_ok()
                || targets.binary_search(&&Target::Existing(addition.id)).is_ok()
        };
        let read = world.snapshot.additions_of(agreement.id);
        // Found first and copied then, into exactly as much room as they need.
        seen.clear();
        seen.extend(read.iter().filter(|a| is_seen(a)));
        let additions = seen.iter().map(|a| (a.id, a.state.clone())).collect();
        let included = seen.iter().map(|a| (a.id, a.less_included));
        written.push(Written {
            agreement: agreement.id,
            sight: AgreementSight {
                status: agreement.status,
                next_invoice: agreement.next_invoice,
                prorates: agreement.prorates,
                end: agreement.end,
                terms: Some(AgreementTerms::of(agreement, included)),
                additions,
            },
            invoice: invoice_of(world, agreement, read, &after(agreement.id)),
        });
    }
    written
}

/// The agreement's next invoice with what was read, and with what is there after the changes.
fn invoice_of(
    world: &World<'_>,
    agreement: &Agreement,
    read: &[ObservedAddition],
    after: &[(&AdditionState, Quantity)],
) -> Result<Option<(Currency, Money, Money)>, MoneyError> {
    let (Some(currency), Some(period)) =
        (agreement.currency, billing::open_period(world.snapshot, agreement))
    else {
        return Ok(None);
    };
    let billed = |state: &AdditionState, less_included: Quantity| {
        billing::price_in(state, less_included, period, agreement.prorates, currency)
    };
    let (mut same, mut old, mut new) = (Money::ZERO, Money::ZERO, Money::ZERO);
    // What no change touched lies in both lists in the same order, and is reckoned and added up once.
    let mut rest = after;
    for addition in read {
        let amount = billed(&addition.state, addition.less_included)?;
        let at = rest.iter().position(|(state, _)| std::ptr::eq(*state, &addition.state));
        let Some((changed, [_, others @ ..])) = at.map(|at| rest.split_at(at)) else {
            old = old.plus(amount)?;
            continue;
        };
        for (state, less_included) in changed {
            new = new.plus(billed(state, *less_included)?)?;
        }
        same = same.plus(amount)?;
        rest = others;
    }
    for (state, less_included) in rest {
        new = new.plus(billed(state, *less_included)?)?;
    }
    Ok(Some((currency, same.plus(old)?, same.plus(new)?)))
}

/// Counts the changes and adds the invoices up.
pub fn add_up(draft: &mut DraftPlan, written: Vec<Written>) {
    count(&mut draft.totals, &draft.changes);
    add_invoices(draft, written);
}

/// Counts changes.
pub fn count(totals: &mut Totals, changes: &[Box<Change>]) {
    for change in changes {
        match change.action {
            Action::Create { .. } => totals.create += 1,
            Action::Update { .. } => totals.update += 1,
            Action::Cancel { .. } => totals.cancel += 1,
            Action::Delete { .. } => totals.delete += 1,
            Action::Keep { .. } => totals.keep += 1,
        }
    }
}

/// Adds the invoices up.
pub fn add_invoices(draft: &mut DraftPlan, written: Vec<Written>) {
    let mut sights = Vec::with_capacity(written.len());
    for Written { agreement, sight, invoice } in written {
        sights.push((agreement, sight));
        let added = invoice.and_then(|invoice| match invoice {
            Some((currency, old, new)) => add(&mut draft.totals, currency, old, new),
            None => Ok(()),
        });
        if let Err(error) = added {
            let subject = Subject { agreement: Some(agreement), ..Subject::default() };
            let message = format!("The next invoice of agreement {agreement} cannot be summed up: {error}.");
            draft.findings.push(Finding::new(Code::Tu6006, subject, message).severity(Severity::Warning));
        }
    }
    draft.sights = sights.into_iter().collect();
}

fn add(totals: &mut Totals, currency: Currency, old: Money, new: Money) -> Result<(), MoneyError> {
    let at = totals.by_currency.get(&currency).cloned().unwrap_or_default();
    let sum = CurrencyTotals {
        next_invoice_before: at.next_invoice_before.plus(old)?,
        next_invoice_after: at.next_invoice_after.plus(new)?,
        delta: at.delta.plus(new.minus(old)?)?,
    };
    totals.by_currency.insert(currency, sum);
    Ok(())
}
