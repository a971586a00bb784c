//! Billing orders of usage-based subscriptions: what was used, billed once for the period it was used in.

use super::builder::Builder;
use super::context::Stop;
use super::lines::bill_once;
use super::sales::once_item;
use super::twice;
use crate::feed::{BillingModel, Charge, Order};

/// Plans a billing order.
pub fn plan(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let may_ask = twice::may_ask(builder);
    let advance = builder.context.subscription.is_none_or(|s| s.billing_model == BillingModel::Advance);
    for line in &order.lines {
        match line.charge {
            // The open-ended addition bills the recurring part of a charge-before subscription by itself (A13).
            Charge::Recurring if advance => {}
            Charge::Cancellation => super::cancellation::fee(builder, order, line, order.period.start())?,
            Charge::Recurring
            | Charge::Setup
            | Charge::Overuse
            | Charge::Upgrade
            | Charge::Prorate
            | Charge::Refund
            | Charge::OneTime
            | Charge::Discount => {
                let Some(item) = once_item(builder, line)? else { continue };
                bill_once(builder, line, item, order.period, line.period.unwrap_or(order.period))?;
            }
        }
    }
    if may_ask && twice::is_charged_already(builder, order)? {
        return Err(builder.keep_all_back());
    }
    Ok(())
}
