//! Transfers: the lines of one customer end where the period they paid for ends, and those of another begin there.

use super::AdoptionAnswer;
use super::builder::Builder;
use super::cancellation;
use super::context::Stop;
use super::late;
use super::lines::{self, billed_quantity};
use super::picture::Line;
use super::sales::plan_from;
use super::twice;
use crate::feed::{BillingModel, Charge, Order, OrderLine};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{AdditionId, OrderId, ProductId};
use crate::money::{Exact, Money, MoneyError, Quantity};
use crate::period::{Period, next_day, previous_day};
use crate::plan::Role;
use crate::psa::{Agreement, BillFlag};
use jiff::civil::Date;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Plans a transfer: the lines of the former customer end where the period they paid for ends, and the lines of the new
/// one start there; parts and refunds only where the order names them.
pub fn plan(builder: &mut Builder<'_, '_>, order: &Order) -> Result<(), Stop> {
    let context = builder.context;
    // The new customer may be billed later: the former one pays no longer for that.
    let effective = context.world.settings.go_live.map_or(order.effective, |day| order.effective.max(day));
    let period = builder.period_of(order.period, effective)?;
    let mut boundary = if effective == period.start() { period.start() } else { period.end() };
    let old = former_lines(builder, order, boundary)?;
    if late::moved_on(builder).is_none() && lines::is_any_gone(builder) {
        return Err(builder.keep_all_back());
    }
    tell_nothing_ends(builder, order, old.is_empty());
    // Invoices that bill nothing of a line hold no day of it back.
    let billed = old.iter().filter(|line| is_set_to_bill(line));
    let paid = billed.filter_map(|line| paid_up_to(builder, line)).max();
    // An earlier run of this very order that broke off has begun the new customer's lines: that day stays, whatever was
    // invoiced since, or they would be written again from a later one.
    let said = boundary;
    match begun_on(builder) {
        Some(begun) => boundary = begun,
        None => boundary = paid.map_or(boundary, |paid| boundary.max(paid)),
    }
    let order = &*as_changed_since(builder, order, &old, boundary)?;
    if !names_what_is_billed(builder, order, &old, Period::new(said, boundary).ok())?
        || twice::is_moved_already(builder, order, said)
    {
        return Err(builder.keep_all_back());
    }
    tell_states_ahead(builder, order, &old, boundary)?;
    let kept_back = builder.kept_back();
    let back: Vec<&OrderLine> = order.lines.iter().filter(|line| line.charge == Charge::Refund).collect();
    let begins = match back.is_empty() {
        true => Cow::Borrowed(order),
        false => Cow::Owned(without_refunds(order)),
    };
    plan_from(builder, &begins, boundary, effective)?;
    for line in back {
        give_back_named(builder, order, line, (&old, effective))?;
    }
    if builder.kept_back() > kept_back {
        // Where the one customer cannot begin, the other goes on, or nobody would be billed.
        return Err(builder.keep_all_back());
    }
    let reason = || format!("Order {} moves the subscription to another customer.", order.shown());
    for line in &old {
        let Some(agreement) = builder.agreement_of(line) else {
            builder.end(line, previous_day(boundary), reason())?;
            continue;
        };
        // What both were invoiced for is given back to the former one.
        let paid = builder.paid_up_to(agreement).map_or(boundary, |paid| paid.max(boundary));
        let since = taken_over_from(builder, line).map_or(boundary, |day| day.max(said).min(boundary));
        give_back_since(builder, order, agreement, line, (since, paid))?;
        let last = builder.last_before(agreement, paid);
        if line.state.cancelled.is_none_or(|at| at > last) {
            builder.end(line, last, reason())?;
        }
    }
    // What was billed or given back once of days that the other customer pays goes with the lines.
    let products = old.iter().filter_map(|l| l.origin.as_ref().map(|o| o.product().clone())).collect();
    cancellation::leave_before(builder, order, &products, (boundary, period))?;
    for line in cancellation::pieces_from(builder, &products, boundary) {
        builder.delete(&line, reason())?;
    }
    Ok(())
}

