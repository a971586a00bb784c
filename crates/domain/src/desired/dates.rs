//! Lines that bill something else than they were written for, since a person switched whether their agreement prorates: with
//! the flag on, ConnectWise bills the days of a line, without it whole periods, and trueup dates its lines for the one or for
//! the other.

use crate::billing::{invoice_period, price_in};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::money::{Currency, Money, MoneyError};
use crate::period::Period;
use crate::plan::AdditionLink;
use crate::psa::{AdditionState, Agreement, ObservedAddition, Snapshot};
use std::collections::BTreeSet;

/// Lines that a message names; of more it tells how many.
const NAMED: usize = 8;

/// Which invoices are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Those that are to come.
    Ahead,
    /// The last one that was made as well: it was told before it, and nothing was done.
    Back,
}

/// A line that an invoice bills otherwise than its dates were meant.
struct Misdated<'a> {
    there: &'a ObservedAddition,
    is: Money,
    meant: Money,
}

/// What is to be told of an agreement whose flag was switched under lines of ours: one finding, with what the invoices bill
/// more (or, below zero, less) than the lines were written for.
pub fn misdated<'a>(
    snapshot: &Snapshot,
    agreement: &Agreement,
    lines: impl IntoIterator<Item = (&'a AdditionLink, &'a ObservedAddition)>,
    looked: Looked,
) -> Option<Finding> {
    let currency = agreement.currency?;
    let mut found: Vec<Misdated<'a>> = lines
        .into_iter()
        .filter(|(link, _)| !link.deleted && link.prorated.differs_from(agreement.prorates))
        .filter_map(|(link, there)| reckoned(snapshot, agreement, (link, there), currency, looked).ok()?)
        .collect();
    found.sort_by_key(|line| line.there.id);
    let sum = |of: fn(&Misdated<'_>) -> Money| -> Result<Money, MoneyError> {
        found.iter().map(of).try_fold(Money::ZERO, Money::plus)
    };
    let more = sum(|line| line.is).and_then(|is| is.minus(sum(|line| line.meant)?)).ok()?;
    let first = found.first()?;
    let (is_now, how) = match agreement.prorates {
        true => ("prorates by itself now", "the share of their days alone"),
        false => ("does not prorate any more", "whole"),
    };
    let message = format!(
        "Agreement {} ({}) {is_now}, and {} on it {} dated for what it did before: {} billed {how}, {} {currency} {} than \
         was meant ({}).",
        agreement.id,
        agreement.name,
        if found.len() == 1 { "1 line".to_owned() } else { format!("{} lines", found.len()) },
        if found.len() == 1 { "is" } else { "are" },
        if found.len() == 1 { "it is" } else { "they are" },
        more.abs().shown(currency),
        if more.is_negative() { "less" } else { "more" },
        named(&found, currency),
    );
    let subject = Subject {
        agreement: Some(first.there.agreement),
        detail: Some("the dates of its lines".into()),
        ..Subject::default()
    };
    let fix = "Set the flag of the agreement back in ConnectWise before it is invoiced. Where it is to stay as it is: take back \
               what wrote the lines (`trueup undo --task ID`), take the tasks in again (`trueup task unignore ID`) and run \
               `trueup apply --all`, which dates them anew. What was invoiced is settled by hand.";
    Some(
        Finding::new(Code::Tu3006, subject, message)
            .severity(Severity::Error)
            .fix(fix)
            .amount(more, currency),
    )
}

/// What a line bills and what it was meant to, in the periods of which its first or its last day is a part; nothing where
/// that is the same. Days that a person gave it are meant as they are.
fn reckoned<'a>(
    snapshot: &Snapshot,
    agreement: &Agreement,
    (link, there): (&AdditionLink, &'a ObservedAddition),
    currency: Currency,
    looked: Looked,
) -> Result<Option<Misdated<'a>>, MoneyError> {
    let (state, written, now) = (&there.state, &link.written, agreement.prorates);
    let own = |same: bool, flag: Option<bool>| if same { flag.unwrap_or(now) } else { now };
    let begin = own(state.effective == written.effective, link.prorated.begin);
    let end = own(state.cancelled == written.cancelled, link.prorated.end);
    let billed_by = snapshot.invoicing_agreement(agreement);
    let last_made = billed_by.next_invoice.and_then(|next| next.yesterday().ok());
    let last_made = last_made.and_then(|last| invoice_period(snapshot, agreement, last));
    let is_looked_at = |period: &Period| {
        !billed_by.invoiced_before(period.last_day())
            || looked == Looked::Back && last_made.as_ref() == Some(period)
    };
    let days = std::iter::once(state.effective).chain(state.cancelled);
    let periods: BTreeSet<Period> =
        days.filter_map(|day| invoice_period(snapshot, agreement, day)).filter(is_looked_at).collect();
    let (mut is, mut meant) = (Money::ZERO, Money::ZERO);
    for period in periods {
        let as_meant = AdditionState {
            effective: if begin { state.effective } else { state.effective.min(period.start()) },
            cancelled: state.cancelled.filter(|_| end),
            ..state.clone()
        };
        let as_it_is = price_in(state, there.less_included, period, now, currency)?;
        let as_meant = price_in(&as_meant, there.less_included, period, true, currency)?;
        if as_it_is != as_meant {
            (is, meant) = (is.plus(as_it_is)?, meant.plus(as_meant)?);
        }
    }
    Ok((is != meant).then_some(Misdated { there, is, meant }))
}

fn named(found: &[Misdated<'_>], currency: Currency) -> String {
    let mut said: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|Misdated { there, is, meant }| {
            let last = there.state.cancelled.map(|last| format!(" to {last}")).unwrap_or_default();
            format!(
                "addition {} from {}{last}: {} instead of {}",
                there.id,
                there.state.effective,
                is.shown(currency),
                meant.shown(currency)
            )
        })
        .collect();
    if found.len() > NAMED {
        said.push(format!("and {} more", found.len() - NAMED));
    }
    said.join("; ")
}
