//! The first day at a customer who is billed by hand: lines that a mapping names, lines that nobody named, and what is
//! said of them. A line that was there is taken over or said, and never doubled.

use super::agreement::could_bill;
use super::builder::Builder;
use super::context::cycle_of;
use super::index::{Index, SubscriptionNo};
use super::lines;
use super::part;
use super::picture::Line;
use super::reconciled;
use super::{AdoptionAnswer, TaskInput, World};
use crate::billing;
use crate::feed::{BillingModel, Charge, OrderKind, OrderLine, Subscription};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, AgreementId, ProductId};
use crate::mapping::ProductTarget;
use crate::money::{Money, Quantity};
use crate::period::previous_day;
use crate::plan::{Role, Target};
use crate::psa::{AdditionState, BillFlag, CatalogItem};
use crate::settings::{LineMode, PriceSource};
use crate::task::{Demand, TaskKind};
use jiff::civil::Date;

/// The agreements of a customer's company on which a subscription may be billed by hand: those that would do, where
/// nothing was written for it yet, and all where a mapping names an addition that is not taken over yet.
pub fn homes(
    world: &World<'_>,
    index: &Index<'_>,
    input: TaskInput<'_>,
    subscription: SubscriptionNo,
) -> Vec<AgreementId> {
    let task = input.task;
    let order = match input.demand {
        Demand::Order(order) => Some(&**order),
        Demand::Reconcile { .. } => None,
    };
    let Some(company) = world.mappings.company_of(&task.source, &task.customer) else { return Vec::new() };
    let known = index.links_of(subscription);
    let is_new = |id: AdditionId| known.iter().all(|link| link.addition != id);
    let named = index.named_additions(world, task, order, subscription).any(is_new);
    if !named && !known.is_empty() {
        return Vec::new();
    }
    let sold = index.subscription(subscription);
    let cycle = sold.map(|s| s.billing_cycle).or_else(|| cycle_of(order?.period));
    let currency = order.map(|o| o.currency).or(sold.map(|s| s.currency));
    let would_do = cycle.zip(currency);
    // A transfer ends what the former customer has, whom the subscription's record may name still.
    let former = sold.filter(|sold| {
        order.is_some_and(|o| o.kind == OrderKind::Transfer) && sold.customer != task.customer
    });
    let former = former.and_then(|sold| world.mappings.company_of(&task.source, &sold.customer));
    let others = former.filter(|former| named && *former != company);
    others
        .into_iter()
        .chain([company])
        .flat_map(|company| index.agreements_of(company))
        .filter(|a| named || would_do.is_some_and(|(cycle, currency)| could_bill(a, cycle, currency)))
        .map(|agreement| agreement.id)
        .collect()
}

/// What a mapping says is the subscription's line for a product.
pub enum NamedLine<'a> {
    /// Nothing that counts.
    None,
    /// This line, taken over.
    Line(Box<Line<'a>>),
    /// What cannot be its line: a finding was made and the product is kept back.
    Unusable,
}

/// The line that a mapping names for a product, taken over when it is first used. One that ends before `from`, or at all
/// where it is to go on, would leave what is sold unbilled: it is not taken.
pub fn named<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    item: &CatalogItem,
    from: Date,
    goes_on: bool,
) -> NamedLine<'a> {
    let mut first = NamedLine::None;
    for id in builder.named_additions(product) {
        match named_one(builder, product, item, (id, from), goes_on) {
            NamedLine::Unusable => return NamedLine::Unusable,
            NamedLine::Line(line) => {
                if matches!(first, NamedLine::None) {
                    first = NamedLine::Line(line);
                }
            }
            NamedLine::None => {}
        }
    }
    first
}