/// The lines of the former customer that bill days from `boundary` on.
fn former_lines<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    boundary: Date,
) -> Result<Vec<Line<'a>>, Stop> {
    // What a later transfer, carried out before this one, has begun at somebody else's stays.
    let moved_on = late::moved_on(builder).map(|(company, _)| company);
    let is_moved_on = |l: &Line<'_>| {
        moved_on.is_some() && builder.agreement_of(l).map(|agreement| agreement.company) == moved_on
    };
    // A line that an order ended later than that bills days of the other customer as well.
    let bills_later = |l: &Line<'_>| {
        l.origin.as_ref().is_some_and(|o| {
            let ends_later = l.state.cancelled.is_some_and(|last| last >= boundary);
            let by_order = o.written().cancelled == l.state.cancelled;
            o.role() == Role::Recurring && (l.state.is_open() || ends_later && by_order)
        })
    };
    let this = builder.context.order_id();
    let is_old = |l: &&Line<'_>| {
        bills_later(l) && !l.is_made_by(this) && !is_moved_on(l) && !is_taken_over_here(builder, l)
    };
    let mut old: Vec<_> = builder.own_lines().filter(is_old).cloned().collect();
    // What a person named as a line of the subscription is the former customer's where it lies on another company.
    let sold = order.lines.iter().filter(|l| l.charge == Charge::Recurring);
    for product in sold.map(|l| &l.product).collect::<BTreeSet<_>>() {
        if old.iter().any(|l| l.is_for(product, Role::Recurring)) {
            continue;
        }
        if is_named_one_unknown(builder, product) {
            return Err(builder.keep_all_back());
        }
        let named = builder.mapped_lines(product).into_iter();
        let named = named.filter(|l| l.state.cancelled.is_none_or(|last| last >= boundary));
        let of_another = |line: &Line<'_>| {
            builder.agreement_of(line).is_some_and(|a| a.company != builder.context.company)
        };
        old.extend(named.filter(of_another));
    }
    Ok(old)
}

/// Whether a line is one by hand that was taken over at the customer to whom the transfer goes: it is the new side.
fn is_taken_over_here(builder: &Builder<'_, '_>, line: &Line<'_>) -> bool {
    let by_hand = line.origin.as_ref().is_some_and(|origin| origin.order().is_none());
    by_hand && builder.agreement_of(line).is_some_and(|a| a.company == builder.context.company)
}

/// The first day of the new customer's line that was taken over in the place of one of the former customer.
fn taken_over_from(builder: &Builder<'_, '_>, former: &Line<'_>) -> Option<Date> {
    let product = former.origin.as_ref()?.product();
    let here = builder.own_lines_for(product, Role::Recurring);
    here.filter(|l| l.state.is_open() && is_taken_over_here(builder, l)).map(|l| l.state.effective).min()
}

/// Whether a mapping names an addition that was not found where it could be looked for: the subscription's record names the
/// new customer already, so that nobody knows at whose it is. It is said.
fn is_named_one_unknown(builder: &mut Builder<'_, '_>, product: &ProductId) -> bool {
    let context = builder.context;
    let former_is_known =
        context.subscription.is_none_or(|subscription| subscription.customer != context.task.customer);
    let is_linked = |id: AdditionId| builder.own_links().iter().any(|link| link.addition == id);
    let unknown = builder
        .named_additions(product)
        .into_iter()
        .find(|id| builder.read_line(*id).is_none() && !is_linked(*id))
        .filter(|_| !former_is_known);
    let Some(id) = unknown else { return false };
    let subscription = &context.task.subscription;
    let message = format!(
        "Addition {id}, which a mapping names as the line of {}, is on no agreement of the new customer, and whom {subscription} \
         was sold to before is not in the feed: its line would go on beside the new one.",
        context.product_name(product)
    );
    let fix = format!(
        "End the addition in ConnectWise with the last day that the former customer pays, and release the mapping \
         `addition,subscription:{subscription}/{product}`."
    );
    let finding = builder.about(Code::Tu3008, product, message).severity(Severity::Error).fix(fix);
    builder.withhold(finding);
    true
}

fn without_refunds(order: &Order) -> Order {
    let mut rest = order.clone();
    rest.lines.retain(|line| line.charge != Charge::Refund);
    rest
}

