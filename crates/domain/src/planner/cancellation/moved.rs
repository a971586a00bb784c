//! A cancellation after another one that was to end the subscription on another day: the end moves. What the other one
//! ended for a later day goes on up to the new one, and what it charged for its day gives way to what this one charges.

use super::{Ending, fee, last_day, lines_to_end, touched_by_person, usual_last_day};
use crate::feed::{Charge, Order, OrderKind};
use crate::finding::{Code, Finding, Severity};
use crate::ids::{OrderId, ProductId};
use crate::period::{PeriodError, next_day};
use crate::plan::Role;
use crate::planner::AdoptionAnswer;
use crate::planner::builder::Builder;
use crate::planner::context::Stop;
use crate::planner::late;
use crate::planner::lines::bill_once;
use crate::planner::over;
use crate::planner::picture::Line;
use crate::planner::sales::once_item;
use jiff::civil::Date;

/// The cancellation before this one, and how the end moves.
pub(super) struct Moved {
    before: Order,
    /// The last day by that one.
    from: Date,
    /// The last day by this one.
    to: Date,
}

impl Moved {
    /// Where another cancellation stands that ended the subscription in another period, or on another day where
    /// ConnectWise bills by the day.
    pub(super) fn of(builder: &Builder<'_, '_>, order: &Order) -> Result<Option<Self>, PeriodError> {
        let Some(before) = over::cancelled_before(builder) else { return Ok(None) };
        let agreement = builder.context.agreement;
        let last = |day| usual_last_day(builder, agreement, day);
        let (from, to) = (last(before.effective), last(builder.not_before_go_live(order.effective)));
        let period = |day| builder.period_of(order.period, day);
        let differs = from != to && (agreement.prorates || period(from)? != period(to)?);
        Ok(differs.then(|| Self { before: before.clone(), from, to }))
    }

