//! What all orders share: finding the line that is there, billing a line once, and deciding who bills a part period.

mod once;

use super::builder::Builder;
use super::by_hand::{self, NamedLine};
use super::context::{Billing, Stop};
use super::over;
use super::part::{self, Prices};
use super::picture::Line;
use crate::feed::{OrderLine, ProductKind};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{AdditionId, ProductId};
use crate::money::{Exact, Money, MoneyError, Quantity, RoundingMode};
use crate::period::Period;
use crate::plan::{AdditionLink, Role, Target};
use crate::psa::{AdditionState, Agreement, CatalogItem};
use crate::settings::{PriceSource, ProrationBy};
use jiff::civil::Date;

pub use once::{
    bill_once, bill_used, give_back_once, said_to_cost, share_of, standing_text, tell_free_in_the_catalog,
    write_once,
};

/// Who bills the part of a period.
pub enum PartPolicy<'a> {
    /// A line of ours, on this agreement.
    Line(&'a Agreement),
    /// ConnectWise, from the dates.
    Connectwise,
    /// Nobody, for this reason.
    LeftOut(&'static str),
}

/// More places than any currency has: what is cut to its days is rounded where it is written.
const PLACES: u32 = 9;

/// What a line says of some of the days that it names amounts for: their share of price and cost. `days` are those that it
/// names, `rest` those that are left of them.
///
/// # Errors
/// Days outside the period, or an amount that cannot be kept exactly.
pub fn cut_to(
    builder: &Builder<'_, '_>,
    line: &OrderLine,
    period: Period,
    (days, rest): (Period, Period),
) -> Result<OrderLine, Stop> {
    let of_all = builder.share(period, rest)?.exact()?.over(builder.share(period, days)?.exact()?)?;
    let cut = |amount: Option<Money>| -> Result<Option<Money>, Stop> {
        let Some(amount) = amount else { return Ok(None) };
        let exact = amount.exact().times(of_all)?;
        Ok(Some(Money::new(exact.round(PLACES, RoundingMode::HalfUp)?.normalize())))
    };
    let (amount, cost_amount) = (cut(line.amount)?, cut(line.cost_amount)?);
    Ok(OrderLine { amount, cost_amount, period: Some(rest), ..line.clone() })
}

/// Who bills part periods of this task.
///
/// # Errors
/// TU3006 where the agreement would prorate our prorated line again.
pub fn part_policy<'a>(builder: &Builder<'_, 'a>) -> Result<PartPolicy<'a>, Stop> {
    let context = builder.context;
    let settings = context.world.settings;
    let by_connectwise = settings.proration_by == ProrationBy::Connectwise && context.agreement.prorates;
    if by_connectwise {
        return Ok(PartPolicy::Connectwise);
    }
    if context.price_source == PriceSource::Connectwise {
        return Ok(PartPolicy::LeftOut(
            "prices come from ConnectWise, and only marketplace prices are prorated",
        ));
    }
    match settings.proration_by {
        ProrationBy::None => Ok(PartPolicy::LeftOut("part periods are not billed (proration_by)")),
        ProrationBy::Connectwise => {
            Ok(PartPolicy::LeftOut("ConnectWise is to prorate, and the agreement's flag for it is off"))
        }
        ProrationBy::Trueup => {
            let home = builder.proration_home();
            if home.prorates {
                return Err(double_proration(builder, home));
            }
            Ok(PartPolicy::Line(home))
        }
    }
}

/// TU3006.
pub fn double_proration(builder: &Builder<'_, '_>, home: &Agreement) -> Stop {
    builder.context.stop(
        Code::Tu3006,
        format!(
            "Agreement {} ({}) prorates additions by itself: a prorated line on it would be prorated twice.",
            home.id, home.name
        ),
    )
}

/// The billable item of a line's product; `None` when someone said that it is not billed.
pub fn item_of<'a>(builder: &Builder<'_, 'a>, product: &ProductId) -> Result<Option<&'a CatalogItem>, Stop> {
    match builder.context.billing_of(product) {
        Some(Billing::As(item)) => Ok(Some(item)),
        Some(Billing::Not) => Ok(None),
        None => {
            let name = builder.context.product_name(product);
            let mut stop = builder.stop(
                Code::Tu2003,
                product,
                format!("Product {name} has no catalog item in ConnectWise."),
            );
            stop.outcome = crate::plan::TaskOutcome::NeedsMapping;
            Err(stop)
        }
    }
}

/// The item of an order's line; `None` as well where it bills nothing and is mapped to nothing.
pub fn item_for<'a>(builder: &Builder<'_, 'a>, line: &OrderLine) -> Result<Option<&'a CatalogItem>, Stop> {
    let unknown = builder.context.billing_of(&line.product).is_none();
    if unknown && builder.context.is_free(line) {
        return Ok(None);
    }
    item_of(builder, &line.product)
}

/// A plan fee bills quantity 1.
pub fn billed_quantity(builder: &Builder<'_, '_>, product: &ProductId, quantity: Quantity) -> Quantity {
    let plan = builder.context.product(product).is_some_and(|p| p.kind == Some(ProductKind::Plan));
    let one = Quantity::from(1);
    match (plan, quantity.is_zero(), quantity.is_negative()) {
        (true, false, false) => one,
        (true, false, true) => -one,
        (false, _, _) | (_, true, _) => quantity,
    }
}

/// Whether the recurring fee of this subscription is charged after its period, by billing orders: then neither a sale
/// nor a change writes an open-ended line, which would bill it twice.
pub fn is_billed_afterwards(builder: &mut Builder<'_, '_>, line: &OrderLine) -> bool {
    use crate::feed::BillingModel;
    match builder.context.subscription.map(|s| s.billing_model) {
        Some(BillingModel::Arrears | BillingModel::ExternalRating) => {}
        Some(BillingModel::Advance) | None => return false,
    }
    let name = builder.context.product_name(&line.product);
    let message = format!("{name} is charged after its period: its billing orders bill it.");
    let finding = builder.about(Code::Tu4004, &line.product, message).severity(Severity::Info);
    builder.find(finding);
    true
}

/// The full-period prices of a line, or its line kept back with TU6002; warns where cost and price are equal.
pub fn prices(
    builder: &mut Builder<'_, '_>,
    line: &OrderLine,
    item: &CatalogItem,
    existing: Option<Prices>,
) -> Option<Prices> {
    let name = builder.context.product_name(&line.product);
    let Some(prices) = part::prices_of(builder.context, line, item, existing) else {
        let message = format!(
            "{name} has no price: neither the order's line {} nor the catalog item has one.",
            line.id
        );
        let finding = builder.about(Code::Tu6002, &line.product, message);
        builder.withhold(finding);
        return None;
    };
    if prices.price.is_negative() {
        let message = format!("{name} has a negative price of {} on line {}.", prices.price, line.id);
        let finding = builder.about(Code::Tu6002, &line.product, message);
        builder.withhold(finding);
        return None;
    }
    let marketplace = builder.context.price_source == PriceSource::Marketplace;
    if marketplace && line.unit_price.is_none() && prices.price.is_zero() {
        let message = format!(
            "{name} has no price: the order's line {} names none, and catalog item {} ({}) costs nothing.",
            line.id, item.identifier, item.id
        );
        let finding = builder.about(Code::Tu6002, &line.product, message);
        builder.withhold(finding.fix(
            "Let the source name the unit price (0 where it is to be free), or enter the price of the catalog item. Where it is \
             free and the source never names a price, take the prices of this task from ConnectWise.",
        ));
        return None;
    }
    if !prices.cost_known {
        let message =
            format!("{name} has no cost at the source and none in the catalog: it is written as 0.");
        let finding = builder.about(Code::Tu6002, &line.product, message).severity(Severity::Warning);
        builder.find(finding);
    } else if marketplace && prices.price == prices.cost && !prices.price.is_zero() {
        let message = format!("Price and cost of {name} are both {}.", prices.price);
        let finding = builder.about(Code::Tu6004, &line.product, message);
        builder.find(finding);
    }
    Some(prices)
}

/// What stands where a subscription's recurring line for a product should be.
pub enum Existing<'a> {
    /// This line.
    Line(Box<Line<'a>>),
    /// None.
    Nothing,
    /// A person changed or ended it: a finding was made and the product is kept back.
    Undecided,
    /// It cannot be told which of several it is: a finding was made and the product is kept back.
    Several,
}

/// The subscription's recurring line for a product: ours by its link, the one a mapping names, else the single open
/// addition with the item (decision A7 of the order rules).
pub fn existing_line<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    item: &CatalogItem,
    from: Date,
) -> Existing<'a> {
    let order = builder.context.order_id();
    let of_product: Vec<&Line<'a>> = builder.own_lines_for(product, Role::Recurring).collect();
    let ours = || of_product.iter().copied().filter(|l| !l.is_made_by(order));
    let none_is_ours = ours().next().is_none();
    let open = ours().filter(|l| l.state.is_open()).max_by_key(|l| l.state.effective);
    // What an order ended is not the line of now where the one that followed on it is gone.
    let is_begun = of_product.iter().any(|l| l.is_made_by(order));
    let gone = if open.is_none() && !is_begun { missing_link(builder, product) } else { None };
    // One that a person ended is what should be there, and is judged; one that an order ended counts while it bills.
    let ending = || {
        let still = ours().filter(|l| {
            l.origin.as_ref().is_some_and(|o| o.written().is_open())
                || l.state.cancelled.is_some_and(|last| crate::period::next_day(last) >= from)
        });
        still.max_by_key(|l| (l.state.cancelled, l.state.effective))
    };
    if let Some(line) = open.or_else(|| ending().filter(|_| gone.is_none())).cloned() {
        return judge(builder, product, line);
    }
    if let Some(gone) = gone {
        let finding = is_gone(builder, product, gone);
        if let Some(taken) = builder.take_mapped(product, None) {
            builder.find(finding.severity(Severity::Info));
            return Existing::Line(Box::new(taken));
        }
        builder.withhold(finding);
        return Existing::Undecided;
    }
    match by_hand::named(builder, product, item, from, false) {
        NamedLine::Line(line) => return Existing::Line(line),
        NamedLine::Unusable => return Existing::Undecided,
        NamedLine::None => {}
    }
    if !none_is_ours {
        return Existing::Nothing;
    }
    let found = builder.unclaimed(item, from);
    match found.as_slice() {
        [] => Existing::Nothing,
        [line] => {
            let line = line.clone();
            builder.adopt(&line, product);
            match builder.picture.now(&line).cloned() {
                Some(line) => Existing::Line(Box::new(line)),
                None => Existing::Nothing,
            }
        }
        several => {
            let finding = several_open(builder, product, several);
            builder.withhold(finding);
            Existing::Several
        }
    }
}

