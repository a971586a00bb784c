//! What a person set of the lines of the task: the proposal gives way to it where the line is written.

use super::Builder;
use crate::amendment::{Amended, Amendment, Decision, told};
use crate::billing::{self, PriceAndCost};
use crate::finding::{Code, Finding, Severity, Subject};
use crate::ids::ProductId;
use crate::money::{Money, MoneyError, Quantity};
use crate::period::Period;
use crate::plan::{Action, Change, OperationKey, Target};
use crate::planner::text::text;
use crate::psa::{AdditionState, Agreement};

/// So many periods of moved days are summed up.
const MOST_PERIODS: usize = 240;

/// What becomes of a proposed line.
pub(super) enum Word {
    /// It is written as proposed.
    AsProposed,
    /// It is not written, by the decision of this person.
    LeftOut(String),
    /// It is written with other values.
    Set(Box<Said>),
}

/// Other values than the proposed ones.
pub(super) struct Said {
    /// The line as it is to be.
    pub wanted: AdditionState,
    /// What is kept with the change.
    pub amended: Amended,
    /// The sentence about it.
    pub sentence: String,
}

impl Said {
    /// The amount of a line whose values a person set.
    pub fn formula(&self, currency: crate::money::Currency) -> String {
        let unit = self.wanted.unit_price.shown(currency);
        text(format_args!("{} x {unit}, set by {}", self.wanted.quantity.shown(), self.amended.by))
    }
}

impl Builder<'_, '_> {
    /// What a person said about the line that is proposed under `proposal`: `proposed`, or that `there` goes.
    pub(super) fn word_on(
        &self,
        proposal: &OperationKey,
        proposed: Option<&AdditionState>,
        there: Option<&AdditionState>,
    ) -> Word {
        let said = self.context.task.amendments.iter().find(|a| a.proposal == *proposal);
        let Some(Amendment { decision, by, .. }) = said else { return Word::AsProposed };
        let Some(base) = proposed.or(there) else { return Word::AsProposed };
        let wanted = match decision {
            Decision::LeaveOut => return Word::LeftOut(by.clone()),
            Decision::Set(values) => values.over(base),
        };
        if proposed == Some(&wanted) {
            return Word::AsProposed;
        }
        if proposed.is_some() && there.is_none() && wanted.quantity.is_zero() {
            return Word::LeftOut(by.clone());
        }
        let sentence = match proposed {
            Some(proposed) => told(by, proposed, &wanted, self.context.currency),
            None => format!("{by} keeps the line."),
        };
        let amended = Amended { proposal: proposal.clone(), by: by.clone(), proposed: proposed.cloned() };
        Word::Set(Box::new(Said { wanted, amended, sentence }))
    }

    /// A line that a person left out: it is shown as it would be, and says what is not billed for want of it.
    pub(super) fn leave_out(
        &mut self,
        change: Change,
        effect: PriceAndCost,
        by: &str,
    ) -> Result<(), MoneyError> {
        let name = self.context.product_name(&change.product);
        let currency = self.context.currency;
        let shown = |target: &Target| match target {
            Target::Existing(id) => format!("addition {id}"),
            Target::CreatedBy(_) => "a line of this plan".to_owned(),
        };
        let what = match &change.action {
            Action::Create { wanted } => {
                text(format_args!("{} {name} from {} on", wanted.quantity.shown(), wanted.effective))
            }
            Action::Update { target, .. } => format!("the change of {name} ({})", shown(target)),
            Action::Cancel { target, wanted, .. } => {
                let last = wanted.cancelled.unwrap_or(wanted.effective);
                format!("the end of {name} on {last} ({})", shown(target))
            }
            Action::Delete { target, .. } => format!("the removal of {name} ({})", shown(target)),
            Action::Keep { .. } => return Ok(()),
        };
        // What is not ended goes on in every period, whatever the next invoice makes of it.
        let goes_on = match &change.action {
            Action::Cancel { before, .. } | Action::Delete { before, .. } if before.cancelled.is_none() => {
                Some(before.unit_price.extended(before.quantity, currency)?).filter(|price| !price.is_zero())
            }
            Action::Cancel { .. }
            | Action::Delete { .. }
            | Action::Create { .. }
            | Action::Update { .. }
            | Action::Keep { .. } => None,
        };
        let (severity, amount, comes) = match goes_on {
            Some(price) => {
                let comes =
                    format!("it goes on, and bills {} {currency} in each period", price.shown(currency));
                (Severity::Warning, price, comes)
            }
            None => {
                let price = effect.price;
                (
                    Severity::Info,
                    price,
                    format!("{} {currency} of the next invoice stay away", price.shown(currency)),
                )
            }
        };
        let message = format!("{by} left out {what}: {comes}.");
        let subject = Subject {
            detail: Some(change.key.to_string()),
            ..self.context.subject_of_product(&change.product)
        };
        let finding = Finding::new(Code::Tu6005, subject, message)
            .severity(severity)
            .amount(amount, currency)
            .fix("Nothing, where that is meant; take the line in again where it is not.");
        self.find(finding);
        self.draft.left_out.push(change);
        Ok(())
    }

