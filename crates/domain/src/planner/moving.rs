//! Lines that another agreement, or another line, takes the place of because a person said so: a chosen agreement takes
//! the subscription over from the next open period, and a line that a mapping names bills instead of the one that trueup
//! wrote. Both happen before the task itself is planned, so that it finds the lines where they go on.

use super::agreement::Choice;
use super::builder::{Builder, NewLine};
use super::by_hand;
use super::context::{Billing, Stop};
use super::late;
use super::lines::{self, Existing};
use super::part::{Expressed, Named};
use super::picture::Line;
use crate::feed::{Charge, Order, OrderKind};
use crate::finding::{Code, Severity};
use crate::ids::{AdditionId, OrderId, ProductId};
use crate::money::{Exact, Quantity};
use crate::period::{Period, PeriodError, next_day, previous_day};
use crate::plan::{AdditionLink, Role, Target};
use crate::psa::{Agreement, AgreementStatus, CatalogItem};
use jiff::civil::Date;
use std::collections::BTreeMap;

/// What the task asks for: an order, or the reconciliation of a period.
#[derive(Clone, Copy)]
struct Asked<'o> {
    order: Option<&'o Order>,
    period: Option<Period>,
}

/// Brings the lines of the subscription to where a person said that it is billed.
pub fn plan(
    builder: &mut Builder<'_, '_>,
    order: Option<&Order>,
    period: Option<Period>,
) -> Result<(), Stop> {
    // A transfer says itself where lines end and begin.
    let kind = order.map(|order| order.kind);
    if kind == Some(OrderKind::Transfer) || builder.own_links().is_empty() {
        return Ok(());
    }
    replace_by_named(builder)?;
    // What is used is billed on the chosen agreement, and moves nothing.
    if kind == Some(OrderKind::Billing) || builder.context.choice != Choice::Chosen {
        return Ok(());
    }
    take_over(builder, Asked { order, period })
}

/// The last day that an agreement which is over can bill, as far as it tells.
fn over(builder: &Builder<'_, '_>, agreement: &Agreement) -> Option<Over> {
    let today = builder.context.world.today;
    let passed = agreement.end.filter(|end| *end < today);
    match agreement.status {
        AgreementStatus::Cancelled => Some(Over { last: passed, writable: false }),
        AgreementStatus::Expired => Some(Over { last: passed, writable: true }),
        AgreementStatus::Active | AgreementStatus::Inactive => {
            passed.map(|last| Over { last: Some(last), writable: true })
        }
    }
}

/// How an agreement that is over stands.
#[derive(Clone, Copy)]
struct Over {
    last: Option<Date>,
    /// Whether its lines can still be dated to end.
    writable: bool,
}

/// The open lines of the subscription, each with its product and its addition.
fn open_lines<'a>(builder: &Builder<'_, 'a>) -> Vec<(ProductId, AdditionId, Line<'a>)> {
    let here = |line: &&Line<'a>| {
        builder.agreement_of(line).is_some_and(|agreement| agreement.company == builder.context.company)
    };
    let recurring = builder.own_lines().filter(here).filter_map(|line| {
        let origin = line.origin.as_ref().filter(|origin| origin.role() == Role::Recurring)?;
        match line.target {
            Target::Existing(id) => Some((origin.product().clone(), id, line.clone())),
            Target::CreatedBy(_) => None,
        }
    });
    let mut lines: Vec<_> = recurring.collect();
    lines.sort_by_key(|(_, id, _)| *id);
    lines
}

