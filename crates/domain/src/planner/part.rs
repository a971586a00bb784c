//! Amounts of lines: the prices of an order line, a share of a period, and how an amount is put into quantity and unit
//! price so that the invoice prints exactly it.

use super::context::Context;
use super::text::text;
use crate::feed::{Charge, OrderLine};
use crate::money::{Currency, Exact, Money, MoneyError, Quantity, RoundingMode};
use crate::proration::Share;
use crate::psa::{AdditionState, CatalogItem};
use crate::settings::{PriceSource, RoundingPlace, Settings};
use std::fmt::Display;

/// Price and cost of one unit for one cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prices {
    /// Price of one unit.
    pub price: Money,
    /// Cost of one unit.
    pub cost: Money,
    /// Whether the cost is known; otherwise it is the catalog item's, or 0.
    pub cost_known: bool,
}

/// A line's money: what is written as quantity, unit price and unit cost, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expressed {
    /// Quantity to write.
    pub quantity: Quantity,
    /// Unit price to write.
    pub unit_price: Money,
    /// Unit cost to write.
    pub unit_cost: Money,
    /// The exact amount before any rounding.
    pub exact: Exact,
    /// The exact cost before any rounding.
    pub exact_cost: Exact,
    /// Which of them the source names itself.
    pub named: Named,
    /// The sentence of figures.
    pub formula: String,
}

/// What of a line's money is the source's own: there every rounding is told, however small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The amount.
    pub price: bool,
    /// The cost.
    pub cost: bool,
}

impl Expressed {
    /// What the invoice will print less what was exact.
    pub fn drift(&self, currency: Currency) -> Result<Exact, MoneyError> {
        let billed = self.unit_price.extended(self.quantity, currency)?;
        billed.exact().minus(self.exact)
    }

    /// The same for the cost.
    pub fn cost_drift(&self, currency: Currency) -> Result<Exact, MoneyError> {
        let booked = self.unit_cost.extended(self.quantity, currency)?;
        booked.exact().minus(self.exact_cost)
    }

    /// Says whether the cost is the source's own.
    pub fn cost_named_if(mut self, named: bool) -> Self {
        self.named.cost = named;
        self
    }
}

/// The full-period prices of an order line, by the task's price source. `None` when no price is known.
pub fn prices_of(
    context: &Context<'_>,
    line: &OrderLine,
    item: &CatalogItem,
    existing: Option<Prices>,
) -> Option<Prices> {
    let catalog_cost = item.cost.unwrap_or_default();
    match context.price_source {
        PriceSource::Connectwise => existing.or_else(|| {
            item.price.map(|price| Prices { price, cost: catalog_cost, cost_known: item.cost.is_some() })
        }),
        PriceSource::Marketplace => {
            // A list cost is for one cycle: it says nothing of a fee that is charged once.
            let by_cycle = match line.charge {
                Charge::Recurring | Charge::Prorate | Charge::Refund | Charge::Overuse => true,
                Charge::Setup
                | Charge::Upgrade
                | Charge::Cancellation
                | Charge::OneTime
                | Charge::Discount => false,
            };
            let listed = || context.product(&line.product).and_then(|p| p.unit_cost).or(item.cost);
            let cost = line.unit_cost.or_else(|| if by_cycle { listed() } else { Some(Money::ZERO) });
            let price = line.unit_price.or(item.price)?;
            Some(Prices { price, cost: cost.unwrap_or_default(), cost_known: cost.is_some() })
        }
    }
}

