//! Building the changes of one task: placing lines on legal days, and keeping picture, findings and money in step.

mod adopting;
mod amending;
mod drift;
mod moving;
mod placing;
mod writing;

pub use placing::Edge;

use super::change::Half;
use super::context::{Context, Stop, subject_of};
use super::left_out;
use super::mark::Mark;
use super::part::Expressed;
use super::picture::{Line, OwnLines, Picture, change_id};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::{ChangeId, LineId, OrderId, ProductId};
use crate::money::{Exact, Money, MoneyError};
use crate::period::{Period, PeriodError, previous_day};
use crate::plan::{AdditionLink, Change, DraftPlan, KeyParts, OperationKey, Role, TaskOutcome};
use crate::proration::{self, ProrationError, Share};
use crate::psa::{Agreement, BillFlag, CatalogItem};
use jiff::civil::Date;
use std::cell::RefCell;

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

/// The changes of one task as they come about.
pub struct Builder<'c, 'a> {
    /// What was resolved.
    pub context: &'c Context<'a>,
    /// The working picture.
    pub picture: &'c mut Picture<'a>,
    draft: &'c mut DraftPlan,
    /// What the draft held before the task.
    before: Mark,
    /// What keeps lines back.
    withheld: Vec<Finding>,
    last: Vec<LastStep<'a>>,
    /// The key that was made last: whether a line is there is asked more than once before it is written.
    last_key: RefCell<Option<(LineKey, OperationKey)>>,
    /// Whose state a line shows that is brought to another agreement: no order of the task gave it.
    moves: Option<Option<&'a OrderId>>,
    /// Whether what is billed of invoiced days waits in `halves`, to be netted with the other product of a switch.
    pub nets: bool,
    /// What waits so.
    pub halves: Vec<Half<'a>>,
}

