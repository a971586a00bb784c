//! What a call came to, and what the journal says of it.

use super::core::{Answer, Effect, State};
use super::look;
use super::machine::{Core, subject};
use crate::ports::PsaError;
use crate::records::{Millis, OperationError};
use trueup_domain::Decimal;
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::AdditionId;
use trueup_domain::money::Money;
use trueup_domain::plan::{Change, Field, differing_fields};
use trueup_domain::psa::{AdditionState, ObservedAddition};

/// What a line may be off by, in the smallest units of its currency, before it is billed wrong instead of rounded.
const ROUNDED_UNITS: i64 = 5;

/// What ConnectWise keeps otherwise than it was sent, with the money where the line bills something else by it. A text or
/// a flag that was left to ConnectWise is no difference.
fn kept_otherwise(change: &Change, record: &ObservedAddition, wanted: &AdditionState) -> Option<Finding> {
    let left_to_them = |field: Field| match field {
        Field::Taxable => wanted.taxable.is_none(),
        Field::Description => wanted.description.is_none(),
        Field::InvoiceDescription => wanted.invoice_description.is_none(),
        _ => false, // open set: every other field is always sent
    };
    let fields: Vec<String> = differing_fields(wanted, &record.state, change.currency)
        .into_iter()
        .filter(|f| !left_to_them(f.field))
        .map(|f| format!("{:?} {} -> {}", f.field, or_nothing(f.from.as_ref()), or_nothing(f.to.as_ref())))
        .collect();
    let form = format!("ConnectWise keeps addition {} in another form: {}", record.id, fields.join(", "));
    let currency = change.currency;
    let bills = |state: &AdditionState| state.unit_price.extended(state.quantity, currency);
    let about = subject(change, Some(record.id));
    let (Ok(asked), Ok(kept)) = (bills(wanted), bills(&record.state)) else {
        return Some(Finding::new(Code::Tu7005, about, form));
    };
    let Ok(off) = kept.minus(asked).map_err(drop) else {
        return Some(Finding::new(Code::Tu7005, about, form));
    };
    if off.is_zero() {
        return Some(Finding::new(Code::Tu7005, about, form));
    }
    let message = format!(
        "{form}. It bills {} {currency} instead of {} each time.",
        kept.display(currency),
        asked.display(currency)
    );
    let unit = Money::new(Decimal::new(ROUNDED_UNITS, currency.places()));
    let is_wrong = off.decimal().abs() > unit.decimal();
    let finding = Finding::new(Code::Tu7005, about, message).amount(off, currency);
    Some(if is_wrong {
        finding.severity(Severity::Error).fix(
            "Sell it in a price with the places that ConnectWise keeps, or bill the difference by hand; accept the form \
             with `trueup finding ignore` where it is meant.",
        )
    } else {
        finding
    })
}

/// Refusals of the connection itself, one after the other, after which the rest is not tried.
const GIVE_UP_AFTER: u32 = 3;

