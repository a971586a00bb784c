//! Reconciliation: the lines of a subscription against what ConnectWise bills in a period, without part periods.

mod levels;
mod prices;

use super::AdoptionAnswer;
use super::builder::{Builder, NewLine};
use super::by_hand::{self, NamedLine};
use super::cancellation::usual_last_day;
use super::context::Stop;
use super::lines::{self, Existing, PartPolicy, billed_quantity, item_of, part_policy, write_once};
use super::part::{self, Kept, Prices};
use super::picture::Line;
use crate::feed::{PlanFee, Subscription, SubscriptionItem};
use crate::finding::{Code, Finding, Severity};
use crate::ids::ProductId;
use crate::money::{Exact, Money, Quantity};
use crate::period::{Period, next_day, previous_day};
use crate::plan::{Role, Target as PlanTarget};
use crate::psa::{BillFlag, CatalogItem};
use crate::task::Beside;
use jiff::civil::Date;

struct Target<'s> {
    line_id: String,
    product: &'s ProductId,
    quantity: Quantity,
    price: Option<Money>,
    cost: Option<Money>,
    /// The price that the record names of the product, where lines can be held against it.
    said: Option<Money>,
}

fn targets(subscription: &Subscription) -> Vec<Target<'_>> {
    let item = |i: &'_ SubscriptionItem| (i.id.clone(), i.quantity, i.included_quantity.unwrap_or_default());
    let mut wanted: Vec<Target<'_>> = subscription
        .items
        .iter()
        .filter_map(|i| {
            let (line_id, quantity, included) = item(i);
            // What is included in the plan is not billed (A17).
            let quantity = quantity.minus(included).ok().filter(|q| !q.is_negative())?;
            // Of several items of a product nothing tells which of them a line bills.
            let alone = subscription.items.iter().filter(|other| other.product == i.product).count() == 1;
            let (product, price) = (&i.product, i.unit_price);
            Some(Target {
                line_id,
                product,
                quantity,
                price,
                cost: i.unit_cost,
                said: price.filter(|_| alone),
            })
        })
        .collect();
    wanted.extend(subscription.plan.as_ref().map(|PlanFee { product, unit_price, unit_cost }| Target {
        line_id: "plan".into(),
        product,
        quantity: Quantity::from(1),
        price: Some(*unit_price),
        cost: *unit_cost,
        said: Some(*unit_price),
    }));
    wanted
}

/// What is reconciled.
#[derive(Clone, Copy)]
struct Wish {
    /// The billing period.
    period: Period,
    /// Whether lines may be proposed for days that are invoiced.
    confirm_invoiced: bool,
    /// The first day that is not sold any more, where the subscription ended.
    ended: Option<Date>,
}

/// Plans the reconciliation of one subscription.
pub fn plan(
    builder: &mut Builder<'_, '_>,
    period: Option<Period>,
    confirm_invoiced: bool,
    beside: &Beside,
) -> Result<(), Stop> {
    let Some(subscription) = builder.context.subscription else { return Ok(()) };
    if !subscription.status.bills() && beside.ended.is_none() {
        return Ok(());
    }
    if subscription.billing_model != crate::feed::BillingModel::Advance {
        let message = "The subscription is charged after its period: its billing orders bill it, and there is nothing \
                       to reconcile.";
        let finding = Finding::new(Code::Tu4004, builder.context.subject(), message).severity(Severity::Info);
        builder.find(finding);
        return Ok(());
    }
    let world = builder.context.world;
    let anchor = subscription.period.map_or(subscription.start, Period::start);
    let period = match period {
        Some(period) => period,
        None => subscription.billing_cycle.period_containing(anchor, world.today)?,
    };
    let wish = Wish { period, confirm_invoiced, ended: beside.ended };
    let sold = subscription.after_trial().map_or(subscription.start, |first| first.max(subscription.start));
    let start = builder.not_before_go_live(period.start()).max(sold);
    let mut wanted = targets(subscription);
    levels::with_what_went(&mut wanted, beside);
    for mut target in wanted {
        if super::quantity::is_refused(builder, target.product, target.quantity) {
            continue;
        }
        let start = builder.not_before_billed(target.product, start);
        if start >= period.end() {
            continue;
        }
        levels::before_what_changed_it(builder, &target, start, wish, beside)?;
        levels::before_what_is_open(&mut target, beside);
        let quantity = billed_quantity(builder, target.product, target.quantity);
        if quantity.is_zero() {
            continue;
        }
        if levels::is_held_as_ended(builder, &target, wish, beside) {
            continue;
        }
        let Some(item) = item_of(builder, target.product)? else { continue };
        one(builder, &target, quantity, item, start, wish)?;
    }
    super::copies::tell(builder);
    end_what_ended(builder, wish)
}