/// The line that an order's line speaks of. A subscription may bill one product by several lines (a promotion, two
/// tiers): then the quantity and the price that the order starts from say which one it is, and nothing else.
pub fn line_of<'a>(
    builder: &mut Builder<'_, 'a>,
    line: &OrderLine,
    item: &CatalogItem,
    from: Date,
) -> Existing<'a> {
    let order = builder.context.order_id();
    let of_product: Vec<&Line<'a>> = builder.own_lines_for(&line.product, Role::Recurring).collect();
    let written = of_product.iter().any(|l| l.is_made_by(order));
    let others = || of_product.iter().copied().filter(|l| !l.is_made_by(order));
    // What is dated to end ahead goes on until then, unless another line follows on it.
    let goes_on = |l: &Line<'a>| {
        let follows = |last: Date| of_product.iter().any(|other| other.state.effective > last);
        over::goes_on(builder, l, from) && !l.state.cancelled.is_some_and(follows)
    };
    let named = builder.named_additions(&line.product);
    // Those that a person named as one line together count as one.
    let count = |which: &dyn Fn(&Line<'a>) -> bool| {
        let is_named = |l: &&Line<'a>| named.iter().any(|id| l.target == Target::Existing(*id));
        let single = others().filter(|l| which(l)).filter(|l| !is_named(l)).count();
        let together = !named.is_empty() && others().filter(is_named).any(which);
        single + usize::from(together)
    };
    let open = count(&goes_on);
    // Once this order has written its own line, the one it replaced has ended already.
    let still = |l: &Line<'a>| {
        goes_on(l) || written && l.state.cancelled.is_some_and(|last| crate::period::next_day(last) >= from)
    };
    let several = open > 1 || (written && open == 1 && count(&still) > 1);
    let old_quantity = line.old_quantity.map(|old| billed_quantity(builder, &line.product, old));
    let context = builder.context;
    let is_old = |state: &AdditionState| {
        old_quantity.is_some_and(|old| state.quantity == old)
            && line.old_unit_price.is_none_or(|old| part::shows(context, state, old))
    };
    let begun = if open > 0 { begun_before(builder, line, &of_product, is_old, goes_on) } else { None };
    if let Some(begun) = begun {
        let bills = |l: &Line| l.state.cancelled.is_none_or(|last| crate::period::next_day(last) >= from);
        return match begun.filter(bills) {
            Some(begun) => judge(builder, &line.product, begun),
            None => Existing::Nothing,
        };
    }
    if !several {
        return existing_line(builder, &line.product, item, from);
    }
    let still_there: Vec<Line> = others().filter(|l| still(l)).cloned().collect();
    let go_on: Vec<Line> = others().filter(|l| goes_on(l)).cloned().collect();
    let named: Vec<&Line> = still_there.iter().filter(|l| is_old(&l.state)).collect();
    match named.as_slice() {
        [one] => judge(builder, &line.product, (*one).clone()),
        [] | [_, _, ..] if open > 1 => {
            let finding = several_open(builder, &line.product, &go_on);
            builder.withhold(finding);
            Existing::Several
        }
        [] | [_, _, ..] => existing_line(builder, &line.product, item, from),
    }
}

