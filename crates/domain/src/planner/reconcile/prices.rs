//! Prices of what is reconciled: which one counts, and what a line bills otherwise.

use super::Target;
use crate::finding::Code;
use crate::money::Money;
use crate::planner::builder::Builder;
use crate::planner::by_hand;
use crate::planner::late;
use crate::planner::part::{self, Prices};
use crate::planner::picture::Line;
use crate::planner::reconciled;
use crate::psa::CatalogItem;
use crate::settings::PriceSource;
use jiff::civil::Date;

/// The price that counts: the subscription's or the product's, else that of the line, else the catalog's. The line is
/// kept back where there is none.
pub(super) fn prices_of(
    builder: &mut Builder<'_, '_>,
    target: &Target<'_>,
    item: &CatalogItem,
    existing: Option<&Line>,
) -> Option<Prices> {
    let product = target.product;
    let there =
        existing.map(|l| Prices { price: l.state.unit_price, cost: l.state.unit_cost, cost_known: true });
    let marketplace = builder.context.price_source == PriceSource::Marketplace;
    let listed = builder.context.product(product);
    let price = target.price.or(listed.and_then(|p| p.unit_price)).filter(|_| marketplace);
    let cost = target.cost.or(listed.and_then(|p| p.unit_cost)).filter(|_| marketplace);
    let prices = price
        .map(|price| Prices { price, cost: cost.or(item.cost).unwrap_or_default(), cost_known: true })
        .or(there)
        .or_else(|| {
            item.price.map(|p| Prices { price: p, cost: item.cost.unwrap_or_default(), cost_known: true })
        });
    if prices.is_none() {
        let name = builder.context.product_name(product);
        let finding = builder.about(Code::Tu6002, product, format!("{name} has no price."));
        builder.withhold(finding);
    }
    prices
}

/// The price that the subscription's record names, where the line bills another one on the day that is judged.
fn other_price(
    builder: &Builder<'_, '_>,
    target: &Target<'_>,
    there: &Line<'_>,
    begin: Date,
) -> Option<Money> {
    let marketplace = builder.context.price_source == PriceSource::Marketplace;
    let counts = marketplace && there.state.bills_on(begin);
    target.said.filter(|price| counts && !part::shows(builder.context, &there.state, *price))
}

/// Whether the line of the right quantity is replaced for its price: it bills what the record said to an earlier
/// reconciliation. What an order said, or a person, is not undone by a record.
pub(super) fn is_to_change(
    builder: &Builder<'_, '_>,
    target: &Target<'_>,
    there: &Line<'_>,
    together: &[Line<'_>],
    begin: Date,
) -> bool {
    let by_reconciliation = reconciled::wrote(there)
        && late::given_by(there).is_none()
        && !builder.is_named_by_mapping(there, target.product);
    let price = other_price(builder, target, there, begin).filter(|price| *price > Money::ZERO);
    by_reconciliation && price.is_some() && there.state.is_open() && together.is_empty()
}

/// Says that lines of the right quantity bill another price than the record names, and how much less or more.
pub(super) fn tell(
    builder: &mut Builder<'_, '_>,
    target: &Target<'_>,
    right: &Line<'_>,
    together: &[Line<'_>],
    begin: Date,
) {
    let product = target.product;
    if !together.is_empty() {
        let all = builder.mapped_lines(product);
        for there in all.iter().filter(|there| there.state.bills_on(begin)) {
            by_hand::tell_price(builder, product, builder.context.product_name(product), there, target.said);
        }
        return;
    }
    let Some(price) = other_price(builder, target, right, begin) else { return };
    let Some(order) = late::given_by(right).map(ToString::to_string) else {
        by_hand::tell_price(builder, product, builder.context.product_name(product), right, Some(price));
        return;
    };
    let currency = builder.context.currency;
    let message = format!(
        "Addition {} bills {} at {}, as order {order} said, and the subscription's record says {}: it stays as it is.",
        by_hand::id_of(right),
        builder.context.product_name(product),
        right.state.unit_price.shown(currency),
        price.shown(currency)
    );
    let finding = builder.about(Code::Tu6003, product, message).fix(format!(
        "Take in the order that changed the price. Where none comes and the record is right, change the price in \
         ConnectWise and name the line as it is then: `addition,subscription:{}/{product},{}`.",
        builder.context.task.subscription,
        by_hand::id_of(right)
    ));
    let finding = match by_hand::difference(builder, right, price) {
        Some(amount) => finding.amount(amount, currency),
        None => finding,
    };
    builder.find(finding);
}

/// Says that a line is replaced for its price.
pub(super) fn tell_change(builder: &mut Builder<'_, '_>, target: &Target<'_>, old: &Line<'_>, new: Money) {
    let currency = builder.context.currency;
    let message = format!(
        "The subscription has {} at {}, the addition bills {}.",
        builder.context.product_name(target.product),
        new.shown(currency),
        old.state.unit_price.shown(currency)
    );
    let finding = builder.about(Code::Tu6003, target.product, message);
    let finding = match by_hand::difference(builder, old, new) {
        Some(amount) => finding.amount(amount, currency),
        None => finding,
    };
    builder.find(finding);
}