/// `quantity` units for a share of the period, rounded where the settings say.
pub fn prorated(
    settings: &Settings,
    currency: Currency,
    prices: Prices,
    quantity: Quantity,
    share: Share,
) -> Result<Expressed, MoneyError> {
    let by_unit = settings.rounding_place == RoundingPlace::Unit;
    if share.is_whole() && by_unit {
        return whole(settings, currency, prices, quantity);
    }
    let (factor, count, exact_price) = (share.exact()?, quantity.exact(), prices.price.exact());
    let (exact_unit, exact_unit_cost) = (exact_price.times(factor)?, prices.cost.exact().times(factor)?);
    let (exact, exact_cost) = (exact_unit.times(count)?, exact_unit_cost.times(count)?);
    let places = currency.places();
    let mode = settings.rounding_mode;
    let price = prices.price.shown(currency);
    let unit_price = Money::new(exact_unit.round(places, mode)?);
    // A price below a cent has no part in cents, nor has one of which a hundredth is lost: its line is rounded once.
    if by_unit && exact_price.fits(places) && !loses_much(settings, currency, exact_unit, unit_price, count)?
    {
        let unit_cost = Money::new(exact_unit_cost.round(places, mode)?);
        let unit = unit_price.shown(currency);
        let formula = text(format_args!(
            "{price} x {share} = {} -> {unit}; {} x {unit}",
            short(exact_unit),
            quantity.shown()
        ));
        let named = Named::default();
        return Ok(Expressed { quantity, unit_price, unit_cost, exact, exact_cost, named, formula });
    }
    let amount = Money::new(exact.round(places, mode)?);
    let cost = Money::new(exact_cost.round(places, mode)?);
    let formula = text(format_args!(
        "{} x {price} x {share} = {} -> {}",
        quantity.shown(),
        short(exact),
        amount.shown(currency)
    ));
    let mut expressed = spread(amount, cost, quantity, currency)?;
    expressed.exact = exact;
    expressed.exact_cost = exact_cost;
    expressed.formula = formula;
    Ok(expressed)
}

/// Whether a line of so many units that are rounded each is off by more than the tolerance, and by more than a hundredth of
/// itself.
fn loses_much(
    settings: &Settings,
    currency: Currency,
    unit: Exact,
    rounded: Money,
    count: Exact,
) -> Result<bool, MoneyError> {
    let size = |exact: Exact| if exact.is_negative() { Exact::ZERO.minus(exact) } else { Ok(exact) };
    let lost = size(rounded.exact().minus(unit)?.times(count)?)?;
    let is_less = |limit: Exact| -> Result<bool, MoneyError> { Ok(limit.minus(lost)?.is_negative()) };
    if !is_less(tolerance(settings, currency)?)? {
        return Ok(false);
    }
    is_less(size(unit.times(count)?)?.over(Exact::ratio(100, 1)?)?)
}

/// `quantity` units for a whole period, each at a price of its own.
fn whole(
    settings: &Settings,
    currency: Currency,
    prices: Prices,
    quantity: Quantity,
) -> Result<Expressed, MoneyError> {
    let count = quantity.exact();
    let (exact, exact_cost) = (prices.price.exact().times(count)?, prices.cost.exact().times(count)?);
    let Prices { price: unit_price, cost: unit_cost, .. } =
        whole_units(settings, currency, prices, quantity)?;
    let formula = text(format_args!("{} x {}", quantity.shown(), unit_price.shown(currency)));
    let named = Named::default();
    Ok(Expressed { quantity, unit_price, unit_cost, exact, exact_cost, named, formula })
}