fn named_one<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    item: &CatalogItem,
    (id, from): (AdditionId, Date),
    goes_on: bool,
) -> NamedLine<'a> {
    let context = builder.context;
    let task = context.task;
    let of_company = |line: &Line| {
        let agreement = context.world.snapshot.agreements.get(&line.agreement);
        agreement.is_none_or(|agreement| agreement.company == context.company)
    };
    let found = builder.read_line(id);
    // A transfer leaves the line of the former customer where it is.
    let is_own = found.as_ref().is_some_and(|line| line.origin.is_some());
    let Some(line) = found.filter(of_company) else {
        let read = &context.world.snapshot.additions;
        let all_read = context.index.agreements_of(context.company).all(|a| read.contains_key(&a.id));
        // The former customer's, wherever it is.
        let moves = task.kind == TaskKind::Transfer;
        if is_own || moves || !all_read || builder.own_links().iter().any(|link| link.addition == id) {
            return NamedLine::None;
        }
        let message = format!(
            "Addition {id}, which a mapping names as the line of {}, is on none of the company's agreements.",
            context.product_name(product)
        );
        let fix = format!(
            "Name another addition, or release the mapping `addition,subscription:{}/{product}`.",
            task.subscription
        );
        let finding = builder.about(Code::Tu3008, product, message).severity(Severity::Error).fix(fix);
        builder.withhold(finding);
        return NamedLine::Unusable;
    };
    if line.origin.is_some() {
        let ended = line.state.cancelled.is_some_and(|last| goes_on && last < from);
        return match line.is_of(context.subscription_no, product, Role::Recurring) && !ended {
            true => NamedLine::Line(Box::new(line)),
            false => NamedLine::None,
        };
    }
    if let Some(last) = end_of(builder, &line).filter(|last| goes_on || *last < from) {
        tell_end(builder, product, &line, last);
        return NamedLine::Unusable;
    }
    if line.state.catalog_item != item.id {
        let message = format!(
            "Addition {id}, which a mapping names as the line of {}, bills catalog item {}, and the product is mapped to \
             {}: it is taken over as it is, and what takes its place bills the mapped item.",
            context.product_name(product),
            line.state.catalog_item,
            item.id
        );
        let finding = builder.about(Code::Tu8006, product, message).severity(Severity::Warning);
        builder.find(finding);
    }
    builder.adopt(&line, product);
    builder.picture.now(&line).cloned().map_or(NamedLine::None, |line| NamedLine::Line(Box::new(line)))
}

/// Lines that are dated by their commitment end from the start.
fn ends_with_its_term(builder: &Builder<'_, '_>, last: Date) -> bool {
    let context = builder.context;
    let term = context.subscription.and_then(|s| s.term).and_then(|t| t.end);
    context.world.settings.line_mode == LineMode::Commitment
        || term.is_some_and(|end| previous_day(end) == last)
}

/// The last day of a line that somebody dated to end, where it does not end with its term.
pub fn end_of(builder: &Builder<'_, '_>, line: &Line) -> Option<Date> {
    line.state.cancelled.filter(|last| !ends_with_its_term(builder, *last))
}

/// Says that a line which was taken over bills another price than the one that counts.
pub fn tell_price(
    builder: &mut Builder<'_, '_>,
    product: &ProductId,
    name: &str,
    there: &Line,
    price: Option<Money>,
) {
    let marketplace = builder.context.price_source == PriceSource::Marketplace;
    let said = price.filter(|price| marketplace && !part::shows(builder.context, &there.state, *price));
    let Some(price) = said else { return };
    let currency = builder.context.currency;
    let message = format!(
        "The addition that was taken over bills {name} at {}, the source says {}; it stays as it is.",
        there.state.unit_price.shown(currency),
        price.shown(currency)
    );
    let finding = builder.about(Code::Tu6003, product, message).fix(
        "Change the price in ConnectWise where the source's is right; the next change of the subscription takes the \
         source's.",
    );
    let finding = match difference(builder, there, price) {
        Some(amount) => finding.amount(amount, currency),
        None => finding,
    };
    builder.find(finding);
}

/// What a period of a line would cost more at another price, where it is billed.
pub fn difference(builder: &Builder<'_, '_>, there: &Line, price: Money) -> Option<Money> {
    let billed = there.billed_quantity();
    let unit = price.exact().minus(there.state.unit_price.exact()).ok()?;
    let (mode, places) = (builder.context.world.settings.rounding_mode, builder.context.currency.places());
    let amount = unit.times(billed.exact()).and_then(|exact| exact.round(places, mode)).ok()?;
    (there.state.bill == BillFlag::Billable).then(|| Money::new(amount))
}

/// Keeps a product back whose line by hand ends: taken over, it would bill nothing after that.
pub fn tell_end(builder: &mut Builder<'_, '_>, product: &ProductId, line: &Line, last: Date) {
    let message = format!(
        "Addition {} of {}, which somebody made by hand, ends on {last}: it cannot be taken over as a line that goes on, \
         and nothing would bill what is sold after that day.",
        id_of(line),
        builder.context.product_name(product)
    );
    let finding = builder.about(Code::Tu3008, product, message).severity(Severity::Error).fix(
        "Clear its cancelled date in ConnectWise, name another addition, or release the mapping that names it; \
         `--no-adopt` writes a new line.",
    );
    builder.withhold(finding);
}

