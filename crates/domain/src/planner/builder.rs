//! Building the changes of one task: placing lines on legal days, and keeping picture, findings and money in step.

use super::AdoptionAnswer;
use super::context::{Context, Stop, subject_of};
use super::mark::Mark;
use super::part::{self, Expressed, Prices};
use super::picture::{Line, Origin, Picture, State, change_id};
use super::text::text;
use crate::billing::{self, PriceAndCost};
use crate::desired::Fields;
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{AdditionId, ChangeId, ProductId};
use crate::money::{Exact, Money, MoneyError, Quantity};
use crate::period::{CycleUnit, Period, PeriodError, next_day, previous_day};
use crate::plan::{
    Action, AdditionLink, Adoption, Change, DraftPlan, KeyParts, OperationKey, Role, Target, TaskOutcome,
    edit_key,
};
use crate::proration::{self, ProrationError, Share};
use crate::psa::{AdditionState, Agreement, BillFlag, CatalogItem};
use jiff::civil::Date;
use std::borrow::Cow;

/// A line to be written, before it is placed.
#[derive(Clone)]
pub struct NewLine<'a> {
    /// Line of the order it comes from.
    pub line_id: String,
    /// Product.
    pub product: ProductId,
    /// Catalog item.
    pub item: &'a CatalogItem,
    /// What it is for.
    pub role: Role,
    /// Quantity and unit prices.
    pub money: Expressed,
    /// Text of the line; none leaves it to the catalog item.
    pub description: Option<String>,
    /// Bill flag, kept from the line it replaces.
    pub bill: BillFlag,
    /// Tax flag, kept from the line it replaces.
    pub taxable: Option<bool>,
    /// The day that its key is made of, where it is not the first day itself: the key must not move with the invoices.
    pub key_day: Option<Date>,
    /// The day since which the state holds that the line bills, where it is not its first day.
    pub since: Option<Date>,
    /// One sentence: why.
    pub reason: String,
}

/// What is written less what is exact.
struct Drift {
    exact: Exact,
    large: bool,
}

/// Where a line may be dated.
enum Place {
    /// On these days; `moved` when they are not its true ones.
    On { effective: Date, last: Date, moved: bool },
    /// Before go-live: nothing is written.
    BeforeGoLive,
    /// Not at all.
    Illegal(Box<Finding>),
}

/// The changes of one task as they come about.
pub struct Builder<'c, 'a> {
    /// What was resolved.
    pub context: &'c Context<'a>,
    /// The working picture.
    pub picture: &'c mut Picture<'a>,
    draft: &'c mut DraftPlan,
    /// What the draft held before the task.
    before: Mark,
    withheld: bool,
    last: Vec<LastStep<'a>>,
}

