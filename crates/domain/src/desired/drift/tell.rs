//! What is said of an addition that is not as it was left: which fields, from what to what, and what it is worth.

use super::{Case, Sides, included};
use crate::billing::extended;
use crate::desired::{Fields, Repeated};
use crate::finding::{Code, Finding, Subject};
use crate::ids::AdditionId;
use crate::money::{Currency, Money, MoneyError, Quantity};
use crate::plan::{AdditionLink, Field};
use crate::psa::{AdditionState, BillFlag, ObservedAddition};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Write as _};

/// Room for most messages, so that they do not have to move while they are written.
const ROOM: usize = 320;

impl Sides<'_> {
    /// Tells one case.
    pub(super) fn tell(&self, case: &Case<'_>, findings: &mut Vec<Finding>) {
        match case {
            Case::Differs(link, addition, fields) => {
                let ended = Fields::of(Field::CancelledDate);
                if fields.contains(Field::CancelledDate) {
                    findings.push(self.ended(link, addition));
                }
                if !fields.without(ended).is_empty() || included(link, addition).is_some() {
                    findings.push(self.changed(link, addition, fields.without(ended)));
                }
            }
            Case::Gone(link) => findings.push(self.gone(link)),
            Case::Repeated(repeated) => self.repeated(repeated, findings),
        }
    }

    fn currency(&self, link: &AdditionLink) -> Option<Currency> {
        self.snapshot.agreements.get(&link.agreement).and_then(|agreement| agreement.currency)
    }

    fn changed(&self, link: &AdditionLink, addition: &ObservedAddition, fields: Fields) -> Finding {
        let currency = self.currency(link);
        let (old, new) = (&link.written, &addition.state);
        let mut message = String::with_capacity(ROOM);
        // Writing into a text cannot fail.
        let _ = write!(message, "{} was changed by a person: ", opening(link));
        for (number, field) in fields.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            let (from, to) = (value(old, field, currency), value(new, field, currency));
            let _ = write!(message, "{comma}{} from {from} to {to}", field.name());
        }
        let included = included(link, addition);
        if let Some(included) = included {
            let comma = if fields.is_empty() { "" } else { ", " };
            let _ =
                write!(message, "{comma}included quantity from none to {}", included.decimal().normalize());
        }
        message.push('.');
        let mut finding = Finding::new(Code::Tu7002, subject(link), message);
        let Some(currency) = currency else { return finding };
        let before = if included.is_some() { Quantity::ZERO } else { addition.less_included };
        // Amounts beyond what can be kept exactly are left unsaid; the fields say what was changed.
        let worth = (Worth::of(old, before, currency), Worth::of(new, addition.less_included, currency));
        if let (Ok(was), Ok(is)) = worth {
            for (verb, was, is) in [("bills", &was.price, &is.price), ("costs", &was.cost, &is.cost)] {
                let Ok(delta) = is.amount.minus(was.amount) else { continue };
                if delta.is_zero() {
                    continue;
                }
                let more = if delta.is_negative() { "less" } else { "more" };
                let _ = write!(
                    finding.message,
                    " It {verb} {is} instead of {was}: {} {currency} {more}.",
                    delta.abs().shown(currency)
                );
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
        let _ = write!(finding.message, " It {verb} {price} {currency}.");
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

/// An amount and how it comes about.
pub(in crate::desired) struct Reckoned {
    pub(in crate::desired) amount: Money,
    quantity: Quantity,
    less_included: Quantity,
    unit: Money,
    currency: Currency,
    billed: bool,
}

impl Display for Reckoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.billed {
            return f.write_str("nothing");
        }
        let quantity = self.quantity.decimal().normalize();
        if self.less_included.is_zero() {
            write!(f, "{quantity}")?;
        } else {
            write!(f, "({quantity} - {})", self.less_included.decimal().normalize())?;
        }
        write!(f, " x {} = {}", self.unit.shown(self.currency), self.amount.shown(self.currency))
    }
}

/// What a state bills and costs.
pub(in crate::desired) struct Worth {
    pub(in crate::desired) price: Reckoned,
    cost: Reckoned,
}

impl Worth {
    pub(in crate::desired) fn of(
        state: &AdditionState,
        less_included: Quantity,
        currency: Currency,
    ) -> Result<Self, MoneyError> {
        let whole = extended(state, less_included, currency)?;
        let quantity = state.quantity;
        let reckoned = |unit: Money, amount: Money| Reckoned {
            amount,
            quantity,
            less_included,
            unit,
            currency,
            billed: true,
        };
        let cost = reckoned(state.unit_cost, whole.cost);
        let price = match state.bill {
            BillFlag::Billable => reckoned(state.unit_price, whole.price),
            BillFlag::DoNotBill | BillFlag::NoCharge => {
                Reckoned { billed: false, ..reckoned(state.unit_price, Money::ZERO) }
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

fn opening(link: &AdditionLink) -> impl Display + '_ {
    fmt::from_fn(move |f| write!(f, "Addition {} ({}, {})", link.addition, link.product, link.role.name()))
}

fn value(state: &AdditionState, field: Field, currency: Option<Currency>) -> impl Display + '_ {
    fmt::from_fn(move |f| {
        let money = |f: &mut fmt::Formatter<'_>, amount: Money| match currency {
            Some(currency) => write!(f, "{}", amount.shown(currency)),
            None => write!(f, "{}", amount.decimal().normalize()),
        };
        let text = |f: &mut fmt::Formatter<'_>, text: &Option<String>| match text {
            Some(text) => write!(f, "`{text}`"),
            None => f.write_str("none"),
        };
        match field {
            Field::CatalogItem => write!(f, "{}", state.catalog_item),
            Field::Quantity => write!(f, "{}", state.quantity.decimal().normalize()),
            Field::UnitPrice => money(f, state.unit_price),
            Field::UnitCost => money(f, state.unit_cost),
            Field::EffectiveDate => write!(f, "{}", state.effective),
            Field::CancelledDate => match state.cancelled {
                Some(day) => write!(f, "{day}"),
                None => f.write_str("none"),
            },
            Field::Bill => f.write_str(match state.bill {
                BillFlag::Billable => "billable",
                BillFlag::DoNotBill => "do not bill",
                BillFlag::NoCharge => "no charge",
            }),
            Field::Taxable => f.write_str(match state.taxable {
                Some(true) => "yes",
                Some(false) => "no",
                None => "as the catalog item",
            }),
            Field::Description => text(f, &state.description),
            Field::InvoiceDescription => text(f, &state.invoice_description),
        }
    })
}