/// Ends the own line of a product where a mapping names another that goes on: one that trueup did not write, entered
/// after the own one was.
fn replace_by_named(builder: &mut Builder<'_, '_>) -> Result<(), Stop> {
    let order = builder.context.order_id();
    // Few subscriptions have lines that a mapping names.
    let is_named = |line: &Line<'_>| {
        line.origin.as_ref().is_some_and(|origin| !builder.named_additions(origin.product()).is_empty())
    };
    if !builder.context.world.mappings.names_additions() || !builder.own_lines().any(is_named) {
        return Ok(());
    }
    let mut open: BTreeMap<ProductId, Vec<(AdditionId, Line<'_>)>> = BTreeMap::new();
    for (product, id, line) in open_lines(builder) {
        if line.state.is_open() && !line.is_made_by(order) && !builder.named_additions(&product).is_empty() {
            open.entry(product).or_default().push((id, line));
        }
    }
    for (product, lines) in open {
        let (named, own): (Vec<_>, Vec<_>) =
            lines.into_iter().partition(|(_, line)| builder.is_named_by_mapping(line, &product));
        // Of several nobody has said which one the other stands for.
        let [(id, own)] = own.as_slice() else { continue };
        let entered_later = |line: &Line<'_>, named: AdditionId| match &line.origin {
            None => true,
            Some(origin) => {
                let by_hand = origin.order().is_none() && line.key().is_none() && named > *id;
                by_hand && line.is_of(builder.context.subscription_no, &product, Role::Recurring)
            }
        };
        let here = |line: &Line<'_>| {
            builder.agreement_of(line).is_some_and(|a| a.company == builder.context.company)
        };
        let instead = builder.named_additions(&product).into_iter().find_map(|named| {
            let line = builder.read_line(named)?;
            (line.state.is_open() && here(&line) && entered_later(&line, named)).then_some(line)
        });
        let Some(instead) = instead else { continue };
        if named.is_empty() {
            match builder.context.billing_of(&product) {
                Some(Billing::As(item)) => {
                    by_hand::named(builder, &product, item, instead.state.effective, false);
                }
                Some(Billing::Not) | None => {
                    builder.mapped_lines(&product);
                }
            }
        }
        let name = builder.context.product_name(&product);
        let reason = format!(
            "Addition {} was named as the line of {name}, and takes the place of the one that trueup wrote.",
            by_hand::id_of(&instead)
        );
        end_old(builder, own, (&instead, instead.state.effective), reason)?;
    }
    Ok(())
}

/// Ends a line that another takes the place of from a day on, with the last day that it can bill. What invoices have
/// billed of both is told.
fn end_old<'a>(
    builder: &mut Builder<'_, 'a>,
    old: &Line<'a>,
    (instead, begin): (&Line<'a>, Date),
    reason: String,
) -> Result<(), Stop> {
    let Some(agreement) = builder.agreement_of(old) else { return Ok(()) };
    let paid = builder.last_invoiced_day(agreement);
    if let Some(over) = over(builder, agreement) {
        let last = over.last.or(paid).unwrap_or(previous_day(old.state.effective));
        let last = old.state.cancelled.map_or(last, |ended| ended.min(last));
        match over.writable {
            true => builder.end_by_nobody(old, last, reason)?,
            false => builder.ends_with(old, last),
        }
        return Ok(());
    }
    let billed = paid.filter(|_| builder.is_billed(old));
    let last = billed.into_iter().fold(builder.last_before(agreement, begin), Date::max);
    if old.state.cancelled.is_some_and(|at| at <= last) {
        return Ok(());
    }
    let (first, paid_to) = (begin.max(old.state.effective), billed.map(next_day));
    let both = builder.agreement_of(instead).and_then(|home| {
        let other = builder.open_from(home).filter(|_| builder.is_billed(instead))?;
        Period::new(first, paid_to?.min(other)).ok()
    });
    if let (Some(days), Some(origin)) = (both, &old.origin) {
        let product = origin.product().clone();
        let anchor = period_at(builder, first, None)?;
        let units = builder.units_in(days, anchor)?;
        let worth = old.state.unit_price.exact().times(old.state.quantity.exact())?.times(units)?;
        let (one, other) = (by_hand::id_of(old), by_hand::id_of(instead));
        let why =
            format!("additions {one} and {other} were both invoiced, and one of them is given back by hand");
        builder.left_out(&product, days, Exact::ZERO.minus(worth)?, &why)?;
    }
    builder.end_by_nobody(old, last, reason)
}

/// The period of the subscription that holds a day.
fn period_at(
    builder: &Builder<'_, '_>,
    day: Date,
    reconciled: Option<Period>,
) -> Result<Period, PeriodError> {
    let context = builder.context;
    match context.order_period {
        Some(period) => builder.period_of(period, day),
        None => {
            let sold = context.subscription.map(|sold| sold.period.map_or(sold.start, Period::start));
            let anchor = sold.or(reconciled.map(Period::start)).unwrap_or(day);
            context.cycle.period_containing(anchor, day)
        }
    }
}