/// Ends what still bills of a subscription that is over.
fn end_what_ended(builder: &mut Builder<'_, '_>, wish: Wish) -> Result<(), Stop> {
    let Some(ended) = wish.ended else { return Ok(()) };
    let open: Vec<Line> = builder
        .own_lines()
        .filter(|l| l.state.is_open() && l.origin.as_ref().is_some_and(|o| o.role() == Role::Recurring))
        .cloned()
        .collect();
    for line in open {
        let product = line.origin.as_ref().map_or_else(|| ProductId::from(""), |o| o.product().clone());
        let Existing::Line(line) = lines::judge(builder, &product, line) else { continue };
        let Some(agreement) = builder.agreement_of(&line) else { continue };
        let mut last = usual_last_day(builder, agreement, ended);
        let credits = builder.context.world.settings.credits.is_on();
        let invoiced = builder.last_invoiced_day(agreement).filter(|_| builder.is_billed(&line) && !credits);
        if let Some(invoiced) = invoiced.filter(|invoiced| last < *invoiced) {
            let name = builder.context.product_name(&product);
            let message = format!(
                "{name} ended on {ended}, but is invoiced to {invoiced}, and credits are off: it ends on {invoiced}."
            );
            let finding = builder.about(Code::Tu4005, &product, message);
            builder.find(finding);
            last = invoiced;
        }
        let reason = format!("The subscription ended on {ended}, and the line goes on.");
        builder.end(&line, last, reason)?;
    }
    Ok(())
}

