//! What a call came to, and what the journal says of it.

use super::core::{Answer, Effect, State};
use super::layout::StepKind;
use super::look;
use super::machine::{Core, error, subject};
use crate::ports::PsaError;
use crate::records::{Millis, OperationError};
use trueup_domain::Decimal;
use trueup_domain::billing;
use trueup_domain::finding::{Code, Finding, Severity};
use trueup_domain::ids::AdditionId;
use trueup_domain::money::Money;
use trueup_domain::period::Period;
use trueup_domain::plan::{Change, Field, differing_fields};
use trueup_domain::psa::{AdditionState, ObservedAddition};

/// What a line may be off by, in the smallest units of its currency, before it is billed wrong instead of rounded.
const ROUNDED_UNITS: i64 = 5;

/// Whether a record bills another item, or other days, or is billed where it should not be. No rounding and no trimming
/// does that: it is not what was written.
fn is_overruled(kept: &AdditionState, wanted: &AdditionState) -> bool {
    kept.catalog_item != wanted.catalog_item
        || kept.effective != wanted.effective
        || kept.cancelled != wanted.cancelled
        || kept.bill != wanted.bill
}

/// The fields that ConnectWise keeps otherwise than it was sent. A text or a flag that was left to it is no difference.
fn form_of(change: &Change, record: &ObservedAddition, wanted: &AdditionState) -> String {
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
    fields.join(", ")
}

/// What a line bills each time; none where it cannot be told.
fn each_time(change: &Change, state: &AdditionState) -> Option<Money> {
    state.unit_price.extended(state.quantity, change.currency).ok()
}

/// Whether an amount is off by more than the rounding of a price.
fn is_wrong(change: &Change, off: Money) -> bool {
    let unit = Money::new(Decimal::new(ROUNDED_UNITS, change.currency.places()));
    off.decimal().abs() > unit.decimal()
}