/// The first day from `day` on with which a period of the subscription begins.
fn boundary_from(builder: &Builder<'_, '_>, day: Date, asked: Asked<'_>) -> Result<Date, PeriodError> {
    let own = period_at(builder, day, asked.period)?;
    Ok(if own.start() == day { day } else { own.end() })
}

/// Brings what other agreements of the company bill to the one that a person chose.
fn take_over(builder: &mut Builder<'_, '_>, asked: Asked<'_>) -> Result<(), Stop> {
    let context = builder.context;
    if builder.own_lines().all(|line| line.agreement == context.agreement.id) {
        return Ok(());
    }
    let mut gone_on: BTreeMap<(ProductId, Option<OrderId>), usize> = BTreeMap::new();
    let all = open_lines(builder);
    let lines = all.into_iter().filter(|(_, _, line)| line.agreement != context.agreement.id);
    for (product, id, line) in lines.collect::<Vec<_>>() {
        let Some(home) = builder.agreement_of(&line) else { continue };
        // What is billed by another cycle ends by its own periods, with the order that switches it.
        let alike = home.billing_cycle.is_some_and(|cycle| cycle.same_length(context.cycle))
            && home.currency == Some(context.currency);
        if !alike {
            continue;
        }
        let order = late::given_by(&line).cloned();
        let known: Vec<&AdditionLink> = gone_on_from(builder, &product, (id, &line), home).collect();
        let before = gone_on.entry((product.clone(), order)).or_default();
        let next = known.get(*before).map(|link| (link.addition, link.written.effective));
        *before += 1;
        one(builder, asked, &product, home, &line, next)?;
    }
    Ok(())
}

/// What goes on from a line on other agreements: what an earlier run brought there, in the order in which it did. The end
/// of a line on an agreement that takes no writes shows nowhere, so what a person named instead of it counts as well.
fn gone_on_from<'s, 'a>(
    builder: &'s Builder<'_, 'a>,
    product: &'s ProductId,
    (id, line): (AdditionId, &'s Line<'a>),
    home: &Agreement,
) -> impl Iterator<Item = &'a AdditionLink> + 's {
    let is_undone = |link: &AdditionLink| {
        link.deleted && link.removed_by().is_some() && link.removed_by() == link.order.as_ref()
    };
    let silent = over(builder, home).is_some_and(|over| !over.writable) || is_ended_by_hand(line);
    // What the plan that brought it over put in its place, and what followed that, goes on for it.
    let goes_on = move |link: &AdditionLink| {
        let after = |other: &&AdditionLink| {
            other.agreement == link.agreement && other.addition >= link.addition && !other.deleted
        };
        silent || builder.own_links_for(product, Role::Recurring).any(|other| after(&other))
    };
    builder.own_links_for(product, Role::Recurring).filter(move |link| {
        let brought = link.agreement != line.agreement && link.order.as_ref() == late::given_by(line);
        let named = silent && link.order.is_none() && link.key.is_none();
        link.addition > id && (brought || named) && !is_undone(link) && goes_on(link)
    })
}

/// Whether a person dated the line to end.
fn is_ended_by_hand(line: &Line<'_>) -> bool {
    let written = line.origin.as_ref().map(|origin| origin.written().cancelled);
    line.state.cancelled.is_some() && written.is_some_and(|written| written != line.state.cancelled)
}

/// Whether a person named another line of the company that bills the product: that one goes on, and nothing beside it.
fn is_another_named(builder: &Builder<'_, '_>, product: &ProductId, line: &Line<'_>) -> bool {
    if builder.is_named_by_mapping(line, product) {
        return false;
    }
    builder.named_additions(product).into_iter().filter_map(|id| builder.read_line(id)).any(|named| {
        let here = builder.agreement_of(&named).is_some_and(|a| a.company == builder.context.company);
        here && named.state.is_open()
    })
}