/// Gives back what a transfer names to who paid it: the former customer.
fn give_back_named(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    line: &OrderLine,
    (old, effective): (&[Line<'_>], Date),
) -> Result<(), Stop> {
    let this = builder.context.order_id();
    let moved_on = late::moved_on(builder).map(|(company, _)| company);
    let is_moved_on = |l: &Line<'_>| {
        moved_on.is_some() && builder.agreement_of(l).map(|agreement| agreement.company) == moved_on
    };
    // An earlier run of this very order may have ended what there was.
    let ended = || {
        let own = builder.own_lines_for(&line.product, Role::Recurring);
        own.filter(|l| !l.is_made_by(this) && !is_taken_over_here(builder, l) && !is_moved_on(l))
            .max_by_key(|l| l.state.cancelled.unwrap_or(Date::MAX))
    };
    let of_before = old.iter().find(|l| l.is_for(&line.product, Role::Recurring)).or_else(ended).cloned();
    let days = order.period.from_day(effective.min(order.period.last_day())).unwrap_or(order.period);
    let days = line.period.unwrap_or(days);
    let home = of_before.as_ref().and_then(|l| builder.agreement_of(l));
    let own = of_before.and_then(|l| builder.context.world.snapshot.catalog.get(&l.state.catalog_item));
    match (home, own) {
        (Some(home), Some(item)) => lines::give_back_once(builder, home, line, item, (order.period, days)),
        (None, _) | (Some(_), None) => {
            // Nothing of it was billed to the former customer: what goes back to whom nobody knows.
            let Some(amount) = line.amount else { return Ok(()) };
            let why =
                "the former customer was billed nothing of it by trueup, so that it is given back by hand";
            let value =
                if amount.is_negative() { amount.exact() } else { Exact::ZERO.minus(amount.exact())? };
            Ok(builder.left_out(&line.product, days, value, why)?)
        }
    }
}

/// The order with the state of each product that orders which were completed later gave it before this one came: they have
/// changed what was there on its day, and that state goes on. What they changed after `boundary` is of days of both states:
/// the transfer waits.
fn as_changed_since<'o>(
    builder: &mut Builder<'_, '_>,
    order: &'o Order,
    old: &[Line<'_>],
    boundary: Date,
) -> Result<Cow<'o, Order>, Stop> {
    let mut changed = Cow::Borrowed(order);
    let this = builder.context.order_id();
    for (at, line) in order.lines.iter().enumerate().filter(|(_, l)| l.charge == Charge::Recurring) {
        let alone = order.lines.iter().filter(|l| l.charge == Charge::Recurring && l.product == line.product);
        let mut open = old.iter().filter(|l| l.is_for(&line.product, Role::Recurring) && l.state.is_open());
        let (Some(there), None, 1) = (open.next(), open.next(), alone.count()) else { continue };
        let Some(by) = late::given_by(there).filter(|by| late::is_younger(builder, by)) else { continue };
        // What an earlier run of this very order has begun stays as it is.
        let begun = builder.own_lines_for(&line.product, Role::Recurring).any(|l| l.is_made_by(this));
        let (quantity, price) = (there.billed_quantity(), there.state.unit_price);
        if begun || quantity == line.quantity && Some(price) == line.unit_price {
            continue;
        }
        if is_changed_after(builder, order, there, (by, boundary)) {
            return Err(builder.keep_all_back());
        }
        tell_as_left(builder, order, there, by);
        let own = &mut changed.to_mut().lines[at];
        own.quantity = quantity;
        own.unit_price = Some(price);
        own.unit_cost = Some(there.state.unit_cost);
        (own.amount, own.cost_amount) = (None, None);
    }
    // What such an order has begun could not be named.
    for there in old.iter().filter(|line| line.state.is_open() && is_set_to_bill(line)) {
        let Some(product) = there.origin.as_ref().map(|origin| origin.product()) else { continue };
        let named = order.lines.iter().any(|l| l.charge == Charge::Recurring && l.product == *product);
        let Some(by) = late::given_by(there).filter(|by| !named && late::is_younger(builder, by)) else {
            continue;
        };
        if is_changed_after(builder, order, there, (by, boundary)) {
            return Err(builder.keep_all_back());
        }
        tell_as_left(builder, order, there, by);
        changed.to_mut().lines.push(OrderLine {
            id: format!("since:{product}").into(),
            charge: Charge::Recurring,
            product: product.clone(),
            item: None,
            quantity: there.billed_quantity(),
            unit_price: Some(there.state.unit_price),
            unit_cost: Some(there.state.unit_cost),
            old_unit_price: None,
            old_unit_cost: None,
            old_quantity: None,
            new_quantity: None,
            amount: None,
            cost_amount: None,
            period: None,
            description: None,
        });
    }
    Ok(changed)
}