/// The unit price and cost that a line of `quantity` units shows for a whole period.
fn whole_units(
    settings: &Settings,
    currency: Currency,
    prices: Prices,
    quantity: Quantity,
) -> Result<Prices, MoneyError> {
    // Nearly all prices have no more places than their currency: nothing of them is rounded.
    if let (Some(price), Some(cost)) = (prices.price.in_places(currency), prices.cost.in_places(currency))
        && !settings.rounding_tolerance.is_sign_negative()
    {
        return Ok(Prices { price, cost, ..prices });
    }
    let exact = prices.price.exact().times(quantity.exact())?;
    let exact_cost = prices.cost.exact().times(quantity.exact())?;
    let tolerance = tolerance(settings, currency)?;
    let mode = settings.rounding_mode;
    let round = |unit: Money, exact, within| whole_unit(unit, exact, quantity, currency, mode, within);
    let hundredth = |exact: Exact| -> Result<Exact, MoneyError> {
        let hundredth = exact.over(Exact::ratio(100, 1)?)?;
        if hundredth.is_negative() { Exact::ZERO.minus(hundredth) } else { Ok(hundredth) }
    };
    let of_price = hundredth(exact)?;
    let of_price = if of_price.minus(tolerance)?.is_negative() { of_price } else { tolerance };
    // A cost is a figure of our own books: a hundredth of it may be lost to keep it in cents.
    let size = hundredth(exact_cost)?;
    let of_cost = if tolerance.minus(size)?.is_negative() { size } else { tolerance };
    let price = round(prices.price, exact, of_price)?;
    Ok(Prices { price, cost: round(prices.cost, exact_cost, of_cost)?, ..prices })
}

/// What of an open-ended line keeps all of its places, though units are rounded: the source named what the line comes to, and
/// a rounded unit would not bring it there (D17).
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept {
    price: bool,
    cost: bool,
}

impl Kept {
    /// What the source names of a line of `quantity` units: an amount that its unit price makes, a cost that its unit cost
    /// makes.
    pub fn named(
        (amount, cost): (Option<Money>, Option<Money>),
        prices: Prices,
        quantity: Quantity,
        currency: Currency,
    ) -> Result<Self, MoneyError> {
        let makes = |unit: Money, named: Option<Money>| -> Result<bool, MoneyError> {
            Ok(named.is_some() && named == Some(unit.extended(quantity, currency)?))
        };
        Ok(Self { price: makes(prices.price, amount)?, cost: makes(prices.cost, cost)? })
    }

    /// What a line shows with all of its places goes on with them.
    pub fn shown(there: &AdditionState, prices: Prices) -> Self {
        Self { price: there.unit_price == prices.price, cost: there.unit_cost == prices.cost }
    }

    /// What either keeps.
    pub fn or(self, other: Self) -> Self {
        Self { price: self.price || other.price, cost: self.cost || other.cost }
    }
}

/// What an open-ended line shows: it keeps its quantity, since the next change starts from it. Where a line is to be
/// rounded once, its price keeps all of its places, and the invoice rounds the line.
pub fn open_ended(
    settings: &Settings,
    currency: Currency,
    prices: Prices,
    quantity: Quantity,
    kept: Kept,
) -> Result<Expressed, MoneyError> {
    let mut expressed = whole(settings, currency, prices, quantity)?;
    let Prices { price, cost, .. } = open_ended_units(settings, currency, prices, quantity, kept)?;
    if expressed.unit_price != price {
        expressed.formula = text(format_args!("{} x {}", quantity.shown(), price.shown(currency)));
    }
    (expressed.unit_price, expressed.unit_cost) = (price, cost);
    Ok(expressed)
}

/// The unit price and cost of [`open_ended`].
pub fn open_ended_units(
    settings: &Settings,
    currency: Currency,
    prices: Prices,
    quantity: Quantity,
    kept: Kept,
) -> Result<Prices, MoneyError> {
    if settings.rounding_place == RoundingPlace::Line {
        return Ok(prices);
    }
    let rounded = whole_units(settings, currency, prices, quantity)?;
    Ok(Prices {
        price: if kept.price { prices.price } else { rounded.price },
        cost: if kept.cost { prices.cost } else { rounded.cost },
        ..rounded
    })
}

/// Whether a unit price is another one in fewer places: in those of the currency, as ConnectWise may keep it.
fn is_kept_as(kept: Money, asked: Money, currency: Currency) -> Result<bool, MoneyError> {
    Ok(kept.decimal() == asked.exact().round(currency.places(), RoundingMode::HalfUp)?.normalize())
}

