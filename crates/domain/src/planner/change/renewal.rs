//! What a renewal says nothing of: its line goes on, and that is told.

use crate::billing;
use crate::feed::{Charge, Order};
use crate::finding::{Code, Severity};
use crate::ids::ProductId;
use crate::money::Money;
use crate::plan::Role;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::picture::Line;
use crate::psa::BillFlag;
use jiff::civil::Date;
use std::collections::BTreeMap;

/// Says which lines bill on that a renewal does not name. One that names nothing renews everything.
pub(super) fn tell_left_out(builder: &mut Builder<'_, '_>, order: &Order, said: Date) -> Result<(), Stop> {
    let names = |product: &ProductId| order.lines.iter().any(|line| line.product == *product);
    if !order.lines.iter().any(|line| line.charge == Charge::Recurring) {
        return Ok(());
    }
    // What ends ahead, with its term or by a cancellation, does not go on.
    let goes_on = |line: &&Line<'_>| line.state.bill == BillFlag::Billable && line.state.is_open();
    let currency = builder.context.currency;
    let mut left_out: BTreeMap<ProductId, Money> = BTreeMap::new();
    for line in builder.own_lines().filter(goes_on) {
        let Some(origin) = line.origin.as_ref().filter(|o| o.role() == Role::Recurring) else { continue };
        let product = origin.product();
        if !names(product) {
            let amount = billing::extended(&line.state, line.less_included, currency)?.price;
            let sum = left_out.get(product).copied().unwrap_or_default();
            left_out.insert(product.clone(), sum.plus(amount)?);
        }
    }
    for (product, amount) in left_out {
        let message = format!(
            "Order {} renews subscription {} from {said} on and does not name {}: its line goes on, {} {currency} a period.",
            order.shown(),
            builder.context.task.subscription,
            builder.context.product_name(&product),
            amount.shown(currency)
        );
        let finding = builder.about(Code::Tu8006, &product, message).severity(Severity::Warning);
        builder.find(finding.amount(amount, currency).fix(
            "Have the source send a change to 0 where it was not renewed, or end the line in ConnectWise; else there is \
             nothing to do.",
        ));
    }
    Ok(())
}
