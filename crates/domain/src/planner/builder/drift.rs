//! What rounding moves: the amount that is written against the exact one.

use super::{Builder, NewLine};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::ProductId;
use crate::money::{Exact, Money, MoneyError};
use crate::period::Period;
use crate::planner::context::Stop;
use crate::planner::part;

/// What is written less what is exact.
struct Drift {
    exact: Exact,
    large: bool,
}

impl<'a> Builder<'_, 'a> {
    /// The drift between exact and written amounts, of price and cost: a warning above the tolerance; always said where
    /// the amount is the source's own.
    pub(super) fn tell_drift(&mut self, line: &NewLine<'_>) -> Result<(), Stop> {
        let currency = self.context.currency;
        let money = &line.money;
        let price = self.drift_of(money.drift(currency)?, money.named.price)?;
        let cost = self.drift_of(money.cost_drift(currency)?, money.named.cost)?;
        let plain = |value: Exact| -> Result<String, MoneyError> {
            Ok(value.round(12, crate::money::RoundingMode::HalfUp)?.normalize().to_string())
        };
        let mut said = Vec::new();
        if let Some(drift) = &price {
            let billed = money.unit_price.extended(money.quantity, currency)?;
            said.push(format!(
                "is billed as {} {currency}; exactly it is {}: a drift of {}",
                billed.shown(currency),
                plain(money.exact)?,
                plain(drift.exact)?
            ));
        }
        if let Some(drift) = &cost {
            let booked = money.unit_cost.extended(money.quantity, currency)?;
            said.push(format!(
                "has a cost of {} {currency}; exactly it is {}: a drift of {}",
                booked.shown(currency),
                plain(money.exact_cost)?,
                plain(drift.exact)?
            ));
        }
        let Some(first) = price.as_ref().or(cost.as_ref()) else { return Ok(()) };
        let large = price.as_ref().is_some_and(|d| d.large) || cost.as_ref().is_some_and(|d| d.large);
        let message = format!("{} {}.", self.context.product_name(&line.product), said.join("; it "));
        let severity = if large { Severity::Warning } else { Severity::Info };
        let subject =
            Subject { detail: Some(line.line_id.clone()), ..self.context.subject_of_product(&line.product) };
        let rounded = Money::new(first.exact.round(currency.places(), crate::money::RoundingMode::HalfUp)?);
        self.find(Finding::new(Code::Tu6006, subject, message).severity(severity).amount(rounded, currency));
        Ok(())
    }

    /// What ConnectWise bills of `days` by the dates of the lines, against what the source names for them: always said
    /// where it is something else.
    pub fn tell_by_dates(
        &mut self,
        product: &ProductId,
        days: Period,
        named: Exact,
        billed: Exact,
    ) -> Result<(), MoneyError> {
        let currency = self.context.currency;
        let rounded = |exact: Exact| -> Result<Money, MoneyError> {
            Ok(Money::new(exact.round(currency.places(), self.context.world.settings.rounding_mode)?))
        };
        let (named, billed) = (rounded(named)?, rounded(billed)?);
        let off = billed.minus(named)?;
        let Some(drift) = self.drift_of(off.exact(), true)? else { return Ok(()) };
        let message = format!(
            "The source names {} {currency} for {}, {days}; ConnectWise reckons by the dates of the lines and bills {}: a \
             difference of {}.",
            named.shown(currency),
            self.context.product_name(product),
            billed.shown(currency),
            off.shown(currency)
        );
        let severity = if drift.large { Severity::Warning } else { Severity::Info };
        let subject = Subject { detail: Some(days.to_string()), ..self.context.subject_of_product(product) };
        self.find(Finding::new(Code::Tu6006, subject, message).severity(severity).amount(off, currency));
        Ok(())
    }

    /// The tolerance of rounding in the currency of the task.
    pub fn tolerance(&self) -> Result<Exact, MoneyError> {
        part::tolerance(self.context.world.settings, self.context.currency)
    }

    /// A drift that is worth saying.
    fn drift_of(&self, exact: Exact, named: bool) -> Result<Option<Drift>, MoneyError> {
        if exact.is_zero() {
            return Ok(None);
        }
        let tolerance = self.tolerance()?;
        let size = if exact.is_negative() { Exact::ZERO.minus(exact)? } else { exact };
        let large = tolerance.minus(size)?.is_negative();
        Ok((named || large).then_some(Drift { exact, large }))
    }
}