/// What a line that shows the rounded price of `asked` truly costs a unit: a rounding, ours or that of ConnectWise, is no
/// other price.
pub fn unrounded(
    settings: &Settings,
    currency: Currency,
    there: Prices,
    quantity: Quantity,
    asked: Prices,
) -> Result<Prices, MoneyError> {
    let shown = open_ended_units(settings, currency, asked, quantity, Kept::default())?;
    let truly = |there: Money, shown: Money, asked: Money| -> Result<Money, MoneyError> {
        Ok(if shown == there || is_kept_as(there, asked, currency)? { asked } else { there })
    };
    Ok(Prices {
        price: truly(there.price, shown.price, asked.price)?,
        cost: truly(there.cost, shown.cost, asked.cost)?,
        ..there
    })
}

/// The price of one unit that `total` makes, with as few places as bring the line back to the total.
pub fn unit_of(total: Money, quantity: Quantity, currency: Currency) -> Result<Money, MoneyError> {
    let exact = total.exact().over(quantity.exact())?;
    let rounded = Money::new(total.exact().round(currency.places(), RoundingMode::HalfUp)?);
    let mut unit = Money::ZERO;
    for places in [currency.places(), 6, 9, 12] {
        unit = Money::new(exact.round(places, RoundingMode::HalfUp)?.normalize());
        if unit.extended(quantity, currency)? == rounded {
            break;
        }
    }
    Ok(unit)
}

/// Whether a line shows a price: as it is, or as an open-ended line of so many units rounds it.
pub fn shows(context: &Context<'_>, there: &AdditionState, price: Money) -> bool {
    let prices = Prices { price, cost: there.unit_cost, cost_known: true };
    there.unit_price == price
        || is_kept_as(there.unit_price, price, context.currency) == Ok(true)
        || open_ended(context.world.settings, context.currency, prices, there.quantity, Kept::default())
            .is_ok_and(|shown| shown.unit_price == there.unit_price)
}

/// Whether a line of one unit at `price` shows what `quantity` units at about `unit` cost together.
pub fn is_all_in_one(price: Money, quantity: Quantity, unit: Money) -> Result<bool, MoneyError> {
    let size = |exact: Exact| if exact.is_negative() { Exact::ZERO.minus(exact) } else { Ok(exact) };
    let from_all = size(price.exact().minus(unit.exact().times(quantity.exact())?)?)?;
    let from_one = size(price.exact().minus(unit.exact())?)?;
    Ok(from_all.minus(from_one)?.is_negative())
}

/// The unit price of a whole period: in the places of the currency, unless the line would be off by more than the
/// tolerance then, or by more than a hundredth of itself: 1,000 x 0.125 is not 1,000 x 0.13, nor 9 x 12.5 yen 9 x 13.
fn whole_unit(
    unit: Money,
    exact: Exact,
    quantity: Quantity,
    currency: Currency,
    mode: RoundingMode,
    tolerance: Exact,
) -> Result<Money, MoneyError> {
    let rounded = Money::new(unit.exact().round(currency.places(), mode)?);
    let drift = rounded.exact().times(quantity.exact())?.minus(exact)?;
    let size = if drift.is_negative() { Exact::ZERO.minus(drift)? } else { drift };
    Ok(if tolerance.minus(size)?.is_negative() { unit } else { rounded })
}

/// The tolerance of rounding in a currency: the setting speaks of currencies with two places.
pub fn tolerance(settings: &Settings, currency: Currency) -> Result<Exact, MoneyError> {
    let places = currency.places();
    let of_two = Exact::from_decimal(settings.rounding_tolerance);
    if places == 2 {
        return Ok(of_two);
    }
    let by = 10_i128.checked_pow(places.abs_diff(2)).ok_or(MoneyError::Overflow)?;
    let scale = if places < 2 { Exact::ratio(by, 1)? } else { Exact::ratio(1, by)? };
    of_two.times(scale)
}

