//! Drift: what trueup last wrote against what ConnectWise holds now, explained.

use super::parallel::threads_for;
use super::{Comparison, Fields, Repeated, Row, compare_with};
use crate::billing::extended;
use crate::finding::{Code, Finding, Subject};
use crate::ids::AdditionId;
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::plan::{AdditionLink, Field};
use crate::psa::{AdditionState, BillFlag, ObservedAddition, Snapshot};
use std::collections::BTreeSet;

/// What became of the additions that trueup wrote or took over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift {
    /// What a person should know, in the order of the additions: TU7002 for changed fields, TU3008 for an addition
    /// that was ended, opened again or is gone, TU8002 and TU8006 for one that occurs twice.
    pub findings: Vec<Finding>,
    /// How many are as they were left.
    pub unchanged: usize,
    /// How many are on agreements that the snapshot does not hold: nothing is said of them.
    pub unread: usize,
    /// How many additions the snapshot holds beside those.
    pub foreign: usize,
}

/// Compares what trueup last wrote with a snapshot. Additions that trueup itself deleted are left out, and one is
/// gone only where the whole list of its agreement was read.
///
/// A tax flag or text that trueup left to the catalog item differs from nothing.
pub fn drift(links: &[AdditionLink], snapshot: &Snapshot) -> Drift {
    drift_on(threads_for(links.len()), links, snapshot)
}

/// What [`drift`] says, on so many threads however few the additions are. The result is the same for every number.
pub fn drift_on(threads: usize, links: &[AdditionLink], snapshot: &Snapshot) -> Drift {
    let _ = threads;
    let live = links.iter().filter(|link| !link.deleted);
    let (written, unread): (Vec<&AdditionLink>, Vec<_>) =
        live.partition(|link| snapshot.additions.contains_key(&link.agreement));
    let observed: Vec<&ObservedAddition> = snapshot.additions.values().flatten().collect();
    let sides = Sides { snapshot, written, observed };
    let found = sides.compare();
    Drift {
        findings: sides.explain(&found),
        unchanged: found.equal,
        unread: unread.len(),
        foreign: found.unclaimed.len(),
    }
}

/// Both sides, in lists whose places the kernel's rows share.
struct Sides<'a> {
    snapshot: &'a Snapshot,
    written: Vec<&'a AdditionLink>,
    observed: Vec<&'a ObservedAddition>,
}