/// Whether an order that was carried out changed a line after the day from which it is the other customer's; it is said.
fn is_changed_after(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    there: &Line<'_>,
    (by, boundary): (&OrderId, Date),
) -> bool {
    let since = late::since(there);
    let Some(product) = there.origin.as_ref().map(|origin| origin.product()).filter(|_| since > boundary)
    else {
        return false;
    };
    let message = format!(
        "Order {} moves {} on {boundary}, and order {by}, which was carried out before it, changed that on {since}.",
        order.shown(),
        builder.context.product_name(product),
    );
    let fix = format!("Take order {by} back, and take it in again once this one is carried out.");
    let finding = builder.about(Code::Tu5001, product, message).severity(Severity::Error).fix(fix);
    builder.withhold(finding);
    true
}

/// Says that what goes on is what an order that was completed later has left.
fn tell_as_left(builder: &mut Builder<'_, '_>, order: &Order, there: &Line<'_>, by: &OrderId) {
    let Some(product) = there.origin.as_ref().map(|origin| origin.product()) else { return };
    let currency = builder.context.currency;
    let message = format!(
        "Order {} came after order {by} had changed {}, which goes on as that one left it: {} x {} {currency}.",
        order.shown(),
        builder.context.product_name(product),
        there.billed_quantity().shown(),
        there.state.unit_price.shown(currency),
    );
    let finding = builder.about(Code::Tu5001, product, message).severity(Severity::Warning);
    builder.find(finding);
}

/// Says what an earlier order has given the former customer's lines from a later day on: what is moved stays as it is named.
fn tell_states_ahead(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    old: &[Line<'_>],
    boundary: Date,
) -> Result<(), MoneyError> {
    let ahead = old.iter().filter(|line| line.state.is_open() && late::since(line) > boundary);
    for line in ahead.filter(|line| is_set_to_bill(line)) {
        let (Some(origin), Some(by)) = (&line.origin, late::given_by(line)) else { continue };
        let product = origin.product();
        let named = order
            .lines
            .iter()
            .filter(|l| l.charge == Charge::Recurring && l.product == *product)
            .collect::<Vec<_>>();
        let [named] = named.as_slice() else { continue };
        let (quantity, price) = (line.billed_quantity(), line.state.unit_price);
        let Some(stays) = named.unit_price else { continue };
        if (named.quantity, stays) == (quantity, price) {
            continue;
        }
        let currency = builder.context.currency;
        let more = price.extended(quantity, currency)?.minus(stays.extended(named.quantity, currency)?)?;
        let message = format!(
            "Order {by} made {} {} x {} {currency} from {} on, and order {} moves {} x {}: that goes on at the new customer.",
            builder.context.product_name(product),
            quantity.shown(),
            price.shown(currency),
            late::since(line),
            order.shown(),
            named.quantity.shown(),
            stays.shown(currency),
        );
        let finding =
            builder.about(Code::Tu5001, product, message).severity(Severity::Warning).amount(more, currency);
        builder.find(
            finding.fix(
                "Import a change for the new customer from that day on, where the later state is meant.",
            ),
        );
    }
    Ok(())
}

/// The day up to which invoices have billed a line, or what was billed once up to it: the last one stands for the period
/// that begins in it.
fn paid_up_to(builder: &Builder<'_, '_>, line: &Line<'_>) -> Option<Date> {
    let agreement = builder.agreement_of(line)?;
    if builder.is_billed(line) {
        return builder.paid_up_to(agreement);
    }
    let product = line.origin.as_ref()?.product();
    let once =
        builder.own_lines_for(product, Role::Prorate).chain(builder.own_lines_for(product, Role::OneTime));
    let billed = once.filter(|part| {
        part.agreement == line.agreement && !part.state.quantity.is_negative() && builder.is_billed(part)
    });
    // An averaged line stands for the days that it is dated by.
    let last = |part: &Line<'_>| {
        let true_period = part.origin.as_ref().and_then(|origin| origin.true_period());
        true_period.map(Period::end).or(part.state.cancelled.map(next_day))
    };
    billed.filter_map(last).max()
}