/// What a line charges once. Rounding per unit is for prorated amounts: a whole price with more places than the currency
/// has (use at 0.0034 a unit) is multiplied first, or thousands of units would be billed at a price that is not theirs.
pub fn charged(
    settings: &Settings,
    currency: Currency,
    prices: Prices,
    quantity: Quantity,
    share: Share,
) -> Result<Expressed, MoneyError> {
    let places = currency.places();
    let fits = prices.price.exact().fits(places) && prices.cost.exact().fits(places);
    if fits || !share.is_whole() {
        return prorated(settings, currency, prices, quantity, share);
    }
    let by_line = Settings { rounding_place: RoundingPlace::Line, ..settings.clone() };
    prorated(&by_line, currency, prices, quantity, share)
}

/// An amount that the source names: rounded once to the currency, and put into `quantity` units where both price and
/// cost come out even, else into one unit.
pub fn named_amount(
    settings: &Settings,
    currency: Currency,
    amount: Money,
    cost: Exact,
    quantity: Quantity,
) -> Result<Expressed, MoneyError> {
    let mode = settings.rounding_mode;
    let rounded = Money::new(amount.exact().round(currency.places(), mode)?);
    let rounded_cost = Money::new(cost.round(currency.places(), mode)?);
    let mut expressed = spread(rounded, rounded_cost, quantity, currency)?;
    expressed.exact = amount.exact();
    expressed.exact_cost = cost;
    expressed.named.price = true;
    expressed.formula = if rounded.decimal() == amount.decimal() {
        format!("{} as the order says", rounded.shown(currency))
    } else {
        format!("{amount} as the order says -> {}", rounded.shown(currency))
    };
    Ok(expressed)
}

/// An exact amount rounded once, in one unit.
pub fn one_unit(
    settings: &Settings,
    currency: Currency,
    amount: Exact,
    cost: Exact,
) -> Result<Expressed, MoneyError> {
    let mode = settings.rounding_mode;
    let price = Money::new(amount.round(currency.places(), mode)?);
    let unit_cost = Money::new(cost.round(currency.places(), mode)?);
    Ok(Expressed {
        quantity: Quantity::from(1),
        unit_price: price,
        unit_cost,
        exact: amount,
        exact_cost: cost,
        named: Named::default(),
        formula: text(format_args!("{} -> {}", short(amount), price.shown(currency))),
    })
}

/// A rounded amount as `quantity x unit` where it divides evenly, else as `1 x amount`.
fn spread(
    amount: Money,
    cost: Money,
    quantity: Quantity,
    currency: Currency,
) -> Result<Expressed, MoneyError> {
    let one = Expressed {
        quantity: Quantity::from(1),
        unit_price: amount,
        unit_cost: cost,
        exact: amount.exact(),
        exact_cost: cost.exact(),
        named: Named::default(),
        formula: String::new(),
    };
    if quantity.is_zero() {
        return Ok(one);
    }
    let places = currency.places();
    // A credit is written as a negative quantity with a positive price.
    let signed = if amount.is_negative() != quantity.is_negative() { -quantity } else { quantity };
    let unit = amount.exact().over(signed.exact())?;
    let unit_cost = cost.exact().over(signed.exact())?;
    if unit.fits(places) && unit_cost.fits(places) {
        let mode = RoundingMode::HalfUp;
        return Ok(Expressed {
            quantity: signed,
            unit_price: Money::new(unit.round(places, mode)?),
            unit_cost: Money::new(unit_cost.round(places, mode)?),
            ..one
        });
    }
    if amount.is_negative() {
        return Ok(Expressed { quantity: Quantity::from(-1), unit_price: -amount, unit_cost: -cost, ..one });
    }
    Ok(one)
}

/// At most four decimals, for a sentence.
pub fn short(value: Exact) -> impl Display {
    let rounded = value.round(4, RoundingMode::HalfUp).map(|rounded| Quantity::new(rounded).shown());
    std::fmt::from_fn(move |f| match &rounded {
        Ok(rounded) => rounded.fmt(f),
        Err(_) => value.fmt(f),
    })
}
