//! Agreements that people changed under lines of ours: what stands on them is billed otherwise than it was sold, or not at
//! all, from the moment of the change and not from the next order on.

use crate::billing::extended;
use crate::feed::Subscription;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{CompanyId, CustomerId, SubscriptionId};
use crate::money::{Currency, Money};
use crate::period::next_day;
use crate::plan::AdditionLink;
use crate::psa::{Agreement, AgreementStatus, BillFlag, ObservedAddition};
use jiff::civil::Date;
use std::collections::BTreeSet;

/// Lines that a message names; of more it tells how many.
const NAMED: usize = 8;

/// A recurring line of ours that goes on by its own dates.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What trueup wrote.
    pub link: &'a AdditionLink,
    /// What is there.
    pub there: &'a ObservedAddition,
    /// What was sold, which bills still.
    pub sold: &'a Subscription,
    /// The company of the customer.
    pub company: Option<CompanyId>,
    /// Whether an order is under way: what the subscription's record says of customer, cycle and currency may be what that
    /// order brings.
    pub awaited: bool,
}

/// An agreement with the lines of ours that stand on it.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// The agreement.
    pub agreement: &'a Agreement,
    /// Its lines.
    pub lines: Vec<Standing<'a>>,
    /// Its last day as it was known when the lines were written (none within: it had none); none where that is not known.
    pub known_end: Option<Option<Date>>,
    /// Today.
    pub today: Date,
}

/// One thing about an agreement that does not fit, with the lines that it is about.
struct Misfit<'a> {
    code: Code,
    why: String,
    follows: &'static str,
    mend: String,
    lines: Vec<Standing<'a>>,
}

/// What is to be told of an agreement: one finding, whatever number of things do not fit and of lines that stand on it.
pub fn misfit_of(ground: &Ground<'_>) -> Option<Finding> {
    let found = ground.misfits();
    let first = found.first()?;
    let agreement = ground.agreement;
    let mut lines: Vec<Standing<'_>> = found.iter().flat_map(|m| m.lines.iter().copied()).collect();
    lines.sort_by_key(|line| line.there.id);
    lines.dedup_by_key(|line| line.there.id);
    let whys: Vec<&str> = found.iter().map(|m| m.why.as_str()).collect();
    let worth = worth_of(&lines);
    let worth_said = worth.map(|(sum, currency)| format!(", {} {currency} a period", sum.shown(currency)));
    let message = format!(
        "Agreement {} ({}) {}, and {} stand{} on it for {}{} ({}): {}.",
        agreement.id,
        agreement.name,
        whys.join(", and it "),
        count(lines.len(), "line"),
        if lines.len() == 1 { "s" } else { "" },
        sold_of(&lines),
        worth_said.unwrap_or_default(),
        named(&lines),
        first.follows,
    );
    let mends: BTreeSet<&str> = found.iter().map(|m| m.mend.as_str()).collect();
    let fix = format!("{} Else {}", mends.into_iter().collect::<Vec<_>>().join(" "), choose_other(&lines));
    let subject = Subject {
        agreement: Some(agreement.id),
        detail: Some("the lines on it".into()),
        ..Subject::default()
    };
    let finding = Finding::new(first.code, subject, message).severity(Severity::Error).fix(fix);
    Some(match worth {
        Some((sum, currency)) => finding.amount(sum, currency),
        None => finding,
    })
}