/// One thing to be told, before it is told.
enum Case<'a> {
    Differs(&'a AdditionLink, &'a ObservedAddition, Fields),
    Gone(&'a AdditionLink),
    Repeated(&'a Repeated),
}

impl<'a> Sides<'a> {
    fn compare(&self) -> Comparison {
        // Where a number of either side does not fit a row, the rows of both are left blank and the states are
        // compared as they are.
        let mut in_full: BTreeSet<i64> = BTreeSet::new();
        let mut row_of = |key: i64, state: &AdditionState| {
            Row::new(key, state).unwrap_or_else(|| {
                in_full.insert(key);
                Row::blank(key)
            })
        };
        let mut ours: Vec<Row> = self.written.iter().map(|l| row_of(l.addition.0, &l.written)).collect();
        let mut theirs: Vec<Row> = self.observed.iter().map(|a| row_of(a.id.0, &a.state)).collect();
        if !in_full.is_empty() {
            for row in ours.iter_mut().chain(&mut theirs).filter(|row| in_full.contains(&row.key)) {
                *row = Row::blank(row.key);
            }
        }
        let our_marks: Vec<Marks> = self.written.iter().map(|l| Marks::of(&l.written)).collect();
        let their_marks: Vec<Marks> = self.observed.iter().map(|a| Marks::of(&a.state)).collect();
        compare_with(&ours, &theirs, |at, place| {
            let alike = our_marks[at].settle(their_marks[place]);
            if alike && in_full.is_empty() {
                return Fields::NONE;
            }
            let (link, addition) = (self.written[at], self.observed[place]);
            let rest = flags_and_texts(&link.written, &addition.state);
            if !in_full.is_empty() && in_full.contains(&link.addition.0) {
                rest.and(numbers_and_dates(&link.written, &addition.state))
            } else {
                rest
            }
        })
    }

    fn explain(&self, found: &Comparison) -> Vec<Finding> {
        let differing = found
            .differing
            .iter()
            .map(|d| (d.key, Case::Differs(self.written[d.desired], self.observed[d.observed], d.fields)));
        let gone = found.missing.iter().map(|at| {
            let link = self.written[*at];
            (link.addition.0, Case::Gone(link))
        });
        let repeated = found.repeated.iter().map(|r| (r.key, Case::Repeated(r)));
        let mut cases: Vec<(i64, Case<'_>)> = differing.chain(gone).chain(repeated).collect();
        // A key is in one part of the comparison only.
        cases.sort_unstable_by_key(|(key, _)| *key);
        let mut findings = Vec::with_capacity(cases.len());
        for (_, case) in cases {
            match case {
                Case::Differs(link, addition, fields) => {
                    let ended = Fields::of(Field::CancelledDate);
                    if fields.contains(Field::CancelledDate) {
                        findings.push(self.ended(link, addition));
                    }
                    if !fields.without(ended).is_empty() {
                        findings.push(self.changed(link, addition, fields.without(ended)));
                    }
                }
                Case::Gone(link) => findings.push(self.gone(link)),
                Case::Repeated(repeated) => self.repeated(repeated, &mut findings),
            }
        }
        findings
    }

    fn currency(&self, link: &AdditionLink) -> Option<Currency> {
        self.snapshot.agreements.get(&link.agreement).and_then(|agreement| agreement.currency)
    }

    fn changed(&self, link: &AdditionLink, addition: &ObservedAddition, fields: Fields) -> Finding {
        let currency = self.currency(link);
        let (old, new) = (&link.written, &addition.state);
        let mut message = opening(link);
        message.push_str(" was changed by a person: ");
        for (number, field) in fields.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let (from, to) = (value(old, field, currency), value(new, field, currency));
            message.push_str(&format!("{comma}{} from {from} to {to}", name(field)));
        }
        message.push('.');
        let mut finding = Finding::new(Code::Tu7002, subject(link), message);
        let Some(currency) = currency else { return finding };
        let worth = |state| Worth::of(state, addition.less_included, currency);
        // Amounts beyond what can be kept exactly are left unsaid; the fields say what was changed.
        if let (Ok(was), Ok(is)) = (worth(old), worth(new)) {
            for (verb, was, is) in [("bills", &was.price, &is.price), ("costs", &was.cost, &is.cost)] {
                let Ok(delta) = is.amount.minus(was.amount) else { continue };
                if delta.is_zero() {
                    continue;
                }
                let more = if delta.is_negative() { "less" } else { "more" };
                finding.message.push_str(&format!(
                    " It {verb} {} instead of {}: {} {currency} {more}.",
                    is.formula,
                    was.formula,
                    delta.abs().display(currency)
                ));
                if verb == "bills" {
                    finding = finding.amount(delta, currency);
                }
            }
        }
        finding
    }

    fn ended(&self, link: &AdditionLink, addition: &ObservedAddition) -> Finding {
        let (before, verb) = (opening(link), if addition.state.is_open() { "bills" } else { "billed" });
        let message = match (link.written.cancelled, addition.state.cancelled) {
            (None, Some(day)) => {
                format!("{before} was ended by a person on {day}; it stays ended until told otherwise.")
            }
            (Some(day), None) => {
                format!("{before} was ended by trueup on {day} and opened again by a person.")
            }
            (Some(from), Some(to)) => {
                format!("{before} ends on {to} instead of {from}: a person moved its last billed day.")
            }
            (None, None) => format!("{before} was ended and opened again by a person."),
        };
        self.with_worth(
            Finding::new(Code::Tu3008, subject(link), message),
            link,
            &addition.state,
            addition.less_included,
            verb,
        )
    }

    fn gone(&self, link: &AdditionLink) -> Finding {
        let end =
            link.written.cancelled.map_or(String::new(), |day| format!(" Its last billed day was {day}."));
        let message = format!("{} is not in ConnectWise any more.{end}", opening(link));
        let finding = Finding::new(Code::Tu3008, subject(link), message);
        self.with_worth(finding, link, &link.written, Quantity::ZERO, "billed")
    }

    fn with_worth(
        &self,
        mut finding: Finding,
        link: &AdditionLink,
        state: &AdditionState,
        less_included: Quantity,
        verb: &str,
    ) -> Finding {
        let Some(currency) = self.currency(link) else { return finding };
        let Ok(Worth { price, .. }) = Worth::of(state, less_included, currency) else { return finding };
        finding.message.push_str(&format!(" It {verb} {} {currency}.", price.formula));
        finding.amount(price.amount, currency)
    }

    fn repeated(&self, repeated: &Repeated, findings: &mut Vec<Finding>) {
        if repeated.observed.len() > 1 {
            let seen = repeated.observed.iter().map(|place| self.observed[*place].agreement);
            let agreements: BTreeSet<_> = seen.collect();
            let shown: Vec<String> = agreements.iter().map(ToString::to_string).collect();
            let message = format!(
                "ConnectWise listed addition {} {} times (agreement {}): the list moved while it was read.",
                repeated.key,
                repeated.observed.len(),
                shown.join(", ")
            );
            let about = Subject {
                agreement: agreements.first().copied(),
                addition: Some(AdditionId(repeated.key)),
                ..Subject::default()
            };
            findings.push(Finding::new(Code::Tu8002, about, message));
        }
        if repeated.desired.len() > 1 {
            let links = repeated.desired.iter().map(|at| self.written[*at]);
            let agreement = links.clone().map(|link| link.agreement).min();
            let lines: BTreeSet<String> = links
                .map(|l| format!("{} of subscription {} ({})", l.product, l.subscription, l.source))
                .collect();
            let message = format!(
                "Addition {} is remembered {} times: {}.",
                repeated.key,
                repeated.desired.len(),
                lines.into_iter().collect::<Vec<_>>().join(", ")
            );
            let about = Subject { agreement, addition: Some(AdditionId(repeated.key)), ..Subject::default() };
            findings.push(Finding::new(Code::Tu8006, about, message));
        }
    }
}

/// The flags of a state, and whether it has texts, in so little room that those of every addition stay near at hand:
/// the records themselves lie anywhere in memory, and a look at each would cost more than the comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Marks {
    bill: BillFlag,
    taxable: Option<bool>,
    texts: bool,
}