/// What an earlier run of this order has edited, ended or taken away is what the order speaks of, whatever bills the product
/// beside it: the line, where it is there still.
fn begun_before<'a>(
    builder: &Builder<'_, 'a>,
    line: &OrderLine,
    of_product: &[&Line<'a>],
    is_old: impl Fn(&AdditionState) -> bool,
    goes_on: impl Fn(&Line<'a>) -> bool,
) -> Option<Option<Line<'a>>> {
    let order = builder.context.order_id()?;
    let others = || of_product.iter().copied().filter(|l| !l.is_made_by(Some(order)));
    let edited = |l: &&Line| l.last_edit_by(order).is_some_and(|edit| is_old(&edit.before));
    let ended = |l: &&Line| l.ended_by() == Some(order) && is_old(&l.state);
    if let Some(begun) = others().find(edited).or(others().find(ended)) {
        return Some(Some(begun.clone()));
    }
    let mut links = builder.own_links_for(&line.product, Role::Recurring);
    let taken = links.any(|l| {
        l.deleted && l.removed_by() == Some(order) && l.order.as_ref() != Some(order) && is_old(&l.written)
    });
    (taken && !others().any(|l| goes_on(l) && is_old(&l.state))).then_some(None)
}

/// A line as if it billed what all of them bill on a day.
pub fn together<'a>(one: &Line<'a>, also: &[Line<'a>], day: Date) -> Result<Line<'a>, MoneyError> {
    let mut all = one.clone();
    let with = also.iter().filter(|l| l.state.effective <= day || l.state.effective <= one.state.effective);
    let with: Vec<&Line> = with.collect();
    if with.is_empty() && one.less_included.is_zero() {
        return Ok(all);
    }
    let mut quantity = one.billed_quantity();
    let mut price = one.state.unit_price.exact().times(quantity.exact())?;
    let mut cost = one.state.unit_cost.exact().times(quantity.exact())?;
    for other in with {
        let count = other.billed_quantity();
        quantity = quantity.plus(count)?;
        price = price.plus(other.state.unit_price.exact().times(count.exact())?)?;
        cost = cost.plus(other.state.unit_cost.exact().times(count.exact())?)?;
    }
    let unit = |sum: Exact| -> Result<Money, MoneyError> {
        Ok(Money::new(sum.over(quantity.exact())?.round(TOGETHER_PLACES, RoundingMode::HalfUp)?.normalize()))
    };
    let (unit_price, unit_cost) = (unit(price)?, unit(cost)?);
    all.state = AdditionState { quantity, unit_price, unit_cost, ..(*one.state).clone() }.into();
    all.less_included = Quantity::ZERO;
    Ok(all)
}

/// More places than any price has: what is left of the rounding is lost where the line is rounded.
const TOGETHER_PLACES: u32 = 10;

/// TU3007 for several open additions.
pub fn several_open(builder: &Builder<'_, '_>, product: &ProductId, lines: &[Line]) -> Finding {
    let shown: Vec<String> = lines.iter().map(|line| by_hand::shown(builder, line)).collect();
    let name = builder.context.product_name(product);
    let shown = shown.join("; ");
    let message = match lines.len() {
        1 => format!(
            "An open addition is {name} on the agreement, and whether it is the line is not known: {shown}."
        ),
        count => format!(
            "{count} open additions are {name} on the agreement, and which is the line is not known: {shown}."
        ),
    };
    builder.about(Code::Tu3007, product, message)
}

/// An open line that we wrote and that is gone from an agreement that was read whole.
fn missing_link(builder: &Builder<'_, '_>, product: &ProductId) -> Option<AdditionId> {
    missing_links(builder).find(|link| &link.product == product).map(|link| link.addition)
}

fn missing_links<'b>(builder: &'b Builder<'_, '_>) -> impl Iterator<Item = &'b AdditionLink> {
    let context = builder.context;
    let is_open = |l: &&AdditionLink| {
        l.role == Role::Recurring
            && !l.deleted
            && l.written.is_open()
            && context.world.snapshot.additions.contains_key(&l.agreement)
    };
    let open = builder.own_links().iter().copied().filter(is_open);
    open.filter(|l| !context.index.register.was_read(l))
}