fn one<'a>(
    builder: &mut Builder<'_, 'a>,
    target: &Target<'_>,
    quantity: Quantity,
    item: &'a CatalogItem,
    start: Date,
    wish: Wish,
) -> Result<(), Stop> {
    let period = wish.period;
    let product = target.product;
    let name = builder.context.product_name(product);
    // An unclaimed line is only taken over when someone said so; A7 is for orders.
    let claimed = builder.unclaimed(item, start);
    let ours = builder.own_lines().any(|l| l.is_for(product, Role::Recurring));
    let mapped = match by_hand::named(builder, product, item, start, true) {
        NamedLine::Unusable => return Ok(()),
        NamedLine::Line(_) => true,
        NamedLine::None => false,
    };
    if !ours && !mapped && !claimed.is_empty() && builder.adoption() != AdoptionAnswer::CreateBeside {
        if let ([single], AdoptionAnswer::TakeSingle) = (claimed.as_slice(), builder.adoption()) {
            let single = single.clone();
            if let Some(last) = by_hand::end_of(builder, &single) {
                by_hand::tell_end(builder, product, &single, last);
                return Ok(());
            }
            builder.adopt(&single, product);
            let name = builder.context.product_name(product);
            by_hand::tell_price(builder, product, name, &single, target.price);
        } else {
            let finding = lines::several_open(builder, product, &claimed).severity(Severity::Warning);
            builder.withhold(finding);
            return Ok(());
        }
    }
    let existing = if builder.adoption() == AdoptionAnswer::CreateBeside && !ours && !mapped {
        Existing::Nothing
    } else {
        lines::existing_line(builder, product, item, start)
    };
    let existing = match existing {
        Existing::Undecided | Existing::Several => return Ok(()),
        Existing::Line(line) => Some(*line),
        Existing::Nothing if by_hand::is_elsewhere(builder, product, item, start, Severity::Warning) => {
            return Ok(());
        }
        Existing::Nothing => None,
    };
    let agreement = builder.context.agreement;
    let begin = builder.last_invoiced_day(agreement).map_or(start, |last| start.max(next_day(last)));
    // What several lines bill together is the level that is judged.
    let lines = named_together(builder, product, existing.as_ref(), begin);
    let existing = existing.map(|one| lines::together(&one, &lines, begin)).transpose()?;
    // A line that begins after the period is not the line of it: it stays, and what is sold before it has its own.
    let later = existing.clone().filter(|l| l.state.is_open() && l.state.effective > begin.max(period.end()));
    let until = later.as_ref().map(|l| previous_day(l.state.effective));
    let existing = match &later {
        Some(later) => {
            let of_it = builder.own_lines().filter(|l| l.is_for(product, Role::Recurring));
            of_it.filter(|l| l.target != later.target).find(|l| l.state.bills_on(begin)).cloned()
        }
        None => existing,
    };
    // A line of the right level that begins once the period is over, or with the next invoice, is the line asked for:
    // an order's part, or an invoice that was made, lies before it.
    let in_time = |l: &Line| {
        l.state.bills_on(begin) || (l.state.is_open() && l.state.effective <= begin.max(period.end()))
    };
    let right = existing.as_ref().filter(|l| l.state.quantity == quantity && in_time(l));
    let is_to_change = |right: &Line<'_>| prices::is_to_change(builder, target, right, &lines, begin);
    if let Some(right) = right.filter(|right| wish.ended.is_some() || !is_to_change(right)) {
        prices::tell(builder, target, right, &lines, begin);
        by_hand::tell_if_not_billed(builder, product, right, quantity);
        end_what_it_replaced(builder, product, right, &lines, period)?;
        // What ended is not kept, but ended.
        if wish.ended.is_none() || !right.state.is_open() {
            builder.keep(right, Role::Recurring, product, target.line_id.clone());
        }
        return Ok(());
    }
    let ends = wish.ended.map(|ended| usual_last_day(builder, agreement, ended));
    if ends.is_some_and(|last| last < start) {
        return Ok(());
    }
    let Some(prices) = prices::prices_of(builder, target, item, existing.as_ref()) else { return Ok(()) };
    let repriced = existing.as_ref().filter(|old| old.state.quantity == quantity && in_time(old));
    if let Some(old) = repriced {
        prices::tell_change(builder, target, old, prices.price);
    }
    if builder.is_invoiced(agreement, start) && !wish.confirm_invoiced {
        let message =
            format!("{start} is invoiced already on agreement {}; say so again to write it.", agreement.id);
        let finding = builder.about(Code::Tu4002, product, message);
        builder.withhold(finding);
        return Ok(());
    }
    if let Some(old) = existing.as_ref().filter(|_| repriced.is_none()) {
        let message = format!(
            "The subscription has {} {name}, the addition bills {}.",
            quantity.shown(),
            old.state.quantity.shown()
        );
        let finding = builder.about(Code::Tu5001, product, message);
        builder.find(finding);
        super::quantity::tell_fall(builder, product, old.state.quantity, quantity);
    }
    // Where nothing bills it, the invoiced days that were confirmed are caught up; a line of another level is replaced
    // from the next invoice on, or from where it begins.
    let begin = match &existing {
        Some(old) => begin.max(if old.state.is_open() { old.state.effective } else { begin }),
        None => start,
    };
    let settings = builder.context.world.settings;
    // A line that replaces another needs a key of its own: the one it replaces may be of the same period.
    let line_id = match existing.as_ref().map(|l| &l.target) {
        Some(PlanTarget::Existing(id)) if repriced.is_some() => {
            format!("{}/{}@{}/{id}", target.line_id, quantity.shown(), prices.price)
        }
        Some(PlanTarget::Existing(id)) => format!("{}/{}/{id}", target.line_id, quantity.shown()),
        Some(PlanTarget::CreatedBy(_)) | None => target.line_id.clone(),
    };
    let mut since = None;
    if let (Some(old), Some(paid)) = (&existing, builder.last_invoiced_day(agreement).map(next_day))
        && let Ok(days) = Period::new(start, paid)
    {
        // What is told of these days is settled: no order that comes later bills them again.
        since = Some(start).filter(|_| begin <= paid);
        let units = builder.units_in(days, period)?;
        let new = prices.price.exact().times(quantity.exact())?;
        let was = old.state.unit_price.exact().times(old.state.quantity.exact())?;
        let why = format!("{days} is invoiced already, and the line is replaced from the next invoice on");
        builder.left_out(product, days, new.minus(was)?.times(units)?, &why)?;
    }
    let line = NewLine {
        line_id,
        product: product.clone(),
        item,
        role: Role::Recurring,
        money: part::open_ended(settings, builder.context.currency, prices, quantity, Kept::default())?,
        description: builder.description(product, None),
        bill: existing.as_ref().map_or(BillFlag::Billable, |l| l.state.bill),
        taxable: existing.as_ref().and_then(|l| l.state.taxable),
        key_day: None,
        since,
        reason: match &existing {
            Some(old) if repriced.is_some() => format!(
                "The subscription has {name} at {}, and the addition that bills it at {}.",
                prices.price.shown(builder.context.currency),
                old.state.unit_price.shown(builder.context.currency)
            ),
            Some(old) => format!(
                "The subscription has {} {name}, and the addition that bills it {}.",
                quantity.shown(),
                old.state.quantity.shown()
            ),
            None => {
                format!(
                    "The subscription has {} {name} and ConnectWise does not bill them.",
                    quantity.shown()
                )
            }
        },
    };
    let until = until.into_iter().chain(ends).min();
    let begin = match &existing {
        None => first_part(builder, &line, prices, (begin, until))?,
        Some(_) => begin,
    };
    builder.recurring(agreement, line, begin, until, period)?;
    for old in
        existing.iter().filter_map(|old| builder.picture.now(old).cloned()).chain(lines).collect::<Vec<_>>()
    {
        let old = &old;
        let reason = match repriced {
            Some(_) => format!("The subscription has {name} at another price."),
            None => format!("The subscription has {} {name} instead.", quantity.shown()),
        };
        let last = builder.agreement_of(old).map_or(previous_day(begin), |a| builder.last_before(a, begin));
        builder.end(old, last, reason)?;
    }
    Ok(())
}

