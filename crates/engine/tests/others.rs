//! Lines that another plan wrote: the journal takes a key once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use sim::plans::{change, state};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::{AdditionId, AgreementId};
use trueup_domain::money::Quantity;
use trueup_domain::plan::{Action, DraftPlan, Target};
use trueup_domain::psa::{AdditionState, ObservedAddition};
use trueup_engine::apply::core::{Core, Effect, Entry, Event, Rules};
use trueup_engine::apply::layout::Layout;
use trueup_engine::records::{OperationError, OperationState};

const AGREEMENT: AgreementId = AgreementId(40);

/// A plan finds its line there, and the journal holds the key under another plan: the step is skipped and so is what
/// builds on it, and the run comes to its end. It used to stop there, at each run again.
#[test]
fn a_line_that_another_plan_wrote_is_skipped_and_the_run_ends() {
    let create = change(0, AGREEMENT, "s1", Action::Create { wanted: state(7, 5).into() });
    let wanted = AdditionState { quantity: Quantity::from(6), ..state(7, 5) };
    let target = Target::CreatedBy("c0".into());
    let edit = change(
        1,
        AGREEMENT,
        "s1",
        Action::Update { target, before: state(7, 5).into(), wanted: wanted.into() },
    );
    let there = ObservedAddition {
        id: AdditionId(311),
        agreement: AGREEMENT,
        state: state(7, 5),
        less_included: Quantity::ZERO,
        marker: Some(create.key.0.clone()),
        last_updated: None,
    };
    let plan = DraftPlan { changes: vec![Box::new(create), Box::new(edit)], ..DraftPlan::default() };
    let (layout, written) = (Layout::of(&plan), BTreeMap::new());
    let mut core = Core::new(&plan, &layout, Rules::default(), Vec::new(), &written);
    let mut out = Vec::new();
    core.step(0, Event::Started, &mut out);
    let list = [there];
    core.step(0, Event::Looked { lane: 0, at: 0, additions: &list }, &mut out);
    out.clear();
    core.step(0, Event::IntentsSaved, &mut out);
    assert_eq!(out, [Effect::Finish(0)]);
    out.clear();
    let error = OperationError { code: "TU7006".into(), message: "taken".into(), their_words: None };
    core.step(0, Event::Taken(0, error), &mut out);
    assert!(out.contains(&Effect::Finish(0)), "{out:?}");
    for _ in 0..4 {
        for effect in std::mem::take(&mut out) {
            match effect {
                Effect::Finish(step) => core.step(0, Event::Finished(step), &mut out),
                Effect::Done => {}
                other => panic!("{other:?}: nothing may be sent"),
            }
        }
    }
    assert!(core.is_over());
    let states: Vec<_> = core.entries().iter().map(|e| e.state).collect();
    assert_eq!(states, [OperationState::Skipped, OperationState::Skipped]);
}

/// An operation in doubt of a plan that saw nothing on its agreement, where another plan has written a line since: an
/// agreement that comes back empty, twice, is no proof that the line never arrived.
#[test]
fn an_empty_list_is_not_believed_where_another_plan_has_a_line() {
    let create = change(0, AGREEMENT, "s1", Action::Create { wanted: state(7, 5).into() });
    let plan = DraftPlan { changes: vec![Box::new(create)], ..DraftPlan::default() };
    let (layout, written) = (Layout::of(&plan), BTreeMap::new());
    let sent = |known: BTreeMap<AgreementId, BTreeSet<AdditionId>>| {
        let entry = Entry {
            saved: true,
            state: OperationState::InDoubt,
            attempts: 1,
            sent_at: Some(0),
            ..Entry::default()
        };
        let mut core = Core::new(&plan, &layout, Rules::default(), vec![entry], &written).knowing(known);
        let (mut out, mut now, mut sent) = (Vec::new(), 1_000_000, false);
        core.step(now, Event::Started, &mut out);
        for _ in 0..40 {
            for effect in std::mem::take(&mut out) {
                match effect {
                    Effect::Look(lane) => {
                        core.step(now, Event::Looked { lane, at: now, additions: &[] }, &mut out);
                    }
                    Effect::Finish(step) => core.step(now, Event::Finished(step), &mut out),
                    Effect::Wait(until) => {
                        now = until;
                        core.step(now, Event::Woke, &mut out);
                    }
                    Effect::Begin(_) => sent = true,
                    Effect::Done => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        sent
    };
    assert!(sent(BTreeMap::new()), "an agreement that may well be empty is believed");
    assert!(!sent(BTreeMap::from([(AGREEMENT, BTreeSet::from([AdditionId(311)]))])));
}