/// The additions with the item that nobody has claimed, on the agreements of the company that would do as well as the
/// one of the task. Only where nothing was written for the subscription yet: later its lines say where it is billed.
pub fn elsewhere<'a>(builder: &Builder<'_, 'a>, item: &CatalogItem, from: Date) -> Vec<Line<'a>> {
    let context = builder.context;
    if !builder.own_links().is_empty() || builder.adoption() == AdoptionAnswer::CreateBeside {
        return Vec::new();
    }
    let read = &context.world.snapshot.additions;
    context
        .index
        .agreements_of(context.company)
        .filter(|a| a.id != context.agreement.id && read.contains_key(&a.id))
        .filter(|a| could_bill(a, context.cycle, context.currency))
        .flat_map(|a| builder.unclaimed_on(a, item, from))
        .collect()
}

/// Keeps a product back that lines by hand on other agreements may bill. Whether there are any.
pub fn is_elsewhere(
    builder: &mut Builder<'_, '_>,
    product: &ProductId,
    item: &CatalogItem,
    from: Date,
    severity: Severity,
) -> bool {
    let found = elsewhere(builder, item, from);
    let Some(first) = found.first() else { return false };
    let lines: Vec<String> = found
        .iter()
        .map(|line| format!("{} on agreement {}", shown(builder, line), line.agreement))
        .collect();
    let context = builder.context;
    let message = format!(
        "Lines of {} that trueup did not write are on other agreements of the company than {}, which was chosen: {}. \
         Whether they bill this subscription is not known, and a line beside them might bill it twice.",
        context.product_name(product),
        context.agreement.id,
        lines.join("; ")
    );
    let fix = format!(
        "Where one is the line, choose its agreement (`agreement,{},{}`) and name it (`addition,subscription:{}/{product},{}`); \
         `--no-adopt` goes on without them.",
        context.task.subscription,
        first.agreement,
        context.task.subscription,
        id_of(first)
    );
    let finding = builder.about(Code::Tu3007, product, message).severity(severity).fix(fix);
    builder.withhold(finding);
    true
}

/// Lines with the item by hand beside a line that was taken over and that bills something else than the order starts
/// from: together they may be what is sold, so the product waits. Whether that is so.
pub fn is_one_of_several<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    item: &CatalogItem,
    line: &Line<'a>,
    starts_from: Quantity,
    from: Date,
) -> bool {
    let order = builder.context.order_id();
    let by_hand = line.origin.as_ref().is_some_and(|o| o.order().is_none());
    let begun = builder.own_lines_for(product, Role::Recurring).any(|l| l.is_made_by(order));
    let goes_on = builder.adoption() == AdoptionAnswer::CreateBeside;
    if !by_hand || begun || goes_on || line.billed_quantity() == starts_from {
        return false;
    }
    let others = beside(builder, item, line, from);
    if others.is_empty() {
        return false;
    }
    builder.let_go(line);
    let others: Vec<String> = others.iter().map(|line| shown(builder, line)).collect();
    let message = format!(
        "The order changes {} from {}, and its line {} bills {}; beside it {}, not written by trueup. A line for the new \
         level would be billed on top of what goes on.",
        builder.context.product_name(product),
        starts_from.shown(),
        id_of(line),
        line.billed_quantity().shown(),
        others.join("; ")
    );
    let finding = builder.about(Code::Tu3007, product, message).severity(Severity::Error).fix(
        "Name those that belong together in one file of mappings, a row of kind `addition` each; or put them into one \
         addition in ConnectWise. `--no-adopt` goes on with the one line alone.",
    );
    builder.withhold(finding);
    true
}

/// Whether a change of a line by hand is settled without a write: because a person has carried it out already (it is
/// taken over as it is), or because the line bills more than the order knows of, and ending it would take away what
/// nobody spoke of (it waits for a person).
pub fn is_settled<'a>(
    builder: &mut Builder<'_, 'a>,
    order_line: &OrderLine,
    there: &Line<'a>,
    (old, new): (Quantity, Quantity),
) -> bool {
    let product = &order_line.product;
    let untouched = there.origin.as_ref().is_some_and(|o| o.order().is_none() && o.edits().is_empty());
    let order = builder.context.order_id();
    let begun = builder.own_lines_for(product, Role::Recurring).any(|l| l.is_made_by(order));
    if !untouched || begun || builder.adoption() == AdoptionAnswer::CreateBeside {
        return false;
    }
    let bills = there.billed_quantity();
    let shows = |price: Option<Money>| price.map(|price| part::shows(builder.context, &there.state, price));
    let done = match old == new {
        // The price alone changes.
        true => {
            bills == new
                && shows(order_line.unit_price) == Some(true)
                && shows(order_line.old_unit_price) != Some(true)
                && order_line.old_unit_price.is_some()
        }
        false => bills == new && !new.is_zero(),
    };
    let done = done || !bills.is_zero() && is_carried_out_later(builder, product, (old, new), bills);
    let name = builder.context.product_name(product);
    if done {
        let by = match reconciled::wrote(there) {
            true => "a reconciliation brought it, and the line stays",
            false => "a person carried the change out, and it is taken over",
        };
        let message =
            format!("Addition {} bills {} {name} already: {by} as it is.", id_of(there), bills.shown());
        let finding = builder.about(Code::Tu5001, product, message).severity(Severity::Info);
        builder.find(finding);
        tell_price(builder, product, name, there, order_line.unit_price);
        return true;
    }
    let known = format!("the order changes from {} to {}", old.shown(), new.shown());
    bills_for_others(builder, product, there, old.max(new), &known)
        || bills != old && is_anothers(builder, product, there, &known, Severity::Error)
}