/// Whether the task says that a product is there: then what a person ended elsewhere goes on where the subscription was
/// brought to.
fn is_sold(builder: &Builder<'_, '_>, asked: Asked<'_>, product: &ProductId) -> bool {
    match asked.order {
        Some(order) => order.lines.iter().any(|line| {
            line.charge == Charge::Recurring
                && line.product == *product
                && line.old_quantity.is_none_or(|old| !old.is_zero())
                && matches!(order.kind, OrderKind::Change | OrderKind::Renewal)
        }),
        None => builder.context.subscription.is_some_and(|sold| {
            sold.items.iter().any(|item| item.product == *product && !item.quantity.is_zero())
                || sold.plan.as_ref().is_some_and(|plan| plan.product == *product)
        }),
    }
}

fn one<'a>(
    builder: &mut Builder<'_, 'a>,
    asked: Asked<'_>,
    product: &ProductId,
    home: &'a Agreement,
    line: &Line<'a>,
    next: Option<(AdditionId, Date)>,
) -> Result<(), Stop> {
    let context = builder.context;
    let agreement = context.agreement;
    let over = over(builder, home);
    let cancels = asked.order.is_some_and(|order| order.kind == OrderKind::Cancellation);
    let by_person = is_ended_by_hand(line);
    let paid = builder.open_from(home);
    let billed_to = over.map(|over| over.last.map(next_day).or(paid).unwrap_or(line.state.effective));
    let ended = line.state.cancelled.map(next_day);
    let ended_by_hand = ended.filter(|_| by_person);
    let reason = format!(
        "Agreement {} is chosen for the subscription, and takes over what addition {} bills.",
        agreement.id,
        by_hand::id_of(line)
    );
    if let Some((addition, begin)) = next {
        // It was brought over before: it ends here, where it has not yet.
        match ended_by_hand.map(previous_day) {
            Some(last) => builder.ends_with(line, last),
            None => {
                let there = builder.read_line(addition).unwrap_or_else(|| line.clone());
                end_old(builder, line, (&there, begin), reason)?;
            }
        }
        return Ok(());
    }
    if is_another_named(builder, product, line) {
        return Ok(());
    }
    if ended_by_hand.is_some() && !is_sold(builder, asked, product) {
        return Ok(());
    }
    // The first day that is not billed where the line is.
    let free = match (billed_to, ended_by_hand) {
        (Some(over), Some(ended)) => over.min(ended),
        (Some(day), None) | (None, Some(day)) => day,
        (None, None) => {
            let target = match (asked.order, asked.period) {
                (Some(order), _) => {
                    let day = order.effective.max(order.period.start());
                    period_at(builder, day, None)?.start()
                }
                (None, Some(period)) => period.start(),
                (None, None) => context.world.today,
            };
            let open_here = builder.open_from(agreement);
            let begins = agreement.bill_start.into_iter().chain([target, line.state.effective]);
            begins.chain(paid).chain(open_here).max().unwrap_or(target)
        }
    };
    let by_days = home.prorates && over.is_some();
    let free = if by_days { free } else { boundary_from(builder, free, asked)? }.max(line.state.effective);
    if ended.filter(|_| !by_person).is_some_and(|ended| ended <= free) {
        // It ends before.
        return Ok(());
    }
    if cancels && asked.order.is_none_or(|order| billed_to.is_none() || order.effective <= free) {
        // A cancellation ends it where it is.
        if let (Some(over), None) = (over.filter(|over| !over.writable), line.state.cancelled) {
            builder.ends_with(line, over.last.or(paid.map(previous_day)).unwrap_or(line.state.effective));
        }
        return Ok(());
    }
    let line = &match ended_by_hand {
        Some(day) => {
            tell_ended(builder, product, line, day);
            line.clone()
        }
        None => match lines::judge(builder, product, line.clone()) {
            Existing::Line(line) => *line,
            Existing::Nothing | Existing::Undecided | Existing::Several => return Ok(()),
        },
    };
    let Some(item) = item_of(builder, product, line) else { return Ok(()) };
    let begin = begin_of(builder, asked, product, line, free)?;
    let last = line.state.cancelled.filter(|_| !by_person);
    let period = period_at(builder, begin, asked.period)?;
    let new = continued(builder, product, line, item, (begin, reason.clone()))?;
    if !builder.go_on_here(line, new, (begin, last), period)? || by_person {
        if by_person && let Some(now) = builder.picture.now(line).cloned() {
            // Known now, so that nobody asks about its end any more.
            builder.ends_with(&now, now.state.cancelled.unwrap_or(previous_day(free)));
        }
        return Ok(());
    }
    let Some(now) = builder.picture.now(line).cloned() else { return Ok(()) };
    end_old(builder, &now, (&now, free), reason)
}