impl Core<'_> {
    pub(super) fn answered(&mut self, now: Millis, number: usize, answer: Answer, out: &mut Vec<Effect>) {
        let lane = self.layout.steps.get(number).map(|s| s.lane);
        self.landed(lane);
        let blind = self.rules.quirks.blind_retry;
        let change = self.change(number);
        let (Some(entry), Some(slot), Some(change)) =
            (self.entries.get_mut(number), self.slots.get_mut(number), change)
        else {
            return;
        };
        entry.calls += u32::from(!matches!(answer, Answer::Withheld));
        match answer {
            Answer::Done(record) => {
                self.refusals_in_a_row = 0;
                self.settle_done(number, record.as_deref(), false);
            }
            Answer::Refused(why) if of_the_connection(why.code) => {
                // Nothing is wrong with the change itself: it stays intended, for the next run.
                entry.state = State::Intent;
                entry.error = Some(Box::new(told(why)));
                slot.tried = true;
                self.refusals_in_a_row += 1;
                if self.refusals_in_a_row >= GIVE_UP_AFTER {
                    self.halt = entry.error.as_deref().cloned();
                }
            }
            Answer::Refused(why) => {
                self.refusals_in_a_row = 0;
                entry.state = State::Refused;
                let mut found = Finding::new(why.code, subject(change, entry.addition), why.message.clone());
                found.their_words.clone_from(&why.their_words);
                self.findings.push(found);
                entry.error = Some(Box::new(told(why)));
            }
            Answer::InDoubt(why) => {
                entry.state = State::InDoubt;
                // The other side may have begun as late as now, so the settle time counts from here.
                entry.sent_at = Some(now.max(entry.sent_at.unwrap_or(now)));
                entry.error = Some(Box::new(OperationError {
                    code: Code::Tu7003.to_string(),
                    message: why.message,
                    their_words: why.their_words,
                }));
                slot.old = false;
                slot.may_resend = blind && entry.attempts < 4;
            }
            Answer::Withheld => {
                entry.state = State::Intent;
                entry.attempts = entry.attempts.saturating_sub(1);
                slot.withheld += 1;
                slot.tried = slot.withheld >= GIVE_UP_AFTER;
            }
        }
        self.finish(number, out);
    }

    /// Marks a step as carried out, and says where what came back is not what was sent.
    pub(super) fn settle_done(&mut self, number: usize, record: Option<&ObservedAddition>, looked_up: bool) {
        let Some(change) = self.change(number) else { return };
        let target = self.target_of(number);
        let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) else {
            return;
        };
        entry.state = State::Done;
        entry.error = None;
        entry.addition = record.map(|r| r.id).or(target);
        slot.looked_up = looked_up;
        // What a look-up shows may be a person's work already; only the call's own answer is surely ours.
        let ours = |r: &&ObservedAddition| {
            !looked_up || change.action.after().is_some_and(|wanted| look::holds(&r.state, wanted))
        };
        slot.returned = record.filter(ours).map(|r| r.state.clone());
        if let (Some(record), Some(wanted)) = (record, change.action.after())
            && !look::holds(&record.state, wanted)
        {
            let kept = kept_otherwise(change, record, wanted);
            self.findings.extend(kept);
        }
    }

    pub(super) fn target_of(&self, number: usize) -> Option<AdditionId> {
        let step = self.layout.steps.get(number)?;
        look::resolve(step.target, |n| self.entries.get(n).and_then(|e| e.addition))
            .or_else(|| self.entries.get(number).and_then(|e| e.addition))
    }

    pub(super) fn finished(&mut self, number: usize) {
        self.saving = self.saving.saturating_sub(1);
        if let Some(slot) = self.slots.get_mut(number) {
            slot.busy = false;
        }
        self.wake_dependents(number);
    }

    /// Another plan wrote this line and the journal knows it there: nothing is left to do for it in this one. What builds
    /// on it is planned anew.
    pub(super) fn taken(&mut self, number: usize, error: OperationError, out: &mut Vec<Effect>) {
        self.finished(number);
        if let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) {
            entry.state = State::Skipped;
            entry.addition = None;
            entry.error = Some(Box::new(error));
            slot.returned = None;
            slot.looked_up = false;
        }
        self.finish(number, out);
    }

    pub(super) fn not_finished(&mut self, number: usize, error: OperationError) {
        self.finished(number);
        if let Some(entry) = self.entries.get_mut(number) {
            // The journal still says `Sending` where a call was out, so the next run looks it up.
            if entry.attempts > 0 && entry.state != State::Skipped {
                entry.state = State::InDoubt;
            }
            entry.error = Some(Box::new(error));
        }
        if let Some(step) = self.layout.steps.get(number)
            && let Some(state) = self.lanes.get_mut(step.lane)
        {
            state.halted = true;
        }
    }
}

fn or_nothing(text: Option<&String>) -> &str {
    text.map_or("nothing", String::as_str)
}

fn told(why: PsaError) -> OperationError {
    OperationError { code: why.code.to_string(), message: why.message, their_words: why.their_words }
}

/// Whether a refusal is about the connection and not about the change.
fn of_the_connection(code: Code) -> bool {
    matches!(code, Code::Tu1001 | Code::Tu1002 | Code::Tu1003 | Code::Tu1005 | Code::Tu1006)
}
