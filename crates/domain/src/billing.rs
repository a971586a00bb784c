//! How ConnectWise bills the additions of an agreement, as far as a plan has to foresee it.
//!
//! An invoice bills one period. An addition is on it when any of its days is. Where the agreement does not prorate, it
//! is on it with its whole amount; where it does, with the share of its days, rounded per unit as ConnectWise does.

use crate::money::{Currency, Exact, Money, MoneyError, Quantity, RoundingMode};
use crate::period::{Period, next_day};
use crate::psa::{AdditionState, Agreement, BillFlag, Snapshot};
use jiff::civil::Date;

/// Price and cost together; they are always rounded each on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceAndCost {
    /// What the customer pays.
    pub price: Money,
    /// What the seller pays.
    pub cost: Money,
}

impl PriceAndCost {
    /// Both sums.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        Ok(Self { price: self.price.plus(other.price)?, cost: self.cost.plus(other.cost)? })
    }

    /// Both differences.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        Ok(Self { price: self.price.minus(other.price)?, cost: self.cost.minus(other.cost)? })
    }
}

/// The whole amount of a line: quantity less what is included, times price and cost.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn extended(
    state: &AdditionState,
    less_included: Quantity,
    currency: Currency,
) -> Result<PriceAndCost, MoneyError> {
    let quantity = billed_quantity(state, less_included)?;
    Ok(PriceAndCost {
        price: state.unit_price.extended(quantity, currency)?,
        cost: state.unit_cost.extended(quantity, currency)?,
    })
}

/// What an addition adds to the invoice of `period`.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn billed_in(
    state: &AdditionState,
    less_included: Quantity,
    period: Period,
    prorates: bool,
    currency: Currency,
) -> Result<PriceAndCost, MoneyError> {
    let Some(billed) = Billed::of(state, less_included, period, prorates)? else {
        return Ok(PriceAndCost::default());
    };
    Ok(PriceAndCost {
        price: billed.at(state.unit_price, currency)?,
        cost: billed.at(state.unit_cost, currency)?,
    })
}

/// The price alone that an addition adds to the invoice of `period`.
///
/// # Errors
/// [`MoneyError::Overflow`].
pub fn price_in(
    state: &AdditionState,
    less_included: Quantity,
    period: Period,
    prorates: bool,
    currency: Currency,
) -> Result<Money, MoneyError> {
    match Billed::of(state, less_included, period, prorates)? {
        Some(billed) => billed.at(state.unit_price, currency),
        None => Ok(Money::ZERO),
    }
}

fn billed_quantity(state: &AdditionState, less_included: Quantity) -> Result<Quantity, MoneyError> {
    if less_included.is_zero() { Ok(state.quantity) } else { state.quantity.minus(less_included) }
}

/// What an invoice bills of a line: how many, and which share of each where that is not all of it.
struct Billed {
    quantity: Quantity,
    share: Option<Exact>,
}

impl Billed {
    /// What the invoice of `period` bills of the line; none where that is nothing.
    fn of(
        state: &AdditionState,
        less_included: Quantity,
        period: Period,
        prorates: bool,
    ) -> Result<Option<Self>, MoneyError> {
        let last = state.cancelled.unwrap_or(Date::MAX);
        let is_on = state.effective <= last && state.effective < period.end() && last >= period.start();
        if !is_on || state.bill != BillFlag::Billable {
            return Ok(None);
        }
        let quantity = billed_quantity(state, less_included)?;
        // Where any day of a line bills all of it, they need not be laid against those of the period.
        let days = || {
            let own = Period::new(state.effective, state.cancelled.map_or(period.end(), next_day)).ok();
            own.and_then(|own| own.intersect(period)).filter(|days| *days != period)
        };
        let share = match prorates.then(days).flatten() {
            Some(days) => Some(Exact::ratio(i128::from(days.days()), i128::from(period.days()))?),
            None => None,
        };
        Ok(Some(Self { quantity, share }))
    }

    /// That at so much a unit; a share of a unit is rounded before it is multiplied.
    fn at(&self, unit: Money, currency: Currency) -> Result<Money, MoneyError> {
        let unit = match self.share {
            None => unit,
            Some(share) => {
                Money::new(unit.exact().times(share)?.round(currency.places(), RoundingMode::HalfUp)?)
            }
        };
        unit.extended(self.quantity, currency)
    }
}

/// The period that the next invoice of the agreement bills: its own, or its parent's where it is billed there.
pub fn open_period(snapshot: &Snapshot, agreement: &Agreement) -> Option<Period> {
    snapshot.invoicing_agreement(agreement).open_period().or_else(|| agreement.open_period())
}

/// The invoice period of the agreement (or its parent) that holds `day`.
pub fn invoice_period(snapshot: &Snapshot, agreement: &Agreement, day: Date) -> Option<Period> {
    let billed_by = snapshot.invoicing_agreement(agreement);
    let cycle = billed_by.billing_cycle.or(agreement.billing_cycle)?;
    let from_start = billed_by.laid_from(cycle);
    // Invoices are laid from the billing start, or, where someone has moved them by hand, from where they stand.
    let laid = |anchor: Date, at: Date| cycle.period_containing(anchor, at).ok();
    if let Some(start) = from_start.filter(|_| billed_by.lies_on_calendar(cycle)) {
        return laid(start, day).and_then(|period| billed_by.cut_short(period, day));
    }
    let anchor = match (from_start, billed_by.next_invoice) {
        (Some(start), Some(next)) if cycle.begins_on(start, next) => start,
        (_, Some(next)) => next,
        (Some(start), None) => start,
        (None, None) => return None,
    };
    laid(anchor, day)
}
