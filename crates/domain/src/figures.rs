//! Figures of an organization from the picture of ConnectWise: what each month bills, and where money is at risk.

use crate::billing::{self, PriceAndCost};
use crate::feed::{Order, Subscription};
use crate::ids::{SourceId, SubscriptionId};
use crate::money::{Currency, Money, MoneyError};
use crate::period::BillingCycle;
use crate::plan::{AdditionLink, Role};
use crate::psa::{BillFlag, Snapshot};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};

/// What the invoice periods that begin in one month bill, in one currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MonthFigure {
    /// Price and cost of the additions on those invoices.
    pub billed: PriceAndCost,
    /// How much of the price is invoiced already.
    pub invoiced: Money,
}

/// A sum at risk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Risk {
    /// How much, without a sign.
    pub amount: Money,
    /// In how many lines or orders.
    pub count: u64,
}

impl Risk {
    /// One more.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn add(&mut self, amount: Money) -> Result<(), MoneyError> {
        self.amount = self.amount.plus(amount.abs())?;
        self.count += 1;
        Ok(())
    }
}

/// Sums by month (its first day) and currency.
pub type Months = BTreeMap<(Date, Currency), MonthFigure>;

/// What ConnectWise bills by month: every addition on the invoices of its agreement whose period begins in the month.
/// `first` is the first day of the first month, of `count`; every currency that occurs has every month.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn months(snapshot: &Snapshot, first: Date, count: u32) -> Result<Months, MoneyError> {
    let mut sums = Months::new();
    let mut starts = Vec::new();
    let mut at = first.first_of_month();
    for _ in 0..count {
        starts.push(at);
        at = next_month(at);
    }
    let (Some(first), end) = (starts.first().copied(), at) else { return Ok(sums) };
    let mut currencies = BTreeSet::new();
    for agreement in snapshot.agreements.values() {
        let Some(currency) = agreement.currency else { continue };
        let additions = snapshot.additions_of(agreement.id);
        if additions.is_empty() {
            continue;
        }
        let billed_by = snapshot.invoicing_agreement(agreement);
        let mut day = first;
        while let Some(period) = billing::invoice_period(snapshot, agreement, day) {
            day = period.end();
            // A first period of the calendar begins with the billing.
            let begins = billed_by.bill_start.filter(|start| period.contains(*start));
            let begins = begins.unwrap_or(period.start());
            if begins >= first {
                if begins >= end {
                    break;
                }
                let invoiced = billed_by.invoiced_before(begins);
                let sum = sums.entry((begins.first_of_month(), currency)).or_default();
                for addition in additions {
                    let (state, included) = (&addition.state, addition.less_included);
                    let billed = billing::billed_in(state, included, period, agreement.prorates, currency)?;
                    sum.billed = sum.billed.plus(billed)?;
                    if invoiced {
                        sum.invoiced = sum.invoiced.plus(billed.price)?;
                    }
                }
            }
            if day >= end {
                break;
            }
        }
        currencies.insert(currency);
    }
    for currency in currencies {
        for month in &starts {
            sums.entry((*month, currency)).or_default();
        }
    }
    Ok(sums)
}

fn next_month(at: Date) -> Date {
    BillingCycle::MONTHLY.boundary(at, 1).unwrap_or(at)
}

/// What an order asks for: its lines, each with the amount that the source names, else quantity by price.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn amount_of(order: &Order) -> Result<Money, MoneyError> {
    order.lines.iter().try_fold(Money::ZERO, |sum, line| {
        let own = match (line.amount, line.unit_price) {
            (Some(amount), _) => amount,
            (None, Some(price)) => price.extended(line.quantity, order.currency)?,
            (None, None) => Money::ZERO,
        };
        sum.plus(own)
    })
}

/// Open lines that sell below what they cost, by the loss of one period of theirs.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn below_cost(snapshot: &Snapshot, today: Date) -> Result<BTreeMap<Currency, Risk>, MoneyError> {
    let mut risks: BTreeMap<Currency, Risk> = BTreeMap::new();
    for (id, additions) in &snapshot.additions {
        let Some(currency) = snapshot.agreements.get(id).and_then(|a| a.currency) else { continue };
        for addition in additions {
            let state = &addition.state;
            let lives = state.cancelled.is_none_or(|last| last >= today) && state.bill == BillFlag::Billable;
            if lives && state.unit_price < state.unit_cost && !state.quantity.is_negative() {
                let whole = billing::extended(state, addition.less_included, currency)?;
                risks.entry(currency).or_default().add(whole.cost.minus(whole.price)?)?;
            }
        }
    }
    Ok(risks)
}

/// Lines that bill today for subscriptions that the source has ended.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn ended_but_billed(
    snapshot: &Snapshot,
    links: &[AdditionLink],
    subscriptions: &BTreeMap<(SourceId, SubscriptionId), Subscription>,
    today: Date,
) -> Result<BTreeMap<Currency, Risk>, MoneyError> {
    let mut risks: BTreeMap<Currency, Risk> = BTreeMap::new();
    for link in links.iter().filter(|link| !link.deleted && link.role == Role::Recurring) {
        let Some(sold) = subscriptions.get(&(link.source.clone(), link.subscription.clone())) else {
            continue;
        };
        let over = !sold.status.bills() && sold.cancelled_on.or(sold.end).is_none_or(|last| last < today);
        let Some(currency) = snapshot.agreements.get(&link.agreement).and_then(|a| a.currency) else {
            continue;
        };
        let there = snapshot.additions_of(link.agreement).iter().find(|a| a.id == link.addition);
        let Some(addition) = there.filter(|a| over && a.state.is_open() && a.state.bills_on(today)) else {
            continue;
        };
        let whole = billing::extended(&addition.state, addition.less_included, currency)?;
        risks.entry(currency).or_default().add(whole.price)?;
    }
    Ok(risks)
}