/// What ConnectWise keeps in another form than it was sent, with the money where the line bills something else by it.
fn kept_otherwise(change: &Change, record: &ObservedAddition, wanted: &AdditionState) -> Finding {
    let currency = change.currency;
    let form = form_of(change, record, wanted);
    let form = format!("ConnectWise keeps addition {} in another form: {form}", record.id);
    let about = subject(change, Some(record.id));
    let amounts = each_time(change, wanted).zip(each_time(change, &record.state));
    let off = amounts.and_then(|(asked, kept)| Some((asked, kept, kept.minus(asked).ok()?)));
    let Some((asked, kept, off)) = off.filter(|(_, _, off)| !off.is_zero()) else {
        return Finding::new(Code::Tu7005, about, form);
    };
    let message = format!(
        "{form}. It bills {} {currency} instead of {} each time.",
        kept.display(currency),
        asked.display(currency)
    );
    let finding = Finding::new(Code::Tu7005, about, message).amount(off, currency);
    if is_wrong(change, off) {
        finding.severity(Severity::Error).fix(
            "Sell it in a price with the places that ConnectWise keeps, or bill the difference by hand; accept the form \
             with `trueup finding ignore` where it is meant.",
        )
    } else {
        finding
    }
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
                match record.as_deref().and_then(|record| self.not_taken(number, record)) {
                    Some(found) => self.doubt_answer(now, number, found),
                    None => self.settle_done(number, record.as_deref(), false),
                }
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
        // Nor is one that bills other days or another item than was sent: what was sent is remembered, so that the next
        // pull finds the difference.
        let ours = |r: &&ObservedAddition| {
            change.action.after().is_some_and(|wanted| {
                if looked_up { look::holds(&r.state, wanted) } else { !is_overruled(&r.state, wanted) }
            })
        };
        slot.returned = record.filter(ours).map(|r| r.state.clone());
        if let (Some(record), Some(wanted)) = (record, change.action.after())
            && !look::holds(&record.state, wanted)
        {
            let found = if is_overruled(&record.state, wanted) {
                self.overruled(change, record, wanted).fix(
                    "Set the line in ConnectWise to what was sent, or accept what it holds with a mapping of kind addition.",
                )
            } else {
                kept_otherwise(change, record, wanted)
            };
            self.findings.push(found);
        }
    }

    /// What is told of an edit that was answered as carried out with a record that does not hold it: its days, its item or
    /// whether it is billed are others, or nothing of what it was to bill has changed.
    fn not_taken(&self, number: usize, record: &ObservedAddition) -> Option<Finding> {
        if self.kind_of(number) != Some(StepKind::Edit) {
            return None;
        }
        let change = self.change(number)?;
        let (before, wanted) = (change.action.before()?, change.action.after()?);
        let kept = &record.state;
        let is_old = (kept.quantity, kept.unit_price) == (before.quantity, before.unit_price);
        let off = || each_time(change, kept)?.minus(each_time(change, wanted)?).ok();
        let is_not_taken =
            is_overruled(kept, wanted) || (is_old && off().is_some_and(|off| is_wrong(change, off)));
        is_not_taken.then(|| {
            self.overruled(change, record, wanted).fix(
                "The next run reads the agreement and settles it: it is sent again where it took no effect. Where that \
                 goes on, look in ConnectWise at what keeps the line as it is.",
            )
        })
    }

    /// ConnectWise said yes and did something else.
    fn overruled(&self, change: &Change, record: &ObservedAddition, wanted: &AdditionState) -> Finding {
        let currency = change.currency;
        let said = format!(
            "ConnectWise answered that addition {} was written, and its record does not hold what was sent: {}",
            record.id,
            form_of(change, record, wanted)
        );
        let about = subject(change, Some(record.id));
        let bills = |state| self.billed_next(change, record, state);
        let off = bills(wanted).zip(bills(&record.state));
        let off = off.and_then(|(asked, kept)| Some((asked, kept, kept.minus(asked).ok()?)));
        let finding = match off.filter(|(_, _, off)| !off.is_zero()) {
            Some((asked, kept, off)) => {
                let (asked, kept) = (asked.display(currency), kept.display(currency));
                let message = format!(
                    "{said}. The next two invoices would bill {kept} {currency} of it instead of {asked}."
                );
                Finding::new(Code::Tu7005, about, message).amount(off, currency)
            }
            None => Finding::new(Code::Tu7005, about, format!("{said}.")),
        };
        finding.severity(Severity::Error)
    }

    /// What the open period's invoice and the one after it bill of a line in a state; none where they cannot be told.
    fn billed_next(
        &self,
        change: &Change,
        record: &ObservedAddition,
        state: &AdditionState,
    ) -> Option<Money> {
        let sight = self.plan.sights.get(&change.agreement)?;
        let invoicer = self.plan.invoicers.get(&change.agreement);
        let next = invoicer.map_or(sight.next_invoice, |by| by.next_invoice)?;
        let cycle = sight.terms.as_ref()?.billing_cycle?;
        let (second, end) = (cycle.boundary(next, 1).ok()?, cycle.boundary(next, 2).ok()?);
        let bills = |from, to| {
            let period = Period::new(from, to).ok()?;
            billing::price_in(state, record.less_included, period, sight.prorates, change.currency).ok()
        };
        bills(next, second)?.plus(bills(second, end)?).ok()
    }

    /// Leaves an edit to the next look-up, and says why.
    fn doubt_answer(&mut self, now: Millis, number: usize, found: Finding) {
        let (Some(entry), Some(slot)) = (self.entries.get_mut(number), self.slots.get_mut(number)) else {
            return;
        };
        entry.state = State::InDoubt;
        entry.sent_at = Some(now.max(entry.sent_at.unwrap_or(now)));
        entry.error = Some(error(found.code, &found.message));
        slot.old = false;
        self.findings.push(found);
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