/// Ends lines of ours that go on beside one that an earlier reconciliation wrote in their place: it broke off before it
/// ended them. What invoices have billed twice since is told.
fn end_what_it_replaced<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    right: &Line<'a>,
    together: &[Line<'a>],
    period: Period,
) -> Result<(), Stop> {
    let by_reconciliation = |l: &Line<'_>| l.origin.as_ref().is_some_and(|o| o.order().is_none());
    if right.key().is_none() || !by_reconciliation(right) || !together.is_empty() {
        return Ok(());
    }
    let older = |l: &&Line<'a>| {
        l.is_for(product, Role::Recurring)
            && l.target != right.target
            && l.agreement == right.agreement
            && l.state.is_open()
            && l.state.effective <= right.state.effective
    };
    let left: Vec<Line<'a>> = builder.own_lines().filter(older).cloned().collect();
    for line in left {
        let Existing::Line(line) = lines::judge(builder, product, line) else { continue };
        let Some(agreement) = builder.agreement_of(&line) else { continue };
        let first = right.state.effective;
        let paid = builder.last_invoiced_day(agreement).map_or(first, next_day).max(first);
        if let Ok(twice) = Period::new(first, paid) {
            let units = builder.units_in(twice, period)?.times(line.state.quantity.exact())?;
            let billed = line.state.unit_price.exact().times(units)?;
            let why =
                "another line billed these days as well, and no invoice is changed: credit them by hand";
            builder.left_out(product, twice, Exact::ZERO.minus(billed)?, why)?;
        }
        let reason = format!(
            "Addition {} took its place, and the run that wrote it broke off before it ended this one.",
            match &right.target {
                PlanTarget::Existing(id) => id.to_string(),
                PlanTarget::CreatedBy(_) => "that is to be created".to_owned(),
            }
        );
        let last = builder.last_before(agreement, paid);
        builder.end(&line, last, reason)?;
    }
    Ok(())
}

/// What begins within a period of the subscription, after days that are not billed, is billed once for the rest of it: an
/// open-ended line would bill all of it. Gives the day on which the open-ended line begins.
fn first_part<'a>(
    builder: &mut Builder<'_, 'a>,
    line: &NewLine<'a>,
    prices: Prices,
    (begin, until): (Date, Option<Date>),
) -> Result<Date, Stop> {
    let context = builder.context;
    let Some(sold) = context.subscription else { return Ok(begin) };
    let anchor = sold.period.map_or(sold.start, Period::start);
    let own = context.cycle.period_containing(anchor, begin)?;
    let unbilled = [context.billed_from(&line.product), sold.after_trial()].contains(&Some(begin));
    let open = !context.agreement.prorates && !builder.is_invoiced(context.agreement, begin);
    let end = until.map_or(own.end(), |last| own.end().min(next_day(last)));
    let Some(days) = Period::new(begin, end).ok().filter(|_| unbilled && open && begin > own.start()) else {
        return Ok(begin);
    };
    let share = builder.share(own, days)?;
    match part_policy(builder)? {
        PartPolicy::Connectwise => return Ok(begin),
        PartPolicy::LeftOut(why) => {
            let exact = prices.price.exact().times(line.money.quantity.exact())?.times(share.exact()?)?;
            builder.left_out(&line.product, days, exact, why)?;
        }
        PartPolicy::Line(home) => {
            let settings = context.world.settings;
            let money = part::prorated(settings, context.currency, prices, line.money.quantity, share)?;
            let reason = format!("{} {days} is billed once.", line.reason);
            let (id, item) = (line.line_id.as_str(), line.item);
            write_once(builder, home, id, &line.product, item, Role::Prorate, money, None, reason, days)?;
        }
    }
    Ok(own.end())
}

/// The other lines that a person named as the product's line together with this one.
fn named_together<'a>(
    builder: &mut Builder<'_, 'a>,
    product: &ProductId,
    one: Option<&Line<'a>>,
    begin: Date,
) -> Vec<Line<'a>> {
    let Some(one) = one.filter(|one| builder.is_named_by_mapping(one, product)) else { return Vec::new() };
    let all = builder.mapped_lines(product).into_iter();
    all.filter(|line| line.target != one.target && line.state.bills_on(begin)).collect()
}