/// What is done once every new line of the task is written (decision A26).
enum LastStep<'a> {
    End(Box<Line<'a>>, Date, String),
    Delete(Box<Line<'a>>, String),
}

impl From<MoneyError> for Stop {
    fn from(error: MoneyError) -> Self {
        let message = format!("An amount cannot be computed: {error}.");
        let finding = Finding::new(Code::Tu4006, Subject::default(), message);
        Self { findings: vec![finding], outcome: TaskOutcome::Failed }
    }
}

impl From<ProrationError> for Stop {
    fn from(error: ProrationError) -> Self {
        let finding = Finding::new(Code::Tu4006, Subject::default(), format!("{error}."));
        Self { findings: vec![finding], outcome: TaskOutcome::Failed }
    }
}

impl From<PeriodError> for Stop {
    fn from(error: PeriodError) -> Self {
        let finding = Finding::new(Code::Tu4006, Subject::default(), format!("{error}."));
        Self { findings: vec![finding], outcome: TaskOutcome::Failed }
    }
}

impl<'c, 'a> Builder<'c, 'a> {
    /// Starts on the picture and the draft that the tasks before have left behind.
    pub fn new(context: &'c Context<'a>, picture: &'c mut Picture<'a>, draft: &'c mut DraftPlan) -> Self {
        let before = Mark::of(draft);
        Self { context, picture, draft, before, withheld: false, last: Vec::new() }
    }

    /// Tells what became of the task.
    pub fn finish(self) -> TaskOutcome {
        let writes = self.draft.changes[self.before.changes..].iter().any(Change::writes);
        let adopts = self.draft.adoptions.len() > self.before.adoptions;
        if self.context.choice == super::agreement::Choice::Only && (writes || adopts) {
            let task = self.context.task;
            self.draft.remembered.push((
                task.source.clone(),
                task.subscription.clone(),
                self.context.agreement.id,
            ));
        }
        match (self.withheld, writes) {
            (true, _) => TaskOutcome::Waiting,
            (false, true) => TaskOutcome::Planned,
            (false, false) => TaskOutcome::NothingToDo,
        }
    }

    /// Says something.
    pub fn find(&mut self, finding: Finding) {
        if !self.draft.findings[self.before.findings..].contains(&finding) {
            self.draft.findings.push(finding);
        }
    }

    /// Says something about a product, and keeps its line back: the task stays open.
    pub fn withhold(&mut self, finding: Finding) {
        self.withheld = true;
        self.find(finding);
    }

    /// What keeps a line back is an error where less should be billed: as long as nobody decides, too much is.
    pub fn waits_for_less(&mut self, product: &ProductId) {
        for finding in &mut self.draft.findings[self.before.findings..] {
            let of_it = finding.subject.product.as_ref() == Some(product);
            if of_it
                && matches!(finding.code, Code::Tu7002 | Code::Tu3008)
                && finding.severity == Severity::Warning
            {
                finding.severity = Severity::Error;
            }
        }
    }

    /// A finding about a product.
    pub fn about(&self, code: Code, product: &ProductId, message: impl Into<String>) -> Finding {
        Finding::new(code, self.context.subject_of_product(product), message)
    }

    /// What is left out, with its amount.
    /// The days tell two amounts of one product apart.
    pub fn left_out(
        &mut self,
        product: &ProductId,
        days: Period,
        amount: Exact,
        why: &str,
    ) -> Result<(), MoneyError> {
        if amount.is_zero() {
            return Ok(());
        }
        let currency = self.context.currency;
        let rounded = Money::new(amount.round(currency.places(), self.context.world.settings.rounding_mode)?);
        let name = self.context.product_name(product);
        let message =
            format!("{} {currency} for {name}, {days}, is left out: {why}.", rounded.shown(currency));
        let subject = Subject { detail: Some(days.to_string()), ..self.context.subject_of_product(product) };
        let finding = Finding::new(Code::Tu6005, subject, message).amount(rounded, currency);
        self.find(finding);
        Ok(())
    }

    fn order_text(&self) -> &'a str {
        let task = self.context.task;
        task.order_id.as_ref().map_or(task.subscription.as_str(), |o| o.as_str())
    }

    fn next_id(&self) -> ChangeId {
        change_id(self.draft.changes.len())
    }

    /// The agreement whose invoices bill `agreement`.
    pub fn invoicing(&self, agreement: &'a Agreement) -> &'a Agreement {
        self.context.world.snapshot.invoicing_agreement(agreement)
    }

    /// The lines of the subscription, whatever agreement they are on, in the order in which they came about.
    pub fn own_lines(&self) -> impl Iterator<Item = &Line<'a>> {
        self.picture.of_subscription(self.context.subscription_no)
    }

    /// What trueup wrote or took over for the subscription.
    pub fn own_links(&self) -> &'a [&'a AdditionLink] {
        self.context.index.links_of(self.context.subscription_no)
    }

    /// Whether `day` was invoiced on the agreement (or its parent), so that no line may be dated on it any more.
    pub fn is_invoiced(&self, agreement: &'a Agreement, day: Date) -> bool {
        self.invoicing(agreement).invoiced_before(day)
    }

    /// Whether an invoice has billed the line already.
    pub fn is_billed(&self, line: &Line) -> bool {
        self.agreement_of(line).is_some_and(|agreement| line.is_billed(agreement, self.invoicing(agreement)))
    }

    /// The last invoiced day, where anything was invoiced.
    pub fn last_invoiced_day(&self, agreement: &'a Agreement) -> Option<Date> {
        let next = self.invoicing(agreement).next_invoice?;
        let last = previous_day(next);
        self.is_invoiced(agreement, last).then_some(last)
    }

    /// The share of `period` that `charged` is, by the settings; the whole period is always the whole price.
    pub fn share(&self, period: Period, charged: Period) -> Result<Share, ProrationError> {
        if charged == period {
            return Ok(Share::WHOLE);
        }
        proration::share(self.context.world.settings.day_count, period, charged)
    }

    /// The agreement that prorated lines go to.
    pub fn proration_home(&self) -> &'a Agreement {
        self.context.proration_agreement.unwrap_or(self.context.agreement)
    }

    fn key(&self, line: &str, role: Role, start: Date) -> OperationKey {
        KeyParts {
            organization: self.context.world.organization,
            source: &self.context.task.source,
            order: self.order_text(),
            line,
            role,
            period_start: start,
            revision: self.context.task.undone,
        }
        .key()
    }

    /// Where a one-time line for `true_days` may be dated on `agreement`.
    fn place(&self, agreement: &'a Agreement, true_days: Period, role: Role) -> Place {
        let world = self.context.world;
        if self.context.billed_from.is_some_and(|day| true_days.end() <= day) {
            return Place::BeforeGoLive;
        }
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
            let anchor = billed_by.bill_start.or(agreement.bill_start).or(agreement.start);
            if let (Some(cycle), Some(anchor)) = (cycle, anchor)
                && let Ok(whole) = cycle.period_containing(anchor, true_days.start())
            {
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

    /// Writes a line for `true_days` once. Nothing is written when it is there already.
    pub fn one_time(
        &mut self,
        agreement: &'a Agreement,
        mut line: NewLine<'a>,
        true_days: Period,
    ) -> Result<(), Stop> {
        let key = self.key(&line.line_id, line.role, true_days.start());
        if self.is_there(&key, &line) {
            return Ok(());
        }
        let (effective, last, moved) = match self.place(agreement, true_days, line.role) {
            Place::On { effective, last, moved } => (effective, last, moved),
            Place::BeforeGoLive => {
                let go_live = self.context.world.settings.go_live;
                let why = if go_live.is_some_and(|day| true_days.end() <= day) {
                    "before go-live"
                } else {
                    "in the days that are not billed"
                };
                let message = format!(
                    "{} for {true_days} lies {why} and is not written.",
                    self.context.product_name(&line.product)
                );
                let finding = self.about(Code::Tu4002, &line.product, message).severity(Severity::Info);
                self.find(finding);
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
        let on_invoice = safe_text(&text(format_args!("{said} ({true_days})")));
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
        self.push_create(agreement, line, wanted, key, moved.then_some(true_days), reason)
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
        if self.is_there(&key, &line) {
            return Ok(());
        }
        if last.is_some_and(|last| last < start) {
            return Ok(());
        }
        let billed_by = self.invoicing(agreement);
        let mut effective = start;
        let mut reason = std::mem::take(&mut line.reason);
        if !agreement.prorates && self.is_invoiced(agreement, start) {
            let next = billed_by.next_invoice.unwrap_or(start);
            let message = format!(
                "{start} to {} is invoiced already on agreement {}: the line starts on {next}, and a one-time line \
                 carries what those days would have cost.",
                previous_day(next),
                agreement.id
            );
            let finding = self.about(Code::Tu4002, &line.product, message).severity(Severity::Warning);
            self.find(finding);
            reason.push_str(&format!(" The days before {next} are invoiced already, so it starts there."));
            let until = last.map_or(next, |last| next.min(next_day(last)));
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
        if let Some(end) = agreement.end.filter(|end| effective > *end) {
            let message =
                format!("The line would start on {effective}; agreement {} ends on {end}.", agreement.id);
            let finding = self.about(Code::Tu4003, &line.product, message);
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
        let since = line.since.unwrap_or(start);
        let held_before =
            Period::new(since, effective.max(next_day(since))).ok().filter(|_| since != effective);
        self.push_create(agreement, line, wanted, key, held_before, reason)
    }

    /// A one-time line for the days from `start` to `next` that were invoiced before the line could be written.
    fn catch_up(
        &mut self,
        agreement: &'a Agreement,
        line: &NewLine<'a>,
        start: Date,
        next: Date,
        anchor: Period,
    ) -> Result<(), Stop> {
        let days = Period::new(start, next)?;
        let units = self.units_in(days, anchor)?;
        let settings = self.context.world.settings;
        let currency = self.context.currency;
        let (num, den) = units.parts();
        let share = Share {
            charged: i64::try_from(num).map_err(|_| MoneyError::Overflow)?,
            whole: i64::try_from(den).map_err(|_| MoneyError::Overflow)?,
        };
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
    fn anchor_of(&self, period: Period) -> Date {
        let cycle = self.context.cycle;
        let subscription = self.context.subscription;
        let in_month = |day: i8| {
            let at = (0..24).find_map(|n| {
                let month = cycle.boundary(period.start().first_of_month(), -n).ok()?;
                (month.days_in_month() >= day).then(|| month.with().day(day).build().ok()).flatten()
            });
            at.filter(|_| cycle.unit == CycleUnit::Month || cycle.unit == CycleUnit::Year)
        };
        let said = subscription.and_then(|s| s.anchor_day);
        let candidates = [
            said.and_then(|day| in_month(i8::try_from(day).ok()?)),
            subscription.map(|s| s.start),
            self.context.agreement.bill_start,
            Some(period.end()),
        ];
        let fits =
            |anchor: &Date| cycle.period_containing(*anchor, period.start()).is_ok_and(|p| p == period);
        candidates.into_iter().flatten().find(fits).unwrap_or(period.start())
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

    /// The line that an earlier run of this task wrote for a line of the order.
    pub fn written(&self, line_id: &str, role: Role, day: Date) -> Option<&Line<'a>> {
        self.picture.find_key(&self.key(line_id, role, day))
    }

    fn is_there(&mut self, key: &OperationKey, line: &NewLine<'_>) -> bool {
        let Some(there) = self.picture.find_key(key).cloned() else {
            return self.context.index.was_removed(key);
        };
        self.push_keep(&there, key.clone(), line.role, &line.product, line.line_id.clone());
        true
    }

    /// Counts a line that is as it should be.
    pub fn keep(&mut self, line: &Line<'_>, role: Role, product: &ProductId, line_id: String) {
        let key = self.edit_key("keep", line, "");
        self.push_keep(line, key, role, product, line_id);
    }

    fn push_keep(
        &mut self,
        there: &Line<'_>,
        key: OperationKey,
        role: Role,
        product: &ProductId,
        line_id: String,
    ) {
        // One that the plan itself makes is counted there.
        let Target::Existing(_) = there.target else { return };
        let action = Action::Keep { target: there.target.clone(), before: (*there.state).clone() };
        let reason = "It is there already.".to_owned();
        self.push(action, key, role, product, there.agreement, line_id, reason, String::new());
    }

    fn push_create(
        &mut self,
        agreement: &'a Agreement,
        line: NewLine<'a>,
        wanted: AdditionState,
        key: OperationKey,
        true_period: Option<Period>,
        reason: String,
    ) -> Result<(), Stop> {
        let currency = self.context.currency;
        if wanted.quantity.is_zero() {
            return Ok(());
        }
        self.tell_drift(&line)?;
        let id = self.next_id();
        let task = self.context.task;
        let state = State::from(wanted.clone());
        let origin = Origin {
            subscription: Some(self.context.subscription_no),
            product: Cow::Owned(line.product.clone()),
            role: line.role,
            order: task.order_id.as_ref(),
            true_period,
            written: state.clone(),
            next_invoice_at_write: self.invoicing(agreement).next_invoice,
        };
        let amounts = match wanted.bill {
            BillFlag::Billable => billing::extended(&wanted, Quantity::ZERO, currency)?,
            BillFlag::DoNotBill | BillFlag::NoCharge => PriceAndCost::default(),
        };
        let formula = line.money.formula;
        let action = Action::Create { wanted };
        self.push(action, key.clone(), line.role, &line.product, agreement.id, line.line_id, reason, formula);
        if let Some(change) = self.draft.changes.last_mut() {
            change.amount = amounts.price;
            change.cost = amounts.cost;
            change.true_period = true_period;
        }
        self.picture.add(Line {
            target: Target::CreatedBy(id),
            agreement: agreement.id,
            state,
            less_included: Quantity::ZERO,
            key: Some(Cow::Owned(key.0)),
            origin: Some(origin),
        });
        Ok(())
    }

    /// The drift between exact and written amounts, of price and cost: a warning above the tolerance; always said where
    /// the amount is the source's own.
    fn tell_drift(&mut self, line: &NewLine<'_>) -> Result<(), Stop> {
        let currency = self.context.currency;
        let money = &line.money;
        let price = self.drift_of(money.drift(currency)?, money.named.price)?;
        let cost = self.drift_of(money.cost_drift(currency)?, money.named.cost)?;
        let plain = |value: Exact| -> Result<String, MoneyError> {
            Ok(value.round(12, crate::money::RoundingMode::HalfUp)?.normalize().to_string())
        };
        let mut said = Vec::new();
        if let Some(drift) = &price {
            let billed = money.unit_price.extended(money.quantity, currency)?;
            said.push(format!(
                "is billed as {} {currency}; exactly it is {}: a drift of {}",
                billed.shown(currency),
                plain(money.exact)?,
                plain(drift.exact)?
            ));
        }
        if let Some(drift) = &cost {
            let booked = money.unit_cost.extended(money.quantity, currency)?;
            said.push(format!(
                "has a cost of {} {currency}; exactly it is {}: a drift of {}",
                booked.shown(currency),
                plain(money.exact_cost)?,
                plain(drift.exact)?
            ));
        }
        let Some(first) = price.as_ref().or(cost.as_ref()) else { return Ok(()) };
        let large = price.as_ref().is_some_and(|d| d.large) || cost.as_ref().is_some_and(|d| d.large);
        let message = format!("{} {}.", self.context.product_name(&line.product), said.join("; it "));
        let severity = if large { Severity::Warning } else { Severity::Info };
        let subject =
            Subject { detail: Some(line.line_id.clone()), ..self.context.subject_of_product(&line.product) };
        let rounded = Money::new(first.exact.round(currency.places(), crate::money::RoundingMode::HalfUp)?);
        self.find(Finding::new(Code::Tu6006, subject, message).severity(severity).amount(rounded, currency));
        Ok(())
    }

    /// The tolerance of rounding in the currency of the task.
    pub fn tolerance(&self) -> Result<Exact, MoneyError> {
        part::tolerance(self.context.world.settings, self.context.currency)
    }

    /// A drift that is worth saying.
    fn drift_of(&self, exact: Exact, named: bool) -> Result<Option<Drift>, MoneyError> {
        let tolerance = self.tolerance()?;
        let size = if exact.is_negative() { Exact::ZERO.minus(exact)? } else { exact };
        let large = tolerance.minus(size)?.is_negative();
        Ok((!exact.is_zero() && (named || large)).then_some(Drift { exact, large }))
    }

    /// Ends a line on `last`, its last billed day. A line that never billed a day by then is removed.
    pub fn end(&mut self, line: &Line, last: Date, reason: String) -> Result<(), Stop> {
        if line.state.cancelled.is_some_and(|at| at <= last) {
            return Ok(());
        }
        if last < line.state.effective && !self.is_billed(line) {
            return self.delete(line, reason);
        }
        let wanted =
            AdditionState { cancelled: Some(last.max(line.state.effective)), ..(*line.state).clone() };
        self.tell_billed_again(line, last)?;
        self.edit(line, wanted, reason, EditKind::Cancel)
    }

    /// Ends a line after everything new of this task: whatever stops a run half way leaves too much, never too little.
    pub fn end_last(&mut self, line: &Line<'a>, last: Date, reason: String) {
        self.last.push(LastStep::End(Box::new(line.clone()), last, reason));
    }

    /// Removes a line after everything new of this task.
    pub fn delete_last(&mut self, line: &Line<'a>, reason: String) {
        self.last.push(LastStep::Delete(Box::new(line.clone()), reason));
    }

    /// Does what was put off to the end.
    pub fn last_steps(&mut self) -> Result<(), Stop> {
        for step in std::mem::take(&mut self.last) {
            match step {
                LastStep::End(line, last, reason) => self.end(&line, last, reason)?,
                LastStep::Delete(line, reason) => self.delete(&line, reason)?,
            }
        }
        Ok(())
    }

    /// Sets managed fields of a line.
    pub fn update(&mut self, line: &Line, wanted: AdditionState, reason: String) -> Result<(), Stop> {
        self.edit(line, wanted, reason, EditKind::Update)
    }

    fn edit(
        &mut self,
        line: &Line,
        wanted: AdditionState,
        reason: String,
        kind: EditKind,
    ) -> Result<(), Stop> {
        if Fields::between(&wanted, &line.state).is_empty() {
            return Ok(());
        }
        let before = (*line.state).clone();
        let op = match kind {
            EditKind::Cancel => "cancel",
            EditKind::Update => "update",
        };
        let AdditionState { cancelled, quantity, unit_price, unit_cost, .. } = &wanted;
        let goal = text(format_args!("{cancelled:?}/{quantity}/{unit_price}/{unit_cost}"));
        let key = self.edit_key(op, line, &goal);
        let effect = self.effect(line, Some(&wanted))?;
        let action = match kind {
            EditKind::Cancel => {
                Action::Cancel { target: line.target.clone(), before, wanted: wanted.clone() }
            }
            EditKind::Update => {
                Action::Update { target: line.target.clone(), before, wanted: wanted.clone() }
            }
        };
        let formula = match kind {
            EditKind::Cancel => {
                let last = wanted.cancelled.unwrap_or(wanted.effective);
                text(format_args!("last billed day {last}"))
            }
            EditKind::Update => {
                let unit = wanted.unit_price.shown(self.context.currency);
                text(format_args!("{} x {unit}", wanted.quantity.shown()))
            }
        };
        self.push_edit(action, key, line, reason, formula, effect);
        self.picture.set_state(line, wanted);
        Ok(())
    }

    /// Removes a line that was never billed.
    pub fn delete(&mut self, line: &Line, reason: String) -> Result<(), Stop> {
        let effect = self.effect(line, None)?;
        let key = self.edit_key("delete", line, "");
        let action = Action::Delete { target: line.target.clone(), before: (*line.state).clone() };
        self.push_edit(action, key, line, reason, "never billed".into(), effect);
        self.picture.remove(line);
        Ok(())
    }

    fn edit_key(&self, op: &str, line: &Line<'_>, goal: &str) -> OperationKey {
        let target = match &line.target {
            Target::Existing(id) => id.to_string(),
            // The line has no id yet: its own key stands for it.
            Target::CreatedBy(_) => {
                self.picture.now(line).and_then(|l| l.key.as_deref()).unwrap_or_default().to_owned()
            }
        };
        let organization = self.context.world.organization;
        match self.context.task.undone {
            0 => edit_key(organization, self.order_text(), op, &target, goal),
            // The same edit once more, after it was taken back, is another one.
            times => edit_key(organization, self.order_text(), &format!("{op}#{times}"), &target, goal),
        }
    }

    fn push_edit(
        &mut self,
        action: Action,
        key: OperationKey,
        line: &Line,
        reason: String,
        formula: String,
        effect: PriceAndCost,
    ) {
        let (role, product) = line
            .origin
            .as_ref()
            .map_or((Role::Recurring, ProductId::from("")), |o| (o.role, o.product.clone().into_owned()));
        self.push(action, key, role, &product, line.agreement, String::new(), reason, formula);
        if let Some(change) = self.draft.changes.last_mut() {
            change.catalog_item = line.state.catalog_item;
            change.amount = effect.price;
            change.cost = effect.cost;
            if let Target::CreatedBy(made_by) = &line.target {
                change.depends_on.push(made_by.clone());
            }
        }
    }

    /// What a change of a line adds to the next invoice.
    fn effect(&self, line: &Line, wanted: Option<&AdditionState>) -> Result<PriceAndCost, MoneyError> {
        let world = self.context.world;
        let Some(agreement) = self.agreement_of(line) else { return Ok(PriceAndCost::default()) };
        let Some(period) = billing::open_period(world.snapshot, agreement) else {
            return Ok(PriceAndCost::default());
        };
        let billed = |state: &AdditionState| {
            billing::billed_in(state, line.less_included, period, agreement.prorates, self.context.currency)
        };
        let before = billed(&line.state)?;
        let after = wanted.map_or(Ok(PriceAndCost::default()), billed)?;
        after.minus(before)
    }

    /// The agreement of a line.
    pub fn agreement_of(&self, line: &Line) -> Option<&'a Agreement> {
        self.context.world.snapshot.agreements.get(&line.agreement)
    }

    #[expect(clippy::too_many_arguments, reason = "one private place where a change is put together")]
    fn push(
        &mut self,
        action: Action,
        key: OperationKey,
        role: Role,
        product: &ProductId,
        agreement: crate::ids::AgreementId,
        line_id: String,
        reason: String,
        formula: String,
    ) {
        let task = self.context.task;
        let catalog_item = action
            .after()
            .or(action.before())
            .map_or(crate::ids::CatalogItemId(0), |state| state.catalog_item);
        self.draft.changes.push(Change {
            id: self.next_id(),
            action,
            key,
            role,
            task: task.id.clone(),
            order: task.order_id.clone(),
            line: (!line_id.is_empty()).then_some(line_id),
            source: task.source.clone(),
            subscription: task.subscription.clone(),
            customer: self.context.customer_id.clone(),
            product: product.clone(),
            company: self.context.company,
            agreement,
            catalog_item,
            currency: self.context.currency,
            true_period: None,
            amount: Money::ZERO,
            cost: Money::ZERO,
            reason,
            formula,
            depends_on: Vec::new(),
        });
    }

    /// Takes a line over: it becomes the subscription's recurring line for the product, without a write.
    pub fn adopt(&mut self, line: &Line<'a>, product: &ProductId) {
        let Target::Existing(addition) = line.target else { return };
        let task = self.context.task;
        self.draft.adoptions.push(Adoption {
            addition,
            agreement: line.agreement,
            task: task.id.clone(),
            source: task.source.clone(),
            subscription: task.subscription.clone(),
            product: product.clone(),
            state: (*line.state).clone(),
        });
        self.picture.claim(
            line,
            Origin {
                subscription: Some(self.context.subscription_no),
                product: Cow::Owned(product.clone()),
                role: Role::Recurring,
                order: None,
                true_period: None,
                written: line.state.clone(),
                next_invoice_at_write: None,
            },
        );
    }

    /// The open additions with the item that nobody has claimed, on the agreement of the task.
    pub fn unclaimed(&self, item: &CatalogItem) -> Vec<Line<'a>> {
        self.picture.unclaimed(self.context.agreement.id, item.id).into_iter().cloned().collect()
    }

    fn read_line(&self, id: AdditionId) -> Option<Line<'a>> {
        let home = self.context.index.register.home_of(id)?;
        self.picture.find(home, &Target::Existing(id)).cloned()
    }

    /// The line that a mapping says is the subscription's line for the product; taken over when it is first used.
    pub fn mapped_line(&mut self, product: &ProductId) -> Option<Line<'a>> {
        let task = self.context.task;
        let id = self.context.world.mappings.adopted_addition(&task.source, &task.subscription, product)?;
        let line = self.read_line(id)?;
        if line.origin.is_none() {
            self.adopt(&line, product);
            return self.picture.now(&line).cloned();
        }
        line.is_of(self.context.subscription_no, product, Role::Recurring).then_some(line)
    }

    /// The addition that a mapping names for the product, taken over with the values it has now: free, or of this very
    /// subscription and open, or the line `itself` that is in question.
    pub fn take_mapped(&mut self, product: &ProductId, itself: Option<&Target>) -> Option<Line<'a>> {
        let task = self.context.task;
        let id = self.context.world.mappings.adopted_addition(&task.source, &task.subscription, product)?;
        let line = self.read_line(id)?;
        if Some(&line.target) != itself && !line.state.is_open() {
            return None;
        }
        let free = line.origin.is_none();
        if !free && !line.is_of(self.context.subscription_no, product, Role::Recurring) {
            return None;
        }
        self.adopt(&line, product);
        self.picture.now(&line).cloned()
    }

    /// Whether a mapping names this very line for the product.
    pub fn is_named_by_mapping(&self, line: &Line, product: &ProductId) -> bool {
        let task = self.context.task;
        let id = self.context.world.mappings.adopted_addition(&task.source, &task.subscription, product);
        id.is_some_and(|id| line.target == Target::Existing(id))
    }

    /// Bill and tax flag of the subscription's recurring line for a product; the usual ones where there is none.
    pub fn flags_of(&self, product: &ProductId) -> (BillFlag, Option<bool>) {
        self.own_lines()
            .filter(|l| l.is_for(product, Role::Recurring))
            .last()
            .map_or((BillFlag::Billable, None), |l| (l.state.bill, l.state.taxable))
    }

    /// The answer about adoption.
    pub fn adoption(&self) -> AdoptionAnswer {
        self.context.world.adoption
    }

    /// The text of a new line.
    pub fn description(&self, product: &ProductId, said: Option<&str>) -> Option<String> {
        if self.context.price_source == crate::settings::PriceSource::Connectwise {
            return None;
        }
        let name = self.context.product_name(product);
        let text = match said {
            Some(text)
                if !self.context.world.settings.trim_descriptions.is_on() && !text.trim().is_empty() =>
            {
                text.trim()
            }
            Some(_) | None => name,
        };
        Some(safe_text(text))
    }

    /// Ends the task with one finding about a product.
    pub fn stop(&self, code: Code, product: &ProductId, message: impl Into<String>) -> Stop {
        Stop { findings: vec![self.about(code, product, message)], outcome: TaskOutcome::Failed }
    }

    /// Clamps a first day to go-live, or to the end of a "do not bill".
    pub fn not_before_go_live(&self, day: Date) -> Date {
        self.context.billed_from.map_or(day, |first| day.max(first))
    }

    /// The same for one product.
    pub fn not_before_billed(&self, product: &ProductId, day: Date) -> Date {
        self.context.product_billed_from(product).map_or(day, |first| day.max(first))
    }

    /// The period of the subscription's cycle that holds `day`: the order's own, or the next ones laid from it.
    pub fn period_of(&self, order_period: Period, day: Date) -> Result<Period, PeriodError> {
        let whole = self.whole_period(order_period)?;
        if whole.contains(day) {
            Ok(whole)
        } else {
            self.context.cycle.period_containing(self.anchor_of(whole), day)
        }
    }

    /// The billing period that an order's period is, or is the rest of: a short first period is a part of the one that
    /// ends with it.
    fn whole_period(&self, order_period: Period) -> Result<Period, PeriodError> {
        let cycle = self.context.cycle;
        if cycle.boundary(order_period.start(), 1)? <= order_period.end() {
            return Ok(order_period);
        }
        let start = cycle.boundary(order_period.end(), -1)?;
        if start < order_period.start() { Period::new(start, order_period.end()) } else { Ok(order_period) }
    }

    /// The subject of the task, for findings made elsewhere.
    pub fn subject(&self) -> Subject {
        subject_of(self.context.task)
    }
}

enum EditKind {
    Cancel,
    Update,
}

/// Text that a spreadsheet would not take for a formula, without control characters.
pub fn safe_text(text: &str) -> String {
    let clean =
        if text.contains(char::is_control) { text.replace(char::is_control, " ") } else { text.to_owned() };
    if clean.starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']) {
        format!("'{clean}")
    } else {
        clean
    }
}