impl Marks {
    fn of(state: &AdditionState) -> Self {
        let texts = state.description.is_some() || state.invoice_description.is_some();
        Self { bill: state.bill, taxable: state.taxable, texts }
    }

    /// Whether the marks alone show that nothing of what trueup wrote differs.
    fn settle(self, there: Self) -> bool {
        !self.texts && self.bill == there.bill && (self.taxable.is_none() || self.taxable == there.taxable)
    }
}

/// An amount and how it comes about.
struct Reckoned {
    amount: Money,
    formula: String,
}

/// What a state bills and costs.
struct Worth {
    price: Reckoned,
    cost: Reckoned,
}

impl Worth {
    fn of(state: &AdditionState, less_included: Quantity, currency: Currency) -> Result<Self, MoneyError> {
        let whole = extended(state, less_included, currency)?;
        let quantity = if less_included.is_zero() {
            state.quantity.display()
        } else {
            format!("({} - {})", state.quantity.display(), less_included.display())
        };
        let reckoned = |unit: Money, amount: Money| Reckoned {
            amount,
            formula: format!("{quantity} x {} = {}", unit.display(currency), amount.display(currency)),
        };
        let cost = reckoned(state.unit_cost, whole.cost);
        let price = match state.bill {
            BillFlag::Billable => reckoned(state.unit_price, whole.price),
            BillFlag::DoNotBill | BillFlag::NoCharge => {
                Reckoned { amount: Money::ZERO, formula: "nothing".to_owned() }
            }
        };
        Ok(Self { price, cost })
    }
}

