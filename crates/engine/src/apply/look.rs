//! What a fresh list of an agreement's additions says about one operation.

use super::layout::{StepKind, StepTarget};
use std::collections::HashMap;
use trueup_domain::ids::AdditionId;
use trueup_domain::plan::Change;
use trueup_domain::psa::{AdditionState, ObservedAddition};

/// Whether an addition holds what was wanted. A flag or text that is left to the catalog item fits anything.
pub fn holds(seen: &AdditionState, wanted: &AdditionState) -> bool {
    seen.catalog_item == wanted.catalog_item
        && seen.quantity == wanted.quantity
        && seen.unit_price == wanted.unit_price
        && seen.unit_cost == wanted.unit_cost
        && seen.effective == wanted.effective
        && seen.cancelled == wanted.cancelled
        && seen.bill == wanted.bill
        && (wanted.taxable.is_none() || seen.taxable == wanted.taxable)
        && (wanted.description.is_none() || seen.description == wanted.description)
        && (wanted.invoice_description.is_none() || seen.invoice_description == wanted.invoice_description)
}

/// Whether an addition could be the one that was asked for, where it carries no key.
pub fn natural_match(seen: &AdditionState, wanted: &AdditionState) -> bool {
    seen.catalog_item == wanted.catalog_item
        && seen.effective == wanted.effective
        && seen.quantity == wanted.quantity
        && seen.unit_price == wanted.unit_price
}

/// A list with quick access by id.
#[derive(Debug)]
pub struct Listed<'a> {
    additions: &'a [ObservedAddition],
    by_id: Option<HashMap<AdditionId, usize>>,
    by_key: Option<HashMap<&'a str, usize>>,
}

impl<'a> Listed<'a> {
    /// Indexes a list; short ones are searched as they are.
    pub fn new(additions: &'a [ObservedAddition]) -> Self {
        let long = additions.len() > 24;
        Self {
            additions,
            by_id: long.then(|| additions.iter().enumerate().map(|(n, a)| (a.id, n)).collect()),
            // The first one counts, as in a short list: a copy that a person made comes after it.
            by_key: long.then(|| {
                let all = additions.iter().enumerate().rev();
                all.filter_map(|(n, a)| Some((a.marker.as_deref()?, n))).collect()
            }),
        }
    }

    /// All of them.
    pub fn all(&self) -> &'a [ObservedAddition] {
        self.additions
    }

    /// The addition with an id.
    pub fn find(&self, id: AdditionId) -> Option<&'a ObservedAddition> {
        match &self.by_id {
            Some(index) => index.get(&id).and_then(|n| self.additions.get(*n)),
            None => self.additions.iter().find(|a| a.id == id),
        }
    }

    /// The addition that carries a key.
    pub fn find_key(&self, key: &str) -> Option<&'a ObservedAddition> {
        match &self.by_key {
            Some(index) => index.get(key).and_then(|n| self.additions.get(*n)),
            None => self.additions.iter().find(|a| a.marker.as_deref() == Some(key)),
        }
    }
}

/// What a look-up found for an operation in doubt.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    /// It was carried out; the addition where one remains.
    Done(Option<&'a ObservedAddition>),
    /// No trace of it.
    Absent,
    /// The addition is as it was before: an absolute write may be sent again.
    AsBefore,
    /// The addition is neither as before nor as wanted.
    Foreign(&'a ObservedAddition),
    /// The addition to edit is gone.
    Gone,
    /// Each of these could be it, or none: a person must say.
    Ambiguous(Vec<AdditionId>),
}

/// What is known besides the list.
pub struct Known<'a> {
    /// Whether additions carry keys on this tenant.
    pub keyed: bool,
    /// How many operations in doubt want an addition like this one, itself included.
    pub twins: usize,
    /// Whether an addition is accounted for already.
    pub taken: &'a dyn Fn(AdditionId) -> bool,
    /// The state that was last written to the target, where it is not what the plan foresaw.
    pub written: Option<&'a AdditionState>,
}

/// Judges one operation in doubt.
pub fn judge<'a>(
    kind: StepKind,
    change: &Change,
    target: Option<AdditionId>,
    list: &Listed<'a>,
    known: &Known<'_>,
) -> Verdict<'a> {
    match kind {
        StepKind::Create => judge_create(change, list, known),
        StepKind::Edit | StepKind::Delete => judge_edit(kind, change, target, list, known),
    }
}

fn judge_create<'a>(change: &Change, list: &Listed<'a>, known: &Known<'_>) -> Verdict<'a> {
    if known.keyed
        && let Some(found) = list.find_key(&change.key.0)
    {
        return Verdict::Done(Some(found));
    }
    let Some(wanted) = change.action.after() else { return Verdict::Absent };
    let could_be =
        |a: &&ObservedAddition| a.marker.is_none() && natural_match(&a.state, wanted) && !(known.taken)(a.id);
    let candidates: Vec<&ObservedAddition> = list.all().iter().filter(could_be).collect();
    match candidates.as_slice() {
        [] => Verdict::Absent,
        // Without keys what looks like it is it. A key that should be there and is not: the tenant may have dropped the
        // field, so nothing is concluded.
        [found, ..] if !known.keyed && candidates.len() <= known.twins => Verdict::Done(Some(found)),
        _ => Verdict::Ambiguous(candidates.iter().map(|a| a.id).collect()), // open set: every other list
    }
}

fn judge_edit<'a>(
    kind: StepKind,
    change: &Change,
    target: Option<AdditionId>,
    list: &Listed<'a>,
    known: &Known<'_>,
) -> Verdict<'a> {
    let Some(seen) = target.and_then(|id| list.find(id)) else {
        return if kind == StepKind::Delete { Verdict::Done(None) } else { Verdict::Gone };
    };
    if kind == StepKind::Edit && change.action.after().is_some_and(|wanted| holds(&seen.state, wanted)) {
        return Verdict::Done(Some(seen));
    }
    let before = change.action.before().is_some_and(|before| holds(&seen.state, before));
    if before || known.written.is_some_and(|written| seen.state == *written) {
        Verdict::AsBefore
    } else {
        Verdict::Foreign(seen)
    }
}

/// The addition that a target stands for, given what the journal knows of the steps.
pub fn resolve(target: StepTarget, made: impl Fn(usize) -> Option<AdditionId>) -> Option<AdditionId> {
    match target {
        StepTarget::Existing(id) => Some(id),
        StepTarget::MadeBy(step) => made(step),
        StepTarget::New | StepTarget::Unknown => None,
    }
}