    /// The fee and the money back of the other one, which no invoice has billed: where this one charges the same, that
    /// takes their place; what was to be given back of days that go on is not.
    fn charges<'a>(&self, builder: &Builder<'_, 'a>, order: &Order) -> Vec<Line<'a>> {
        let charges = |charge: Charge| order.lines.iter().any(|line| line.charge == charge);
        let goes = |line: &&Line<'a>| {
            let Some(origin) = line.origin.as_ref().filter(|o| o.order() == Some(&self.before.id)) else {
                return false;
            };
            match origin.role() {
                Role::Cancellation => charges(Charge::Cancellation),
                Role::Refund => self.to > self.from || charges(Charge::Refund),
                Role::Recurring
                | Role::Setup
                | Role::Overuse
                | Role::Prorate
                | Role::OneTime
                | Role::Quantity => false,
            }
        };
        builder.own_lines().filter(goes).cloned().collect()
    }

    /// Whether an invoice has billed what this one would charge once more.
    pub(super) fn is_charged(&self, builder: &Builder<'_, '_>, order: &Order) -> bool {
        self.charges(builder, order).iter().any(|line| builder.is_billed(line))
    }

    /// Moves the end: nothing of it where it cannot be told what goes on.
    pub(super) fn carry_out(
        &self,
        builder: &mut Builder<'_, '_>,
        order: &Order,
        ending: &Ending,
    ) -> Result<(), Stop> {
        if self.to > self.from {
            if let Some(why) = self.cannot_go_on(builder, order) {
                return Err(self.wait(builder, order, why));
            }
            for line in self.that_go_on(builder, ending) {
                self.go_on(builder, order, ending, &line)?;
            }
        }
        let reason = || format!("Order {} takes the place of order {}.", order.shown(), self.before.shown());
        for line in self.charges(builder, order) {
            if !builder.is_billed(&line) && !touched_by_person(&line) {
                builder.delete(&line, reason())?;
            }
        }
        Ok(())
    }

    fn go_on<'a>(
        &self,
        builder: &mut Builder<'_, 'a>,
        order: &Order,
        ending: &Ending,
        line: &Line<'a>,
    ) -> Result<(), Stop> {
        let Some(agreement) = builder.agreement_of(line) else { return Ok(()) };
        let last = last_day(builder, agreement, line, ending);
        let reason = format!(
            "Order {} cancels for {}, order {} did for {}: the line goes on up to {last}.",
            order.shown(),
            order.effective,
            self.before.shown(),
            self.before.effective
        );
        builder.put_off(line, last, ending.period, reason)
    }

    /// The lines that a cancellation has ended and that nothing followed on.
    fn that_go_on<'a>(&self, builder: &Builder<'_, 'a>, ending: &Ending) -> Vec<Line<'a>> {
        let cancellations = || over::carried_out(builder).filter(|o| o.kind == OrderKind::Cancellation);
        let by_one = |by: &OrderId| late::is_older(builder, by) && cancellations().any(|o| o.id == *by);
        let is_last = |line: &Line<'_>, last: Date| {
            let product = line.origin.as_ref().map(|o| o.product());
            !builder.own_lines().any(|other| {
                product.is_some_and(|product| other.is_for(product, Role::Recurring))
                    && other.state.effective > last
            })
        };
        let goes_on = |line: &Line<'a>| {
            let (Some(last), Some(agreement)) = (line.state.cancelled, builder.agreement_of(line)) else {
                return false;
            };
            last < last_day(builder, agreement, line, ending)
                && over::ender(builder, line).is_some_and(by_one)
                && !touched_by_person(line)
                && is_last(line, last)
        };
        lines_to_end(builder).into_iter().filter(goes_on).collect()
    }

    /// Why it cannot be told what goes on from the other end to this one.
    fn cannot_go_on(&self, builder: &Builder<'_, '_>, order: &Order) -> Option<String> {
        if builder.adoption() == AdoptionAnswer::CreateBeside {
            return None;
        }
        let by = &self.before.id;
        if builder.own_links().iter().any(|l| l.removed_by() == Some(by) && l.order.as_ref() != Some(by)) {
            return Some("and took away what was never billed".to_owned());
        }
        let is_its = |line: &Line<'_>, role| {
            line.is_made_by(Some(by)) && line.origin.as_ref().is_some_and(|o| o.role() == role)
        };
        // What is charged after its period is billed as billing orders bill it (D211).
        if builder.own_lines().any(|l| is_its(l, Role::Prorate) || is_its(l, Role::Recurring)) {
            return Some("and billed what was used alone".to_owned());
        }
        if builder.own_lines().any(|l| is_its(l, Role::Refund) && builder.is_billed(l)) {
            return Some("and gave money back, which is invoiced".to_owned());
        }
        if let Some(day) = completed_on(order).filter(|day| *day > self.from) {
            return Some(format!("and it was over when this one was ordered on {day}"));
        }
        let part = builder.own_lines().find(|l| self.is_of_the_last_days(builder, l))?;
        let origin = part.origin.as_ref()?;
        Some(format!(
            "and order {} changed {} for its last days alone",
            origin.order()?,
            builder.context.product_name(origin.product())
        ))
    }

    /// Whether a line bills a change up to the other end that no line goes on with.
    fn is_of_the_last_days(&self, builder: &Builder<'_, '_>, part: &Line<'_>) -> bool {
        let Some(origin) = part.origin.as_ref().filter(|o| o.role() == Role::Prorate) else { return false };
        let Some(by) = origin.order() else { return false };
        let end = origin.true_period().map(|p| p.end()).or(part.state.cancelled.map(next_day));
        let product: &ProductId = origin.product();
        let has_line = builder.own_lines().any(|l| {
            l.is_for(product, Role::Recurring)
                && (l.is_made_by(Some(by))
                    || l.origin
                        .as_ref()
                        .is_some_and(|o| o.edits().iter().any(|e| e.order.as_ref() == Some(by))))
        });
        let leaves_nothing = over::carried_out(builder).any(|o| o.id == *by && over::ends(o, product));
        end.is_some_and(|end| end > self.from) && !has_line && !leaves_nothing
    }

    /// Keeps the order back.
    fn wait(&self, builder: &mut Builder<'_, '_>, order: &Order, why: String) -> Stop {
        let message = format!(
            "Order {} cancels subscription {} for {}, and order {} cancelled it for {}, {why}: what goes on until then \
             cannot be told, and nothing bills it.",
            order.shown(),
            builder.context.task.subscription,
            order.effective,
            self.before.shown(),
            self.before.effective
        );
        let finding = Finding::new(Code::Tu5001, builder.context.subject(), message)
            .severity(Severity::Error)
            .fix(
                "Ignore the task where the subscription ended by the first one. Where it went on, have the source send a \
                 change with an old quantity of 0 that says what is billed from then on, and carry this order out with \
                 `--no-adopt`.",
            );
        builder.withhold(finding);
        builder.keep_all_back()
    }
}

/// Where a cancellation that was completed later, before this one's end, was carried out first: its end stays, and of this
/// one what it charges besides. Whether it is so.
pub(super) fn stands_later(builder: &mut Builder<'_, '_>, order: &Order, day: Date) -> Result<bool, Stop> {
    let last = usual_last_day(builder, builder.context.agreement, day);
    let in_time = |later: &&Order| completed_on(later).is_some_and(|completed| completed <= last);
    let younger = over::younger(builder).filter(|o| o.kind == OrderKind::Cancellation).filter(in_time);
    let Some(later) = younger.max_by_key(|o| o.completed_us).cloned() else { return Ok(false) };
    let message = format!(
        "Order {} cancels subscription {} for {}, and order {}, which was completed later, cancelled it for {}: that end \
         stays.",
        order.shown(),
        builder.context.task.subscription,
        order.effective,
        later.shown(),
        later.effective
    );
    let finding = Finding::new(Code::Tu5001, builder.context.subject(), message).severity(Severity::Warning);
    builder.find(finding);
    let has_fee = later.lines.iter().any(|line| line.charge == Charge::Cancellation);
    for line in &order.lines {
        match line.charge {
            Charge::Cancellation if !has_fee => fee(builder, order, line, day)?,
            Charge::Overuse | Charge::Setup | Charge::Upgrade | Charge::OneTime | Charge::Discount => {
                let Some(item) = once_item(builder, line)? else { continue };
                bill_once(builder, line, item, order.period, line.period.unwrap_or(order.period))?;
            }
            Charge::Cancellation | Charge::Refund | Charge::Recurring | Charge::Prorate => {}
        }
    }
    Ok(true)
}

/// The civil date on which an order was completed.
fn completed_on(order: &Order) -> Option<Date> {
    order.completed_at.get(..10)?.parse().ok()
}