/// Whether the orders that follow on this one lead to what the line bills: then a person has carried them out up to
/// there. A line that bills what the first of them starts from shows that only where the last of them comes back to it.
fn is_carried_out_later(
    builder: &Builder<'_, '_>,
    product: &ProductId,
    (old, new): (Quantity, Quantity),
    bills: Quantity,
) -> bool {
    let mut level = new;
    let mut reached = false;
    for order in builder.context.later.iter().filter(|order| order.kind == OrderKind::Change) {
        let lines = order.lines.iter().filter(|l| l.charge == Charge::Recurring && l.product == *product);
        for line in lines {
            let (Some(from), Some(to)) = (line.old_quantity, line.new_quantity) else { return false };
            let [from, to] = [from, to].map(|quantity| lines::billed_quantity(builder, product, quantity));
            if from != level {
                return false;
            }
            level = to;
            reached |= level == bills;
        }
    }
    reached && (bills != old || level == bills)
}

/// Whether a line by hand that nobody named, and that bills something else than is known of the subscription, may be the
/// line of another running subscription of the customer that nothing of ours bills: then it is kept back.
pub fn is_anothers<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    there: &Line<'a>,
    known: &str,
    severity: Severity,
) -> bool {
    let untouched = there.origin.as_ref().is_none_or(|o| o.order().is_none() && o.edits().is_empty());
    if !untouched || builder.is_named_by_mapping(there, product) {
        return false;
    }
    let context = builder.context;
    let (world, task) = (context.world, context.task);
    let same_item = |other: &ProductId, sold: &Subscription| {
        let target =
            world.mappings.product_target(&task.source, other, &sold.customer, Some(sold.billing_cycle));
        target == Some(ProductTarget::Item(there.state.catalog_item))
    };
    let other = world.subscriptions.iter().find(|((source, id), sold)| {
        *source == task.source
            && *id != task.subscription
            && sold.customer == task.customer
            && sold.status.bills()
            && sold.billing_model == BillingModel::Advance
            && sold.items.iter().any(|item| {
                !item.quantity.is_zero()
                    && same_item(&item.product, sold)
                    && !world.links.iter().any(|link| {
                        !link.deleted
                            && !link.is_settled()
                            && link.role == Role::Recurring
                            && link.source == *source
                            && link.subscription == *id
                            && link.product == item.product
                    })
            })
    });
    let Some(((_, other), _)) = other else { return false };
    let message = format!(
        "Addition {}, made by hand, bills {} {}, and {known}: subscription {other} is sold the same and nothing of \
         trueup's bills it. Whose line it is, is not known, and nothing of it is ended.",
        id_of(there),
        there.billed_quantity().shown(),
        context.product_name(product)
    );
    let fix = format!(
        "Name it as the line of the one or the other: `addition,subscription:{}/{product},{1}` or \
         `addition,subscription:{other}/{product},{1}`.",
        task.subscription,
        id_of(there)
    );
    let finding = builder.about(Code::Tu3007, product, message).severity(severity).fix(fix);
    builder.withhold(finding);
    builder.let_go(there);
    true
}