impl<'a> Ground<'a> {
    /// The gravest first.
    fn misfits(&self) -> Vec<Misfit<'a>> {
        let agreement = self.agreement;
        if let Some(over) = self.over() {
            return vec![over];
        }
        let mut found = Vec::new();
        if agreement.status == AgreementStatus::Inactive && agreement.start.is_none_or(|s| s <= self.today) {
            self.note(
                &mut found,
                Misfit {
                    code: Code::Tu3003,
                    why: "is inactive".into(),
                    follows: "nothing bills them as long as it is",
                    mend: "Activate the agreement in ConnectWise.".into(),
                    lines: self.lines.clone(),
                },
            );
        }
        let settled = || self.lines.iter().copied().filter(|line| !line.awaited);
        let of_others: Vec<Standing<'a>> =
            settled().filter(|line| line.company.is_some_and(|own| own != agreement.company)).collect();
        let own: BTreeSet<CompanyId> = of_others.iter().filter_map(|line| line.company).collect();
        self.note(&mut found, Misfit {
            code: Code::Tu3003,
            why: format!("is of company {}", agreement.company),
            follows: "another company is billed for what was sold to this one",
            mend: format!(
                "Give the agreement back to company {} in ConnectWise, or map the customer to the company that is billed.",
                list(own)
            ),
            lines: of_others,
        });
        let in_other: Vec<Standing<'a>> =
            settled().filter(|line| agreement.currency != Some(line.sold.currency)).collect();
        let currencies: BTreeSet<Currency> = in_other.iter().map(|line| line.sold.currency).collect();
        self.note(&mut found, Misfit {
            code: Code::Tu6001,
            why: match agreement.currency {
                Some(currency) => format!("is in {currency}"),
                None => "has no currency that is known".into(),
            },
            follows: "their amounts are billed in another currency than they were sold in; there is no conversion",
            mend: format!("Set the currency of the agreement back to {} in ConnectWise.", list(currencies)),
            lines: in_other,
        });
        let fits = |line: &Standing<'_>| {
            agreement.billing_cycle.is_some_and(|cycle| cycle.same_length(line.sold.billing_cycle))
        };
        let off_beat: Vec<Standing<'a>> = settled().filter(|line| !fits(line)).collect();
        let cycles: BTreeSet<String> =
            off_beat.iter().map(|line| line.sold.billing_cycle.describe()).collect();
        self.note(
            &mut found,
            Misfit {
                code: Code::Tu3004,
                why: match agreement.billing_cycle {
                    Some(cycle) => format!("is billed {}", cycle.describe()),
                    None => "has no billing cycle that is known".into(),
                },
                follows: "the price of one period is billed for a period of another length",
                mend: format!(
                    "Set the billing cycle of the agreement back ({}) in ConnectWise.",
                    cycles.into_iter().collect::<Vec<_>>().join(", ")
                ),
                lines: off_beat,
            },
        );
        found.extend(self.cut_short());
        found
    }

    fn note(&self, found: &mut Vec<Misfit<'a>>, misfit: Misfit<'a>) {
        if !misfit.lines.is_empty() {
            found.push(misfit);
        }
    }

    /// An agreement that is over bills nothing any more.
    fn over(&self) -> Option<Misfit<'a>> {
        let agreement = self.agreement;
        let passed = agreement.end.filter(|end| *end < self.today);
        let on = passed.map(|last| format!(" on {last}")).unwrap_or_default();
        let how = match agreement.status {
            AgreementStatus::Cancelled => format!("was cancelled{on}"),
            AgreementStatus::Expired => format!("ended{on}"),
            AgreementStatus::Active | AgreementStatus::Inactive => format!("ended on {}", passed?),
        };
        let lines: Vec<Standing<'a>> = self.beyond(passed).collect();
        (!lines.is_empty()).then(|| Misfit {
            code: Code::Tu8006,
            why: how,
            follows: "nothing bills them any more",
            mend: "Where the agreement is to go on, open or extend it in ConnectWise.".into(),
            lines,
        })
    }

    /// An agreement that is to end earlier than it was known to, with lines that go on after that day.
    fn cut_short(&self) -> Option<Misfit<'a>> {
        let end = self.agreement.end?;
        let known = self.known_end?;
        if known.is_some_and(|known| known <= end) {
            return None;
        }
        // What is sold up to that day ends with the agreement.
        let sold_on = |line: &Standing<'_>| line.sold.end.is_none_or(|first| first > next_day(end));
        let lines: Vec<Standing<'a>> = self.beyond(Some(end)).filter(sold_on).collect();
        let was = known.map_or("had no end".to_owned(), |known| format!("ended on {known}"));
        (!lines.is_empty()).then(|| Misfit {
            code: Code::Tu4003,
            why: format!("ends on {end} now ({was} when they were written)"),
            follows: "nothing bills them after that day",
            mend: "Where the agreement is to go on, take its end back in ConnectWise.".into(),
            lines,
        })
    }

    /// The lines that go on after a day.
    fn beyond(&self, last: Option<Date>) -> impl Iterator<Item = Standing<'a>> {
        let after = move |line: &Standing<'_>| {
            line.there.state.cancelled.is_none_or(|ends| last.is_none_or(|last| ends > last))
        };
        self.lines.iter().copied().filter(after)
    }
}

impl Standing<'_> {
    /// Whether a line that trueup wrote goes on: it bills a day that no invoice has billed yet, and no order and no person
    /// has dated it to end, who then said so.
    pub fn goes_on(
        link: &AdditionLink,
        there: &ObservedAddition,
        agreement: &Agreement,
        today: Date,
    ) -> bool {
        let Some(last) = there.state.cancelled else { return true };
        let is_ended =
            link.written.cancelled != Some(last) || link.ends.iter().any(|end| end.last == Some(last));
        let unbilled = agreement.next_invoice.is_none_or(|next| next_day(last) > next);
        !is_ended && last >= today && unbilled
    }
}

fn worth_of(lines: &[Standing<'_>]) -> Option<(Money, Currency)> {
    let currency = lines.first()?.sold.currency;
    let bills = lines
        .iter()
        .filter(|line| line.sold.currency == currency && line.there.state.bill == BillFlag::Billable);
    let mut sum = Money::ZERO;
    for line in bills {
        sum = sum.plus(extended(&line.there.state, line.there.less_included, currency).ok()?.price).ok()?;
    }
    Some((sum, currency))
}

fn sold_of(lines: &[Standing<'_>]) -> String {
    let sold: BTreeSet<&SubscriptionId> = lines.iter().map(|line| &line.link.subscription).collect();
    match sold.first() {
        Some(one) if sold.len() == 1 => format!("subscription {one}"),
        Some(_) | None => format!("{} subscriptions", sold.len()),
    }
}

fn named(lines: &[Standing<'_>]) -> String {
    let mut said: Vec<String> = lines
        .iter()
        .take(NAMED)
        .map(|line| {
            let quantity = line.there.state.quantity.shown();
            format!(
                "addition {}: {quantity} of {}, {}",
                line.there.id, line.link.product, line.link.subscription
            )
        })
        .collect();
    if lines.len() > NAMED {
        said.push(format!("and {} more", lines.len() - NAMED));
    }
    said.join("; ")
}

/// How the lines come to an agreement that fits.
fn choose_other(lines: &[Standing<'_>]) -> String {
    let sold: BTreeSet<&SubscriptionId> = lines.iter().map(|line| &line.link.subscription).collect();
    let customers: BTreeSet<&CustomerId> = lines.iter().map(|line| &line.sold.customer).collect();
    let rows: Vec<String> = sold.iter().take(NAMED).map(|id| format!("`agreement,{id},ID`")).collect();
    let each = if customers.len() > 1 { " (for each of its customers)" } else { "" };
    format!(
        "choose another agreement ({} in a file for `trueup mapping import`): the next order, or `trueup plan --reconcile \
         START..END --customer {}`{each}, brings the subscription there.",
        rows.join(", "),
        customers.first().map_or("ID", |id| id.as_str()),
    )
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn list<T: ToString>(all: BTreeSet<T>) -> String {
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