/// The first day on the chosen agreement. What lies before its first billed day is told with its amount.
fn begin_of<'a>(
    builder: &mut Builder<'_, 'a>,
    asked: Asked<'_>,
    product: &ProductId,
    line: &Line<'a>,
    free: Date,
) -> Result<Date, Stop> {
    let agreement = builder.context.agreement;
    let Some(first) = agreement.bill_start.filter(|first| *first > free) else { return Ok(free) };
    let begin = boundary_from(builder, first, asked)?;
    let (days, anchor) = (Period::new(free, begin)?, period_at(builder, free, asked.period)?);
    let units = builder.units_in(days, anchor)?;
    let worth = line.state.unit_price.exact().times(line.state.quantity.exact())?.times(units)?;
    let why = format!(
        "neither agreement {} bills them any more nor agreement {} yet",
        line.agreement, agreement.id
    );
    builder.left_out(product, days, worth, &why)?;
    Ok(begin)
}

/// The catalog item that the line goes on as: its own, where that can be billed still.
fn item_of<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    line: &Line<'a>,
) -> Option<&'a CatalogItem> {
    let context = builder.context;
    if !line.less_included.is_zero() {
        let message = format!(
            "{} of {} {} are included and not billed on its addition: on agreement {} all of them would be billed.",
            line.less_included.shown(),
            line.state.quantity.shown(),
            context.product_name(product),
            context.agreement.id
        );
        let fix = "End the addition in ConnectWise and enter it on that agreement by hand, then name it by a mapping of \
                   kind addition.";
        let finding = builder.about(Code::Tu7002, product, message).fix(fix);
        builder.withhold(finding);
        return None;
    }
    let own = context.world.snapshot.catalog.get(&line.state.catalog_item);
    let mapped = match context.billing_of(product) {
        Some(Billing::As(item)) => Some(item),
        Some(Billing::Not) | None => None,
    };
    let item = own.filter(|item| !item.inactive && !item.bundle).or(mapped);
    if item.is_none() {
        let message = format!(
            "{} is billed as catalog item {}, which cannot be billed any more: it is not brought to agreement {}.",
            context.product_name(product),
            line.state.catalog_item,
            context.agreement.id
        );
        let finding = builder.about(Code::Tu2004, product, message);
        builder.withhold(finding);
    }
    item
}

/// The same state as a line of the chosen agreement.
fn continued<'a>(
    builder: &Builder<'_, 'a>,
    product: &ProductId,
    line: &Line<'a>,
    item: &'a CatalogItem,
    (begin, reason): (Date, String),
) -> Result<NewLine<'a>, Stop> {
    let state = &line.state;
    let (quantity, price, cost): (Quantity, _, _) = (state.quantity, state.unit_price, state.unit_cost);
    let since = late::since(line);
    Ok(NewLine {
        // The old line tells it apart from what the order itself writes.
        line_id: format!("moved/{}", by_hand::id_of(line)),
        product: product.clone(),
        item,
        role: Role::Recurring,
        money: Expressed {
            quantity,
            unit_price: price,
            unit_cost: cost,
            exact: price.exact().times(quantity.exact())?,
            exact_cost: cost.exact().times(quantity.exact())?,
            named: Named::default(),
            formula: format!("{} x {}", quantity.shown(), price.shown(builder.context.currency)),
        },
        description: state.description.clone(),
        bill: state.bill,
        taxable: state.taxable,
        // It moves with the invoices; the line that it goes on from does not.
        key_day: Some(line.state.effective),
        since: Some(since).filter(|since| *since < begin),
        reason,
    })
}

/// Says that what a person ended goes on.
fn tell_ended(builder: &mut Builder<'_, '_>, product: &ProductId, line: &Line<'_>, day: Date) {
    let message = format!(
        "Addition {} ({}) was ended by a person on {}; agreement {} is chosen for the subscription, and it goes on there.",
        by_hand::id_of(line),
        builder.context.product_name(product),
        previous_day(day),
        builder.context.agreement.id
    );
    let finding = builder.about(Code::Tu3008, product, message).severity(Severity::Warning);
    builder.find(finding);
}