/// The first day of the lines that an earlier run of this very order has begun.
fn begun_on(builder: &Builder<'_, '_>) -> Option<Date> {
    let this = builder.context.order_id()?;
    let own = builder.own_lines().filter(|l| l.is_made_by(Some(this)));
    let recurring = own.filter(|l| l.origin.as_ref().is_some_and(|o| o.role() == Role::Recurring));
    recurring.map(late::since).min()
}

/// Gives back what a line of the former customer was invoiced for days of the new one.
fn give_back_since<'a>(
    builder: &mut Builder<'_, 'a>,
    order: &Order,
    agreement: &'a Agreement,
    line: &Line<'a>,
    (boundary, paid): (Date, Date),
) -> Result<(), Stop> {
    let mut first = boundary.max(line.state.effective);
    let end = line.state.cancelled.map_or(paid, |last| paid.min(next_day(last)));
    let Some(origin) = line.origin.as_ref().filter(|_| is_set_to_bill(line)) else { return Ok(()) };
    let product = origin.product().clone();
    // An earlier run may have given back what was invoiced up to then.
    let key_line = cancellation::key_of_give_back(builder, agreement, &product);
    let given = |day| builder.written(&key_line, Role::Refund, day)?.origin.as_ref()?.true_period();
    while let Some(days) = given(first).filter(|days| days.end() > first) {
        first = days.end();
    }
    let Ok(days) = Period::new(first, end) else { return Ok(()) };
    let units = builder.units_in(days, builder.period_of(order.period, boundary)?)?;
    let value = cancellation::worth(line, units)?;
    if value.0.is_negative() || value.0.is_zero() {
        return Ok(());
    }
    cancellation::give_back(builder, order, agreement, (&product, line.state.catalog_item), value, days)
}