/// TU3008 of a line that is not there any more.
fn is_gone(builder: &Builder<'_, '_>, product: &ProductId, addition: AdditionId) -> Finding {
    let name = builder.context.product_name(product);
    let message = format!("Addition {addition}, which billed {name}, is not in ConnectWise any more.");
    builder.about(Code::Tu3008, product, message)
}

/// Keeps back what would go on as if the subscription had no line, where one that trueup wrote and nobody ended is not in
/// ConnectWise any more: whether there is such a line. A mapping of it to another addition is the answer.
pub fn is_any_gone(builder: &mut Builder<'_, '_>) -> bool {
    let order = builder.context.order_id();
    let gone = missing_links(builder).filter(|link| link.order.as_ref() != order);
    let gone: Vec<(AdditionId, ProductId)> = gone.map(|link| (link.addition, link.product.clone())).collect();
    let mut found = false;
    for (addition, product) in gone {
        if !builder.named_additions(&product).is_empty() {
            continue;
        }
        let finding = is_gone(builder, &product, addition);
        builder.withhold(finding);
        found = true;
    }
    found
}

/// What a person did to a line that trueup wrote: the finding that says so.
fn edit_by_person(builder: &Builder<'_, '_>, product: &ProductId, line: &Line) -> Option<Finding> {
    let origin = line.origin.as_ref()?;
    let name = builder.context.product_name(product);
    let Target::Existing(id) = &line.target else { return None };
    let (written, state) = (origin.written(), &line.state);
    if written.cancelled != state.cancelled {
        let message = match state.cancelled {
            Some(day) => format!(
                "Addition {id} ({name}) was ended by a person on {day}; it stays ended until told otherwise."
            ),
            None => format!("Addition {id} ({name}) was ended by trueup and opened again by a person."),
        };
        return Some(builder.about(Code::Tu3008, product, message));
    }
    let mut differences = Vec::new();
    if written.quantity != state.quantity {
        differences.push(format!(
            "quantity {} instead of {}",
            state.quantity.shown(),
            written.quantity.shown()
        ));
    }
    if written.unit_price != state.unit_price {
        differences.push(format!("unit price {} instead of {}", state.unit_price, written.unit_price));
    }
    if written.unit_cost != state.unit_cost {
        differences.push(format!("unit cost {} instead of {}", state.unit_cost, written.unit_cost));
    }
    if written.effective != state.effective {
        differences.push(format!("effective date {} instead of {}", state.effective, written.effective));
    }
    if written.catalog_item != state.catalog_item {
        differences.push(format!("catalog item {} instead of {}", state.catalog_item, written.catalog_item));
    }
    if differences.is_empty() {
        return None;
    }
    let message = format!("Addition {id} ({name}) was changed by a person: {}.", differences.join(", "));
    Some(builder.about(Code::Tu7002, product, message))
}

/// A person's edit is found and never silently overwritten. The mapping of an addition is the person's word: the line
/// that it names is taken as it is now.
pub fn judge<'a>(builder: &mut Builder<'_, 'a>, product: &ProductId, line: Line<'a>) -> Existing<'a> {
    let Some(finding) = edit_by_person(builder, product, &line) else {
        return Existing::Line(Box::new(line));
    };
    if let Some(taken) = builder.take_mapped(product, Some(&line.target)) {
        let message = format!("{} The mapping takes it over as it is.", finding.message);
        builder.find(Finding { message, ..finding }.severity(Severity::Info));
        return Existing::Line(Box::new(taken));
    }
    let task = builder.context.task;
    let said = match &line.target {
        Target::Existing(id) => format!("addition,subscription:{}/{product},{id}", task.subscription),
        Target::CreatedBy(_) => String::new(),
    };
    let fix = format!(
        "Put it back in ConnectWise, or take it over as it is now with the mapping `{said}` (or that of another addition)."
    );
    builder.withhold(finding.fix(fix));
    Existing::Undecided
}