/// Whether a line by hand that nobody named bills more than is known of the subscription: it may bill others as well, and
/// is kept back.
pub fn bills_for_others<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    there: &Line<'a>,
    most: Quantity,
    known: &str,
) -> bool {
    let untouched = there.origin.as_ref().is_some_and(|o| o.order().is_none() && o.edits().is_empty());
    if !untouched || there.billed_quantity() <= most || builder.is_named_by_mapping(there, product) {
        return false;
    }
    let message = format!(
        "Addition {}, made by hand, bills {} {}, and {known}: it may bill other subscriptions as well, and nothing of it \
         is ended.",
        id_of(there),
        there.billed_quantity().shown(),
        builder.context.product_name(product)
    );
    let fix = format!(
        "Split the addition in ConnectWise by subscription, or name it as the line of this one: \
         `addition,subscription:{}/{product},{}`.",
        builder.context.task.subscription,
        id_of(there)
    );
    let finding = builder.about(Code::Tu3007, product, message).severity(Severity::Error).fix(fix);
    builder.withhold(finding);
    builder.let_go(there);
    true
}

/// Says what goes on by hand beside a line that was taken over and that a cancellation ends.
pub fn tell_what_goes_on(builder: &mut Builder<'_, '_>, product: &ProductId, line: &Line, from: Date) {
    if line.origin.as_ref().is_none_or(|o| o.order().is_some()) {
        return;
    }
    let Some(item) = builder.context.world.snapshot.catalog.get(&line.state.catalog_item) else { return };
    for other in beside(builder, item, line, from) {
        let message = format!(
            "{} goes on: trueup did not write it, and the cancellation of {} does not end it.",
            shown(builder, &other),
            builder.context.product_name(product)
        );
        let subject =
            Subject { addition: addition_of(&other), ..builder.context.subject_of_product(product) };
        let finding = Finding::new(Code::Tu8006, subject, message)
            .severity(Severity::Warning)
            .fix("End it in ConnectWise where it billed the same subscription.");
        let currency = builder.context.currency;
        let finding = match billing::extended(&other.state, other.less_included, currency) {
            Ok(amount) => finding.amount(amount.price, currency),
            Err(_) => finding,
        };
        builder.find(finding);
    }
}

fn beside<'a>(builder: &Builder<'_, 'a>, item: &CatalogItem, line: &Line, from: Date) -> Vec<Line<'a>> {
    let others = builder.agreement_of(line).map(|a| builder.unclaimed_on(a, item, from));
    others.into_iter().flatten().filter(|other| other.target != line.target).collect()
}

/// Says that a line which is there bills nothing, as it is set in ConnectWise.
pub fn tell_if_not_billed(
    builder: &mut Builder<'_, '_>,
    product: &ProductId,
    line: &Line,
    quantity: Quantity,
) {
    let how = match line.state.bill {
        BillFlag::Billable => return,
        BillFlag::DoNotBill => "not to be billed",
        BillFlag::NoCharge => "to be shown at no charge",
    };
    let currency = builder.context.currency;
    let billed = AdditionState { bill: BillFlag::Billable, quantity, ..(*line.state).clone() };
    let amount = billing::extended(&billed, Quantity::ZERO, currency).map(|sum| sum.price).ok();
    let worth = amount
        .map_or_else(String::new, |amount| format!(", {} {currency} a period,", amount.shown(currency)));
    let message = format!(
        "{} {} are sold{worth} and nothing bills them: addition {} is set {how} in ConnectWise, and stays so.",
        quantity.shown(),
        builder.context.product_name(product),
        id_of(line)
    );
    let finding = builder
        .about(Code::Tu8006, product, message)
        .severity(Severity::Warning)
        .fix("Set the addition to be billed in ConnectWise, or map the product as not billed.");
    builder.find(match amount {
        Some(amount) => finding.amount(amount, currency),
        None => finding,
    });
}

/// A line by hand in one sentence: what it bills, and until when.
pub fn shown(builder: &Builder<'_, '_>, line: &Line) -> String {
    let currency = builder.context.currency;
    let state = &line.state;
    let verb = if state.bill == BillFlag::Billable { "bills" } else { "is set not to bill" };
    let amount = billing::extended(state, line.less_included, currency)
        .ok()
        .filter(|_| state.bill == BillFlag::Billable)
        .map_or_else(String::new, |sum| format!(" ({} {currency} a period)", sum.price.shown(currency)));
    let until = state.cancelled.map_or_else(String::new, |last| format!(" until {last}"));
    format!("addition {} {verb} {}{amount}{until}", id_of(line), line.billed_quantity().shown())
}

fn addition_of(line: &Line) -> Option<AdditionId> {
    match &line.target {
        Target::Existing(id) => Some(*id),
        Target::CreatedBy(_) => None,
    }
}

/// The id of a line, for a sentence.
pub fn id_of(line: &Line) -> String {
    match &line.target {
        Target::Existing(id) => id.to_string(),
        Target::CreatedBy(change) => change.to_string(),
    }
}