    /// Days of a line that goes on were moved: says what is billed less or more for that than was proposed.
    pub(super) fn tell_moved_days(
        &mut self,
        agreement: &Agreement,
        product: &ProductId,
        said: &Said,
    ) -> Result<(), MoneyError> {
        let Some(proposed) = &said.amended.proposed else { return Ok(()) };
        let (effective, mut cancelled) = (said.wanted.effective, said.wanted.cancelled);
        if cancelled.is_none() || proposed.cancelled.is_none() {
            // Without an end there is no sum: the first day alone is compared.
            cancelled = proposed.cancelled;
        }
        let moved = AdditionState { effective, cancelled, ..proposed.clone() };
        if (moved.effective, moved.cancelled) == (proposed.effective, proposed.cancelled) {
            return Ok(());
        }
        let begins = proposed.effective.min(effective);
        let (first, last) = match (proposed.cancelled, cancelled) {
            (Some(one), Some(other)) if proposed.effective == effective => (one.min(other), one.max(other)),
            (Some(one), Some(other)) => (begins, one.max(other)),
            (None, _) | (_, None) => (begins, proposed.effective.max(effective)),
        };
        let snapshot = self.context.world.snapshot;
        let (currency, mut day, mut sum) = (self.context.currency, first, Money::ZERO);
        let billed = |state: &AdditionState, period: Period| {
            let of_it = billing::billed_in(state, Quantity::ZERO, period, agreement.prorates, currency);
            of_it.map(|amounts| amounts.price)
        };
        for _ in 0..MOST_PERIODS {
            let period = billing::invoice_period(snapshot, agreement, day).filter(|p| p.end() > day);
            let Some(period) = period.filter(|_| day <= last) else { break };
            sum = sum.plus(billed(&moved, period)?)?.minus(billed(proposed, period)?)?;
            day = period.end();
        }
        if sum.is_zero() {
            return Ok(());
        }
        let message = format!(
            "{} moved days of {}: {} {currency} {} than proposed is billed for them.",
            said.amended.by,
            self.context.product_name(product),
            sum.abs().shown(currency),
            if sum.is_negative() { "less" } else { "more" }
        );
        let subject = Subject {
            detail: Some(said.amended.proposal.to_string()),
            ..self.context.subject_of_product(product)
        };
        let finding = Finding::new(Code::Tu6005, subject, message)
            .severity(Severity::Info)
            .amount(sum, currency)
            .fix("Nothing, where that is meant; propose the days as they were where it is not.");
        self.find(finding);
        Ok(())
    }

    /// The last change is one whose values a person set.
    pub(super) fn note_amended(&mut self, said: &Said) {
        let Some(change) = self.draft.changes.last_mut() else { return };
        change.reason = format!("{} {}", change.reason, said.sentence);
        change.formula = said.formula(change.currency);
        change.amended = Some(Box::new(said.amended.clone()));
    }

    /// The product of a line, as it is remembered of it.
    pub(super) fn product_of(line: &crate::planner::picture::Line<'_>) -> ProductId {
        line.origin.as_ref().map_or(ProductId::from(""), |o| o.product().clone())
    }
}