fn subject(link: &AdditionLink) -> Subject {
    Subject {
        source: Some(link.source.clone()),
        subscription: Some(link.subscription.clone()),
        product: Some(link.product.clone()),
        agreement: Some(link.agreement),
        addition: Some(link.addition),
        ..Subject::default()
    }
}

fn opening(link: &AdditionLink) -> String {
    format!("Addition {} ({}, {})", link.addition, link.product, link.role.name())
}

fn differing(fields: impl IntoIterator<Item = (bool, Field)>) -> Fields {
    fields.into_iter().filter(|(differs, _)| *differs).map(|(_, field)| field).collect()
}

/// The fields that a row does not hold.
fn flags_and_texts(written: &AdditionState, there: &AdditionState) -> Fields {
    let text = |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours != theirs;
    differing([
        (written.bill != there.bill, Field::Bill),
        (written.taxable.is_some() && written.taxable != there.taxable, Field::Taxable),
        (text(&written.description, &there.description), Field::Description),
        (text(&written.invoice_description, &there.invoice_description), Field::InvoiceDescription),
    ])
}

/// The fields that a row holds where they fit.
fn numbers_and_dates(written: &AdditionState, there: &AdditionState) -> Fields {
    differing([
        (written.catalog_item != there.catalog_item, Field::CatalogItem),
        (written.quantity != there.quantity, Field::Quantity),
        (written.unit_price != there.unit_price, Field::UnitPrice),
        (written.unit_cost != there.unit_cost, Field::UnitCost),
        (written.effective != there.effective, Field::EffectiveDate),
        (written.cancelled != there.cancelled, Field::CancelledDate),
    ])
}

fn name(field: Field) -> &'static str {
    match field {
        Field::CatalogItem => "catalog item",
        Field::Quantity => "quantity",
        Field::UnitPrice => "unit price",
        Field::UnitCost => "unit cost",
        Field::EffectiveDate => "effective date",
        Field::CancelledDate => "last billed day",
        Field::Bill => "billing",
        Field::Taxable => "taxable",
        Field::Description => "description",
        Field::InvoiceDescription => "invoice description",
    }
}

fn value(state: &AdditionState, field: Field, currency: Option<Currency>) -> String {
    let money = |amount: Money| {
        currency.map_or_else(|| amount.decimal().normalize().to_string(), |currency| amount.display(currency))
    };
    let text = |text: &Option<String>| text.as_ref().map_or("none".to_owned(), |text| format!("`{text}`"));
    match field {
        Field::CatalogItem => state.catalog_item.to_string(),
        Field::Quantity => state.quantity.display(),
        Field::UnitPrice => money(state.unit_price),
        Field::UnitCost => money(state.unit_cost),
        Field::EffectiveDate => state.effective.to_string(),
        Field::CancelledDate => state.cancelled.map_or("none".to_owned(), |day| day.to_string()),
        Field::Bill => match state.bill {
            BillFlag::Billable => "billable",
            BillFlag::DoNotBill => "do not bill",
            BillFlag::NoCharge => "no charge",
        }
        .to_owned(),
        Field::Taxable => match state.taxable {
            Some(true) => "yes",
            Some(false) => "no",
            None => "as the catalog item",
        }
        .to_owned(),
        Field::Description => text(&state.description),
        Field::InvoiceDescription => text(&state.invoice_description),
    }
}