/// What tells the lines of one task apart.
#[derive(PartialEq, Eq)]
struct LineKey {
    line: LineId,
    role: Role,
    start: Date,
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
        let (last, last_key) = (Vec::new(), RefCell::default());
        let (withheld, halves) = (Vec::new(), Vec::new());
        Self { context, picture, draft, before, withheld, last, last_key, moves: None, nets: false, halves }
    }

    /// Tells what became of the task.
    pub fn finish(self) -> TaskOutcome {
        let writes = self.draft.changes[self.before.changes..].iter().any(|change| change.writes());
        let adopts = self.draft.adoptions.len() > self.before.adoptions;
        if self.context.choice == super::agreement::Choice::Only && (writes || adopts) {
            let task = self.context.task;
            self.draft.remembered.push((
                task.source.clone(),
                task.subscription.clone(),
                self.context.agreement.id,
            ));
        }
        // What is taken over is kept when the plan is carried out, as what is written.
        match (!self.withheld.is_empty(), writes || adopts) {
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

    /// Says something about a product, and keeps its line back: the task stays open. As long as nobody decides, what the
    /// order says is not billed, or what it ends is: that is an error, save where somebody is asked whose line there is (D20).
    pub fn withhold(&mut self, finding: Finding) {
        let asks = matches!(finding.code, Code::Tu3007) && finding.severity == Severity::Warning;
        let finding = if asks { finding } else { finding.severity(Severity::Error) };
        self.withheld.push(finding.clone());
        self.find(finding);
    }

    /// Keeps all of the task back for what keeps some of it back: nothing is written, and the task waits.
    pub fn keep_all_back(&mut self) -> Stop {
        let mut findings: Vec<Finding> = Vec::with_capacity(self.withheld.len());
        for finding in std::mem::take(&mut self.withheld) {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        Stop { findings, outcome: TaskOutcome::Waiting }
    }

    /// How often something was kept back so far.
    pub fn kept_back(&self) -> usize {
        self.withheld.len()
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
        self.left_out_as(product, days, &days.to_string(), amount, why)
    }

    /// The same, told apart by something else.
    pub fn left_out_as(
        &mut self,
        product: &ProductId,
        days: Period,
        detail: &str,
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
        let subject = Subject { detail: Some(detail.to_owned()), ..self.context.subject_of_product(product) };
        let finding = Finding::new(Code::Tu6005, subject, message).amount(rounded, currency);
        self.find(match left_out::fix(why, rounded) {
            Some(fix) => finding.fix(fix),
            None => finding,
        });
        Ok(())
    }

    /// What the task writes, as far as it is planned.
    pub fn own_changes(&self) -> impl Iterator<Item = &Change> {
        // What was there before it began is of other tasks.
        let own = self.draft.changes.get(self.before.changes..).unwrap_or_default();
        own.iter().map(AsRef::as_ref).filter(|change: &&Change| change.writes())
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
    pub fn own_lines(&self) -> OwnLines<'_, 'a> {
        self.picture.of_subscription(self.context.subscription_no)
    }

    /// Those of them that are for a product in a role.
    pub fn own_lines_for<'s>(
        &'s self,
        product: &ProductId,
        role: Role,
    ) -> impl Iterator<Item = &'s Line<'a>> {
        self.own_lines().that_are_for(product, role)
    }

    /// What trueup wrote or took over for the subscription.
    pub fn own_links(&self) -> &'a [&'a AdditionLink] {
        self.context.index.links_of(self.context.subscription_no)
    }

    /// Those of them that are for a product in a role.
    pub fn own_links_for(&self, product: &ProductId, role: Role) -> impl Iterator<Item = &'a AdditionLink> {
        self.context.index.links_for(self.context.subscription_no, product, role)
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

    /// The share of `period` that `charged` is, by the settings; the whole period is always the whole price. Counted by
    /// seconds, the days of an order begin at the time at which it was completed, and those before it end there.
    pub fn share(&self, period: Period, charged: Period) -> Result<Share, ProrationError> {
        if charged == period {
            return Ok(Share::WHOLE);
        }
        let mut share = proration::share(self.context.world.settings.day_count, period, charged)?;
        if let Some((day, seconds)) = self.context.completed {
            let after = |edge: Date| if edge == day { seconds } else { 0 };
            share.charged += after(charged.end()) - after(charged.start());
        }
        Ok(share)
    }

    /// The agreement that prorated lines go to.
    pub fn proration_home(&self) -> &'a Agreement {
        self.context.proration_agreement.unwrap_or(self.context.agreement)
    }

    fn key(&self, line: &str, role: Role, start: Date) -> OperationKey {
        let asked = LineKey { line: line.into(), role, start };
        if let Some((before, key)) = &*self.last_key.borrow()
            && *before == asked
        {
            return key.clone();
        }
        let key = KeyParts {
            organization: self.context.world.organization,
            source: &self.context.task.source,
            order: self.order_text(),
            line,
            role,
            period_start: start,
            revision: self.context.task.undone,
        }
        .key();
        self.last_key.replace(Some((asked, key.clone())));
        key
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

    /// The period of the subscription's cycle that holds `day`: the order's own, or the next ones laid from it.
    pub fn period_of(&self, order_period: Period, day: Date) -> Result<Period, PeriodError> {
        let whole = self.whole_around(order_period, Edge::End)?;
        if whole.contains(day) {
            Ok(whole)
        } else {
            self.context.cycle.period_containing(self.anchor_of(whole), day)
        }
    }

    /// The subject of the task, for findings made elsewhere.
    pub fn subject(&self) -> Subject {
        subject_of(self.context.task)
    }
}

/// Text that a spreadsheet would not take for a formula, without control characters.
pub fn safe_text(text: impl Into<String>) -> String {
    let text = text.into();
    let has_control = match text.is_ascii() {
        true => text.bytes().any(|byte| byte.is_ascii_control()),
        false => text.contains(char::is_control),
    };
    let clean = if has_control { text.replace(char::is_control, " ") } else { text };
    if clean.starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']) {
        format!("'{clean}")
    } else {
        clean
    }
}
