//! Where lines may be dated: legal days, days that are invoiced already, whole periods.

use super::{Builder, NewLine, safe_text};
use crate::billing;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::ProductId;
use crate::money::{Exact, Quantity};
use crate::period::{CycleUnit, Period, PeriodError, next_day, previous_day};
use crate::plan::Role;
use crate::planner::context::Stop;
use crate::planner::part::{self, Prices};
use crate::planner::picture::Line;
use crate::planner::text::text;
use crate::proration::Share;
use crate::psa::{AdditionState, Agreement, BillFlag};
use jiff::civil::Date;

/// The edge that a part of a period shares with all of it.
#[derive(Clone, Copy)]
pub enum Edge {
    /// Its start: what was used of it.
    Start,
    /// Its end: what begins within it.
    End,
}

/// Where a line may be dated.
enum Place {
    /// On these days; `moved` when they are not its true ones.
    On { effective: Date, last: Date, moved: bool },
    /// In days that are not billed: nothing is written.
    Unbilled,
    /// Not at all.
    Illegal(Box<Finding>),
}

impl<'a> Builder<'_, 'a> {
    /// Where a one-time line for `true_days` may be dated on `agreement`, not before the first billed day.
    fn place_in_invoices(
        &self,
        agreement: &'a Agreement,
        true_days: Period,
        role: Role,
        first: Option<Date>,
    ) -> Place {
        let world = self.context.world;
        if first.is_some_and(|day| true_days.end() <= day) {
            return Place::Unbilled;
        }
        let true_days = first.and_then(|day| true_days.from_day(day)).unwrap_or(true_days);
        let billed_by = self.invoicing(agreement);
        let illegal = |code: Code, message: String| {
            let subject = Subject { agreement: Some(agreement.id), ..self.context.subject() };
            Place::Illegal(Box::new(Finding::new(code, subject, message)))
        };
        let floor = billed_by.bill_start.or(agreement.bill_start);
        let invoiced = self.is_invoiced(agreement, true_days.start());
        if let Some(floor) = floor.filter(|floor| true_days.start() < *floor && !invoiced) {
            let message = format!(
                "{} cannot be billed on agreement {}: billing starts on {floor}, the first legal date.",
                true_days, agreement.id
            );
            return illegal(Code::Tu4001, message);
        }
        if let Some(end) = agreement.end.filter(|end| true_days.start() > *end) {
            let message = format!("{true_days} lies after the end of agreement {} on {end}.", agreement.id);
            return illegal(Code::Tu4003, message);
        }
        let open = billing::open_period(world.snapshot, agreement);
        if invoiced {
            let Some(open) = open else {
                let message =
                    format!("Agreement {} has no next invoice date to move {true_days} to.", agreement.id);
                return illegal(Code::Tu4002, message);
            };
            if let Some(end) = agreement.end.filter(|end| open.start() > *end) {
                let message = format!(
                    "{true_days} is invoiced and agreement {} ends on {end}, before the next.",
                    agreement.id
                );
                return illegal(Code::Tu4002, message);
            }
            return Place::On { effective: open.start(), last: open.last_day(), moved: true };
        }
        // ConnectWise would prorate a one-time line by its dates: over a whole period it bills the whole amount.
        if agreement.prorates && role != Role::Prorate {
            let cycle = billed_by.billing_cycle.or(agreement.billing_cycle);
            let laid_from = |cycle| billed_by.laid_from(cycle).or_else(|| agreement.laid_from(cycle));
            if let Some((cycle, anchor)) = cycle.and_then(|cycle| Some((cycle, laid_from(cycle)?)))
                && let Ok(own) = cycle.period_containing(anchor, true_days.start())
            {
                // No line bills all of a first period that is cut short: the next one is whole.
                let is_cut = floor.is_some_and(|floor| own.start() < floor);
                let next = is_cut.then(|| cycle.period_containing(anchor, own.end()).ok()).flatten();
                let whole = next.unwrap_or(own);
                return Place::On {
                    effective: whole.start(),
                    last: whole.last_day(),
                    moved: whole != true_days,
                };
            }
        }
        // An invoice bills a line whole on any of its days: days that lie on two invoices would be billed twice.
        let last = match billing::invoice_period(world.snapshot, agreement, true_days.start()) {
            Some(invoice) if !agreement.prorates => invoice.last_day().min(true_days.last_day()),
            Some(_) | None => true_days.last_day(),
        };
        Place::On { effective: true_days.start(), last, moved: last != true_days.last_day() }
    }

    /// Where a one-time line may be dated: no later than the agreement itself.
    fn place(&self, agreement: &'a Agreement, true_days: Period, role: Role, first: Option<Date>) -> Place {
        match self.place_in_invoices(agreement, true_days, role, first) {
            Place::On { effective, last, moved } => {
                let ends = agreement.end.map_or(last, |end| last.min(end.max(effective)));
                Place::On { effective, last: ends, moved: moved || ends != last }
            }
            nowhere => nowhere,
        }
    }

    /// Writes a line for `true_days` once. Nothing is written when it is there already.
    pub fn one_time(
        &mut self,
        agreement: &'a Agreement,
        mut line: NewLine<'a>,
        true_days: Period,
    ) -> Result<(), Stop> {
        let key = self.key(&line.line_id, line.role, true_days.start());
        let as_it_is = |there: &AdditionState| {
            let is_plain =
                there.effective == true_days.start() && there.cancelled == Some(true_days.last_day());
            (!is_plain).then_some(true_days)
        };
        if self.is_there(&key, &line, as_it_is) {
            return Ok(());
        }
        let first = self.context.billed_from(&line.product);
        let (effective, last, moved) = match self.place(agreement, true_days, line.role, first) {
            Place::On { effective, last, moved } => (effective, last, moved),
            Place::Unbilled => {
                self.tell_unbilled(&line.product, true_days, Some(line.money.exact))?;
                return Ok(());
            }
            Place::Illegal(finding) => {
                self.withhold(*finding);
                return Ok(());
            }
        };
        let name = self.context.product_name(&line.product);
        let mut reason = std::mem::take(&mut line.reason);
        if moved && self.is_invoiced(agreement, true_days.start()) {
            let message = format!(
                "{true_days} is invoiced already on agreement {}: {name} is billed in the open period {effective} to \
                 {last} and names its true period.",
                agreement.id
            );
            let finding = self.about(Code::Tu4002, &line.product, message).severity(Severity::Warning);
            self.find(finding);
            reason.push_str(&format!(
                " Its period is invoiced already, so it is billed {effective} to {last}."
            ));
        }
        let said = line.description.as_deref().unwrap_or(name);
        let on_invoice = safe_text(text(format_args!("{said} ({true_days})")));
        let wanted = AdditionState {
            catalog_item: line.item.id,
            quantity: line.money.quantity,
            unit_price: line.money.unit_price,
            unit_cost: line.money.unit_cost,
            effective,
            cancelled: Some(last),
            bill: line.bill,
            taxable: line.taxable,
            description: line.description.take(),
            invoice_description: Some(on_invoice),
        };
        self.tell_cut_by_end(agreement, &line.product, &wanted, true_days)?;
        self.push_create(agreement, line, wanted, key, moved.then_some(true_days), reason)
    }

    /// Says what a one-time line loses where its agreement ends within the invoice that bills it and prorates: no line may go on
    /// after the agreement, and ConnectWise bills the share of the days up to its end.
    fn tell_cut_by_end(
        &mut self,
        agreement: &Agreement,
        product: &ProductId,
        wanted: &AdditionState,
        true_days: Period,
    ) -> Result<(), Stop> {
        let Some(end) = agreement.end.filter(|end| wanted.cancelled == Some(*end)) else { return Ok(()) };
        if wanted.bill != BillFlag::Billable {
            return Ok(());
        }
        let all = billing::extended(wanted, Quantity::ZERO, self.context.currency)?;
        let short = all.minus(self.billed_once(agreement, wanted)?)?.price;
        let why = format!(
            "agreement {} ends on {end} and prorates by itself, so ConnectWise bills a share of the line",
            agreement.id
        );
        Ok(self.left_out(product, true_days, short.exact(), &why)?)
    }

    /// Writes an open-ended line from `start` on (or up to `last`, for a commitment). Days of it that are invoiced
    /// already are billed once, in the open period.
    pub fn recurring(
        &mut self,
        agreement: &'a Agreement,
        mut line: NewLine<'a>,
        start: Date,
        last: Option<Date>,
        anchor: Period,
    ) -> Result<(), Stop> {
        let key = self.key(&line.line_id, line.role, line.key_day.unwrap_or(start));
        let since = line.since.unwrap_or(start);
        let held_before = |effective: Date| {
            Period::new(since, effective.max(next_day(since))).ok().filter(|_| since != effective)
        };
        if self.is_there(&key, &line, |there| held_before(there.effective)) {
            // The days before it have a line of their own, which the run that wrote this one may not have come to.
            let moved = self.picture.find_key(&key).and_then(Line::moved_to);
            if let Some(next) = moved.filter(|next| line.key_day.is_none() && *next > start) {
                let until = self.paid_for(agreement, last.map_or(next, |last| next.min(next_day(last))));
                self.catch_up(agreement, &line, start, until, anchor)?;
            }
            return Ok(());
        }
        if last.is_some_and(|last| last < start) {
            return Ok(());
        }
        self.is_nobody_elses(agreement, &line)?;
        let billed_by = self.invoicing(agreement);
        let mut effective = start;
        let moves = !agreement.prorates && self.is_invoiced(agreement, start);
        let first = if moves { billed_by.next_invoice.unwrap_or(start) } else { start };
        if let Some(end) = agreement.end.filter(|end| first > *end) {
            let message =
                format!("The line would start on {first}; agreement {} ends on {end}.", agreement.id);
            let finding = self.about(Code::Tu4003, &line.product, message);
            self.withhold(finding);
            return Ok(());
        }
        let mut reason = std::mem::take(&mut line.reason);
        if moves {
            let next = first;
            let message = format!(
                "{start} to {} is invoiced already on agreement {}: the line starts on {next}, and a one-time line \
                 carries what those days would have cost.",
                previous_day(next),
                agreement.id
            );
            let finding = self.about(Code::Tu4002, &line.product, message).severity(Severity::Warning);
            self.find(finding);
            reason.push_str(&format!(" The days before {next} are invoiced already, so it starts there."));
            let until = self.paid_for(agreement, last.map_or(next, |last| next.min(next_day(last))));
            self.catch_up(agreement, &line, start, until, anchor)?;
            self.tell_caught_up_by_shares(&line.product, agreement, Period::new(start, next)?);
            effective = next;
        } else if let Some(floor) = billed_by.bill_start.filter(|floor| start < *floor) {
            let message = format!(
                "The line cannot start on {start}: billing of agreement {} starts on {floor}, the first legal date.",
                agreement.id
            );
            let finding = self.about(Code::Tu4001, &line.product, message);
            self.withhold(finding);
            return Ok(());
        }
        if last.is_some_and(|last| last < effective) {
            return Ok(());
        }
        let wanted = AdditionState {
            catalog_item: line.item.id,
            quantity: line.money.quantity,
            unit_price: line.money.unit_price,
            unit_cost: line.money.unit_cost,
            effective,
            cancelled: last,
            bill: line.bill,
            taxable: line.taxable,
            description: line.description.take(),
            invoice_description: None,
        };
        self.push_create(agreement, line, wanted, key, held_before(effective), reason)
    }

    /// A one-time line for the days from `start` to `next` that were invoiced before the line could be written.
    pub(super) fn catch_up(
        &mut self,
        agreement: &'a Agreement,
        line: &NewLine<'a>,
        start: Date,
        next: Date,
        anchor: Period,
    ) -> Result<(), Stop> {
        let key = self.key(&line.line_id, Role::Prorate, start);
        let before = self.picture.find_key(&key).and_then(|there| there.origin.as_ref()?.true_period());
        if let Some(end) = before.map(Period::end).filter(|end| *end < next) {
            // An earlier run came this far: what was invoiced since then follows on it.
            self.is_there(&key, &NewLine { role: Role::Prorate, ..line.clone() }, |_| before);
            return self.catch_up(agreement, line, end, next, anchor);
        }
        let days = Period::new(start, next)?;
        let units = self.units_in(days, anchor)?;
        let settings = self.context.world.settings;
        let currency = self.context.currency;
        let (num, den) = units.parts();
        let share = Share::of(units)?;
        let prices = Prices { price: line.money.unit_price, cost: line.money.unit_cost, cost_known: true };
        let mut money = part::prorated(settings, currency, prices, line.money.quantity, share)?;
        if den == 1 {
            money.formula = format!(
                "{} x {num} periods; {} x {}",
                prices.price.shown(currency),
                money.quantity.shown(),
                money.unit_price.shown(currency)
            );
        }
        let catch_up = NewLine {
            role: Role::Prorate,
            money,
            reason: format!("{days} was invoiced before this line could be written."),
            ..line.clone()
        };
        self.one_time(agreement, catch_up, days)
    }

    /// The day that the cycle is laid from so that `period` is one of its periods. The period's own start will not do
    /// where its month has no such day: what begins on the 31st is billed from the 30th in April.
    pub(super) fn anchor_of(&self, period: Period) -> Date {
        let cycle = self.context.cycle;
        let subscription = self.context.subscription;
        let candidates = [
            self.anchor_near(period.start()),
            subscription.map(|s| s.start),
            self.context.agreement.bill_start,
            Some(period.end()),
        ];
        let fits =
            |anchor: &Date| cycle.period_containing(*anchor, period.start()).is_ok_and(|p| p == period);
        candidates.into_iter().flatten().find(fits).unwrap_or(period.start())
    }

    /// The anchor day that the record names, in the last month before `edge`, or in its own, that has it and that lies whole
    /// cycles before.
    fn anchor_near(&self, edge: Date) -> Option<Date> {
        let cycle = self.context.cycle;
        let day = i8::try_from(self.context.subscription?.anchor_day?).ok()?;
        let by_months = cycle.unit == CycleUnit::Month || cycle.unit == CycleUnit::Year;
        (0..24).filter(|_| by_months).find_map(|n| {
            let month = cycle.boundary(edge.first_of_month(), -n).ok()?;
            (month.days_in_month() >= day).then(|| month.with().day(day).build().ok()).flatten()
        })
    }

    /// The whole period that a part is of whose start, or end, is one of the period as well. What the record says of its
    /// periods comes first: they may be laid from a day that a month lacks, which the part's own edge does not tell.
    pub(in crate::planner) fn whole_around(&self, part: Period, known: Edge) -> Result<Period, PeriodError> {
        let cycle = self.context.cycle;
        let record = self.context.subscription;
        let current = record.and_then(|record| record.period).and_then(|now| {
            let anchor = self.anchor_of(now);
            (cycle.period_containing(anchor, now.start()) == Ok(now)).then_some(anchor)
        });
        let around = |anchor: Date, day: Date| {
            let whole = cycle.period_containing(anchor, day).ok()?;
            (whole.start() <= part.start() && part.end() <= whole.end()).then_some(whole)
        };
        let on_edge = |anchor: Option<Date>| {
            let whole = around(anchor?, part.start())?;
            let is_known = match known {
                Edge::Start => whole.start() == part.start(),
                Edge::End => whole.end() == part.end(),
            };
            is_known.then_some(whole)
        };
        let edge = match known {
            Edge::Start => part.start(),
            Edge::End => part.end(),
        };
        if let Some(whole) = on_edge(self.anchor_near(edge)).or_else(|| on_edge(current)) {
            return Ok(whole);
        }
        let next = cycle.boundary(part.start(), 1)?;
        if next <= part.end() {
            return Ok(part);
        }
        let started = || on_edge(record.map(|record| record.start));
        if let Some(whole) = current.and_then(|anchor| around(anchor, part.start())).or_else(started) {
            return Ok(whole);
        }
        match known {
            Edge::Start => Period::new(part.start(), next),
            Edge::End => {
                let start = cycle.boundary(part.end(), -1)?;
                if start < part.start() { Period::new(start, part.end()) } else { Ok(part) }
            }
        }
    }

    /// How many periods of the cycle, laid from `anchor`, the days are: whole ones and shares.
    pub fn units_in(&self, days: Period, anchor: Period) -> Result<Exact, Stop> {
        let mut units = Exact::ZERO;
        let mut at = days.start();
        let laid_from = self.anchor_of(anchor);
        // One step a period: 600 are 50 years of months, and days further apart than that are not billed by anyone.
        for _ in 0..600 {
            if at >= days.end() {
                break;
            }
            let period = self.context.cycle.period_containing(laid_from, at)?;
            let part = period.intersect(days).unwrap_or(period);
            units = units.plus(self.share(period, part)?.exact()?)?;
            at = period.end();
        }
        Ok(units)
    }
}