/// Whether a transfer names all that the former customer is billed. What it does not name would end there and begin
/// nowhere, and where it goes nobody has said. What it names more is billed to nobody for the days after it that are invoiced
/// to the former customer.
fn names_what_is_billed(
    builder: &mut Builder<'_, '_>,
    order: &Order,
    old: &[Line<'_>],
    invoiced: Option<Period>,
) -> Result<bool, Stop> {
    let this = builder.context.order_id();
    let begun = builder.own_lines().any(|l| l.is_made_by(this) || l.ended_by() == this);
    if begun || builder.adoption() == AdoptionAnswer::CreateBeside {
        return Ok(true);
    }
    let mut products: BTreeMap<ProductId, Vec<&Line<'_>>> = BTreeMap::new();
    for line in old {
        if let Some(origin) = &line.origin {
            products.entry(origin.product().clone()).or_default().push(line);
        }
    }
    let mut all = true;
    for (product, lines) in products {
        let billed = billed_last(&lines)?;
        let of_it = |l: &&OrderLine| l.charge == Charge::Recurring && l.product == product;
        let named = order.lines.iter().filter(of_it).map(|l| billed_quantity(builder, &product, l.quantity));
        let named = named.collect::<Vec<_>>().into_iter().try_fold(Quantity::ZERO, Quantity::plus)?;
        let free = lines.iter().all(|l| l.state.unit_price.is_zero());
        // A line of one unit may stand for all of them.
        if named == billed || free || named > billed && billed == Quantity::from(1) {
            continue;
        }
        // One that comes late may name what there was on its day, before orders that were carried out since.
        let one = lines.iter().filter(|l| l.state.is_open()).count() <= 1;
        let then = late::state_on(builder, &product, order.effective).filter(|_| one);
        let least = then.map_or(billed, |then| then.quantity.min(billed));
        let message = format!(
            "Order {} moves {} {} to another customer, and the former one is billed {}",
            order.shown(),
            named.shown(),
            builder.context.product_name(&product),
            billed.shown(),
        );
        let finding = |text: &str| builder.about(Code::Tu5001, &product, format!("{message}{text}"));
        if named >= least {
            let price = order.lines.iter().find(of_it).and_then(|l| l.unit_price);
            let more = named.minus(billed)?;
            let unbilled = match invoiced.zip(price).filter(|_| named > billed) {
                Some((days, price)) => unbilled(builder, (more, price), days)?.map(|amount| (days, amount)),
                None => None,
            };
            let currency = builder.context.currency;
            let finding = match unbilled {
                Some((days, amount)) => {
                    let left = amount.shown(currency);
                    let text = format!(
                        "; {days} is invoiced to that one already, so that {left} {currency} for the {} more are billed to \
                         nobody.",
                        more.shown()
                    );
                    finding(&text).amount(amount, currency).fix(
                        "Bill it by hand, or import the change that is to come before the transfer and ignore this.",
                    )
                }
                None => finding("."),
            };
            builder.find(finding.severity(Severity::Warning));
            continue;
        }
        let finding = finding(": what becomes of the rest is said by no order, so nothing of it is written.");
        let finding = finding.severity(Severity::Error).fix(
            "Where fewer are sold from then on, have the source send the change before the transfer. Where the rest stays \
             with the former customer, it needs a subscription of its own: sell it there, and reduce this one first. \
             `--no-adopt` moves what is named, and ends the rest.",
        );
        builder.withhold(finding);
        all = false;
    }
    Ok(all)
}

/// What so many units cost for some days; nothing where that is nothing.
fn unbilled(
    builder: &Builder<'_, '_>,
    (more, price): (Quantity, Money),
    days: Period,
) -> Result<Option<Money>, Stop> {
    let context = builder.context;
    let Some(of_order) = context.order_period else { return Ok(None) };
    let units = builder.units_in(days, builder.period_of(of_order, days.start())?)?;
    let exact = price.exact().times(more.exact())?.times(units)?;
    let amount = Money::new(exact.round(context.currency.places(), context.world.settings.rounding_mode)?);
    Ok((!amount.is_zero()).then_some(amount))
}

/// Whether nobody set a line not to be billed.
fn is_set_to_bill(line: &Line<'_>) -> bool {
    line.state.bill == BillFlag::Billable
}

/// What lines of one product bill together in the end: the open ones, else those that end last.
fn billed_last(lines: &[&Line<'_>]) -> Result<Quantity, MoneyError> {
    let until = |l: &Line<'_>| l.state.cancelled.unwrap_or(Date::MAX);
    let last = lines.iter().map(|l| until(l)).max();
    let lines = lines.iter().filter(|l| Some(until(l)) == last && is_set_to_bill(l));
    lines.map(|l| l.state.quantity).try_fold(Quantity::ZERO, Quantity::plus)
}

/// Says that a transfer ends nothing: whoever paid before pays on, unless somebody ends it.
fn tell_nothing_ends(builder: &mut Builder<'_, '_>, order: &Order, nothing: bool) {
    // An earlier run of this very order ended what there was.
    let ended = builder.own_links().iter().any(|l| l.role == Role::Recurring)
        || builder.own_lines().any(|l| l.origin.as_ref().is_some_and(|o| o.role() == Role::Recurring));
    // What is charged after its period is billed by its billing orders: nothing goes on at the former customer.
    let afterwards = builder.context.subscription.is_some_and(|s| s.billing_model != BillingModel::Advance);
    if !nothing || ended || afterwards {
        return;
    }
    let message = format!(
        "Order {} moves subscription {} to another customer, and trueup bills nothing of it to the former one: nothing \
         ends there.",
        order.shown(),
        builder.context.task.subscription
    );
    let finding = Finding::new(Code::Tu8006, builder.context.subject(), message).severity(Severity::Error).fix(
        "End the former customer's additions in ConnectWise, or map them (kind addition) before the transfer is carried \
         out.",
    );
    builder.find(finding);
}
