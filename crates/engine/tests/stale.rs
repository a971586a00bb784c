//! When a plan is out of date and when it is not, case by case; and what apply says of answers that are not what it sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use jiff::civil::date;
use rstest::rstest;
use sim::plans::{agreement, change, state};
use std::collections::BTreeMap;
use trueup_domain::finding::Severity;
use trueup_domain::ids::{AdditionId, AgreementId, CompanyId};
use trueup_domain::money::{Money, Quantity};
use trueup_domain::period::{BillingCycle, CycleUnit};
use trueup_domain::plan::{Action, AgreementSight, AgreementTerms, DraftPlan, Target};
use trueup_domain::psa::{AdditionState, Agreement, AgreementStatus, BillFlag, ObservedAddition, Snapshot};
use trueup_engine::apply::ChangeState;
use trueup_engine::apply::core::{Answer, Core, Effect, Entry, Event, Rules};
use trueup_engine::apply::layout::Layout;
use trueup_engine::ports::PsaError;
use trueup_engine::records::OperationState;

const AGREEMENT: AgreementId = AgreementId(40);

fn seen(id: i64, state: AdditionState) -> ObservedAddition {
    ObservedAddition {
        id: AdditionId(id),
        agreement: AGREEMENT,
        state,
        less_included: Quantity::ZERO,
        marker: None,
        last_updated: None,
    }
}

/// Ends addition 300 and creates a line; addition 301 bills the same item, 302 another one.
fn plan() -> DraftPlan {
    let before = state(7, 5);
    let wanted = AdditionState { cancelled: Some(date(2026, 3, 16)), ..before.clone() };
    let end = Action::Cancel {
        target: Target::Existing(AdditionId(300)),
        before: before.into(),
        wanted: wanted.into(),
    };
    let mut create = change(1, AGREEMENT, "s1", Action::Create { wanted: state(7, 8).into() });
    create.depends_on = vec!["c0".into()];
    let sight = AgreementSight {
        status: AgreementStatus::Active,
        next_invoice: Some(date(2026, 3, 1)),
        prorates: false,
        end: None,
        terms: Some(AgreementTerms::of(&agreement(AGREEMENT), std::iter::empty())),
        additions: [(AdditionId(300), state(7, 5)), (AdditionId(301), state(7, 1))].into_iter().collect(),
    };
    DraftPlan {
        changes: vec![Box::new(change(0, AGREEMENT, "s1", end)), Box::new(create)],
        sights: BTreeMap::from([(AGREEMENT, sight)]),
        today: Some(date(2026, 3, 5)),
        ..DraftPlan::default()
    }
}

fn held() -> Vec<ObservedAddition> {
    vec![seen(300, state(7, 5)), seen(301, state(7, 1)), seen(302, state(8, 2))]
}

struct Run<'p> {
    core: Core<'p>,
    effects: Vec<Effect>,
    now: i64,
}

impl<'p> Run<'p> {
    fn start(
        plan: &'p DraftPlan,
        layout: &'p Layout,
        written: &'p BTreeMap<AdditionId, AdditionState>,
        entries: Vec<Entry>,
        keyed: bool,
    ) -> Self {
        let rules = Rules { keyed, wait: false, ..Rules::default() };
        let mut run = Self {
            core: Core::new(plan, layout, rules, entries, written),
            effects: Vec::new(),
            now: 1_000_000,
        };
        run.tell(Event::Started);
        run
    }

    fn tell(&mut self, event: Event<'_>) {
        self.core.step(self.now, event, &mut self.effects);
    }

    fn read(&mut self, header: Option<Agreement>, additions: &[ObservedAddition]) {
        let headers: BTreeMap<_, _> = header.into_iter().map(|a| (a.id, a)).collect();
        self.tell(Event::Headers(Some(&headers)));
        let at = self.now;
        self.tell(Event::Looked { lane: 0, at, additions });
    }

    fn wants(&self, effect: &Effect) -> bool {
        self.effects.contains(effect)
    }

    /// Lets a step be begun and answers its call.
    fn answer(&mut self, step: usize, answer: Answer) {
        assert!(self.wants(&Effect::Begin(step)), "{:?}", self.effects);
        self.tell(Event::Begun(step));
        self.tell(Event::Answered(step, answer));
        self.tell(Event::Finished(step));
    }
}

fn header() -> Option<Agreement> {
    Some(agreement(AGREEMENT))
}

#[rstest]
#[case::nothing_changed(header(), held(), false)]
#[case::another_item_changed(header(), { let mut h = held(); h[2].state = state(8, 9); h }, false)]
#[case::another_item_went(header(), held()[..2].to_vec(), false)]
#[case::a_line_of_another_item_came(header(), { let mut h = held(); h.push(seen(400, state(9, 1))); h }, false)]
#[case::an_ended_line_of_the_item_came(header(), {
    let mut h = held();
    h.push(seen(400, AdditionState { cancelled: Some(date(2026, 3, 4)), ..state(7, 1) }));
    h
}, false)]
#[case::the_target_changed(header(), { let mut h = held(); h[0].state = state(7, 6); h }, true)]
#[case::the_targets_price_changed(header(), {
    let mut h = held();
    h[0].state.unit_price = Money::from(23);
    h
}, true)]
#[case::the_target_was_ended(header(), { let mut h = held(); h[0].state.cancelled = Some(date(2026, 3, 9)); h }, true)]
#[case::the_target_went(header(), held()[1..].to_vec(), true)]
#[case::another_line_of_the_item_changed(header(), { let mut h = held(); h[1].state = state(7, 2); h }, true)]
#[case::an_open_line_of_the_item_came(header(), { let mut h = held(); h.push(seen(400, state(7, 1))); h }, true)]
#[case::a_line_was_moved_to_the_item(header(), { let mut h = held(); h[2].state = state(7, 2); h }, true)]
#[case::all_went(header(), Vec::new(), true)]
#[case::the_agreement_went(None, held(), true)]
#[case::it_was_cancelled(
    header().map(|a| Agreement { status: AgreementStatus::Cancelled, ..a }), held(), true)]
#[case::it_was_invoiced(
    header().map(|a| Agreement { next_invoice: Some(date(2026, 4, 1)), ..a }), held(), true)]
#[case::it_prorates_now(header().map(|a| Agreement { prorates: true, ..a }), held(), true)]
#[case::it_ends_now(header().map(|a| Agreement { end: Some(date(2026, 6, 30)), ..a }), held(), true)]
#[case::it_belongs_to_another_company(header().map(|a| Agreement { company: CompanyId(13), ..a }), held(), true)]
#[case::it_bills_in_another_currency(
    header().map(|a| Agreement { currency: Some("GBP".parse().unwrap()), ..a }), held(), true)]
#[case::it_bills_on_another_cycle(
    header().map(|a| Agreement { billing_cycle: BillingCycle::new(1, CycleUnit::Year).ok(), ..a }), held(), true)]
#[case::its_periods_lie_otherwise(header().map(|a| Agreement { by_calendar: true, ..a }), held(), true)]
#[case::its_billing_starts_on_another_day(
    header().map(|a| Agreement { bill_start: Some(date(2026, 2, 1)), ..a }), held(), true)]
#[case::units_are_included_in_the_target(
    header(), { let mut h = held(); h[0].less_included = Quantity::from(2); h }, true)]
#[case::units_are_included_in_another_item(
    header(), { let mut h = held(); h[2].less_included = Quantity::from(2); h }, false)]
#[case::only_its_name_changed(header().map(|a| Agreement { name: "New".to_owned(), ..a }), held(), false)]
fn a_plan_is_out_of_date(
    #[case] header: Option<Agreement>,
    #[case] additions: Vec<ObservedAddition>,
    #[case] stale: bool,
) {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    run.read(header, &additions);
    assert_eq!(run.core.is_stale(), stale, "{:?}", run.core.findings());
    assert_eq!(run.wants(&Effect::SaveIntents), !stale);
    assert_eq!(run.wants(&Effect::Done), stale);
    let report = run.core.report();
    assert_eq!(report.summary.skipped, 2);
    if stale {
        assert!(report.findings.iter().all(|f| f.code.row().name == "TU7001"), "{:?}", report.findings);
    }
}

/// A plan that was stored before its terms were kept is compared as far as it tells.
#[test]
fn a_plan_that_was_stored_without_terms_is_still_read() {
    let mut stored = serde_json::to_value(plan()).unwrap();
    let sight = stored["sights"]["40"].as_object_mut().unwrap();
    assert!(sight.remove("terms").is_some());
    let plan: DraftPlan = serde_json::from_value(stored).unwrap();
    let (layout, written) = (Layout::of(&plan), BTreeMap::new());
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    run.read(header().map(|a| Agreement { company: CompanyId(13), ..a }), &held());
    assert!(!run.core.is_stale(), "{:?}", run.core.findings());
}

/// Two agreements, a line each; the first was written, a minute and more ago.
#[rstest]
#[case::the_other_was_invoiced(date(2026, 4, 1), true)]
#[case::nothing_happened(date(2026, 3, 1), false)]
fn an_agreement_is_compared_again_as_a_long_run_goes_on(
    #[case] next_invoice: jiff::civil::Date,
    #[case] is_moved: bool,
) {
    let other = AgreementId(41);
    let mut plan = plan();
    plan.changes.remove(1);
    plan.changes.push(Box::new(change(1, other, "s2", Action::Create { wanted: state(7, 8).into() })));
    let mut sight = plan.sights[&AGREEMENT].clone();
    sight.additions = Default::default();
    plan.sights.insert(other, sight);
    let (layout, written) = (Layout::of(&plan), BTreeMap::new());
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    let headers = |next_invoice| {
        let of_other = Agreement { next_invoice: Some(next_invoice), ..agreement(other) };
        BTreeMap::from([(AGREEMENT, agreement(AGREEMENT)), (other, of_other)])
    };
    run.tell(Event::Headers(Some(&headers(date(2026, 3, 1)))));
    let at = run.now;
    run.tell(Event::Looked { lane: 0, at, additions: &held() });
    run.tell(Event::Looked { lane: 1, at, additions: &[] });
    run.tell(Event::IntentsSaved);
    // Both are begun at once; the second's call is held back for longer than its reads may be old.
    run.effects.clear();
    run.now += 61_000;
    run.tell(Event::Begun(0));
    run.tell(Event::Begun(1));
    run.tell(Event::Answered(1, Answer::Withheld));
    run.tell(Event::Finished(1));
    assert!(run.wants(&Effect::Look(1)), "{:?}", run.effects);
    assert!(run.wants(&Effect::ReadAgain(vec![1, 0])), "{:?}", run.effects);
    let at = run.now;
    run.tell(Event::Looked { lane: 1, at, additions: &[] });
    run.tell(Event::HeadersAgain { lanes: &[1, 0], at, fresh: Ok(&headers(next_invoice)) });
    assert_eq!(run.wants(&Effect::Begin(1)), !is_moved, "{:?}", run.effects);
    let told: Vec<_> = run.core.findings().iter().map(|f| (f.code.row().name, f.subject.agreement)).collect();
    assert_eq!(told, if is_moved { vec![("TU7001", Some(other))] } else { Vec::new() });
    assert!(!run.core.is_stale());
}

const PARENT: AgreementId = AgreementId(30);

fn parent(next_invoice: jiff::civil::Date) -> Agreement {
    Agreement { next_invoice: Some(next_invoice), ..agreement(PARENT) }
}

fn child() -> Agreement {
    Agreement { parent: Some(PARENT), ..agreement(AGREEMENT) }
}

#[rstest]
#[case::nothing_changed(child(), Some(parent(date(2026, 3, 1))), true, false)]
#[case::the_parent_was_invoiced(child(), Some(parent(date(2026, 4, 1))), true, true)]
#[case::the_parent_went(child(), None, true, true)]
#[case::it_left_its_parent(agreement(AGREEMENT), Some(parent(date(2026, 3, 1))), true, true)]
#[case::it_came_under_a_parent(child(), Some(parent(date(2026, 3, 1))), false, true)]
fn an_invoice_of_the_parent_makes_a_plan_of_its_child_stale(
    #[case] now: Agreement,
    #[case] above: Option<Agreement>,
    #[case] was_a_child: bool,
    #[case] stale: bool,
) {
    let (mut plan, written) = (plan(), BTreeMap::new());
    let snapshot = Snapshot {
        agreements: [child(), parent(date(2026, 3, 1))].into_iter().map(|a| (a.id, a)).collect(),
        ..Snapshot::default()
    };
    if was_a_child {
        plan.note_invoicers(&snapshot);
    }
    let layout = Layout::of(&plan);
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    let headers: BTreeMap<_, _> = above.into_iter().chain([now]).map(|a| (a.id, a)).collect();
    run.tell(Event::Headers(Some(&headers)));
    let at = run.now;
    run.tell(Event::Looked { lane: 0, at, additions: &held() });
    assert_eq!(run.core.is_stale(), stale, "{:?}", run.core.findings());
}

#[test]
fn what_the_plan_did_itself_does_not_make_it_stale() {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let done = Entry {
        saved: true,
        state: OperationState::Done,
        addition: Some(AdditionId(300)),
        ..Entry::default()
    };
    let open = Entry { saved: true, ..Entry::default() };
    let mut run = Run::start(&plan, &layout, &written, vec![done, open], true);
    let mut now = held();
    now[0].state.cancelled = Some(date(2026, 3, 16));
    run.read(header(), &now);
    assert!(!run.core.is_stale());
    assert!(run.wants(&Effect::Begin(1)));
}

#[test]
fn a_record_that_came_back_otherwise_is_done_and_said() {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    run.read(header(), &held());
    run.tell(Event::IntentsSaved);
    let ended = plan.changes[0].action.after().unwrap().clone();
    run.answer(0, Answer::Done(Some(Box::new(seen(300, ended)))));
    let rounded = AdditionState { unit_price: "22.01".parse().unwrap(), ..state(7, 8) };
    run.answer(1, Answer::Done(Some(Box::new(seen(500, rounded.clone())))));
    let report = run.core.report();
    assert_eq!(report.summary.applied, 2);
    assert_eq!(run.core.returned(1), Some(&rounded));
    let codes: Vec<_> = report.findings.iter().map(|f| f.code.row().name).collect();
    assert_eq!(codes, ["TU7005"]);
}

/// ConnectWise answers an edit with the record as it was, or ended on another day: that is no edit that was carried out.
#[rstest]
#[case::as_it_was(None)]
#[case::ended_on_another_day(Some(date(2026, 5, 31)))]
fn an_edit_that_comes_back_undone_is_in_doubt_until_a_list_shows_it(
    #[case] cancelled: Option<jiff::civil::Date>,
) {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    run.read(header(), &held());
    run.tell(Event::IntentsSaved);
    let kept = AdditionState { cancelled, ..state(7, 5) };
    run.answer(0, Answer::Done(Some(Box::new(seen(300, kept)))));
    let report = run.core.report();
    let states: Vec<_> = report.changes.iter().map(|c| c.state).collect();
    assert_eq!(states, [ChangeState::InDoubt, ChangeState::Skipped]);
    assert_eq!(run.core.returned(0), None);
    let told: Vec<_> = report.findings.iter().map(|f| (f.code.row().name, f.severity)).collect();
    assert_eq!(told, [("TU7005", Severity::Error)]);
    // April's invoice would bill it once more.
    let amount = report.findings[0].amount.map(|(amount, _)| amount);
    assert_eq!(amount, Some(Money::from(110)), "{:?}", report.findings);
    assert!(!run.wants(&Effect::Begin(1)));
}

/// A line that was made otherwise than it was sent is there: it is not made again, and what was sent is remembered.
#[test]
fn a_line_that_comes_back_unbilled_is_an_error_and_is_not_remembered_so() {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    run.read(header(), &held());
    run.tell(Event::IntentsSaved);
    let ended = plan.changes[0].action.after().unwrap().clone();
    run.answer(0, Answer::Done(Some(Box::new(seen(300, ended)))));
    let unbilled = AdditionState { bill: BillFlag::DoNotBill, ..state(7, 8) };
    run.answer(1, Answer::Done(Some(Box::new(seen(500, unbilled)))));
    let report = run.core.report();
    assert_eq!((report.summary.applied, run.core.returned(1)), (2, None));
    let told: Vec<_> = report.findings.iter().map(|f| (f.code.row().name, f.severity)).collect();
    assert_eq!(told, [("TU7005", Severity::Error)]);
    let amount = report.findings[0].amount.map(|(amount, _)| amount);
    assert_eq!(amount, Some(Money::from(-352)), "{:?}", report.findings);
}

#[test]
fn a_refusal_skips_what_builds_on_it_and_keeps_the_other_sides_words() {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let mut run = Run::start(&plan, &layout, &written, Vec::new(), true);
    run.read(header(), &held());
    run.tell(Event::IntentsSaved);
    let why = PsaError {
        code: trueup_domain::finding::Code::Tu7004,
        message: "ConnectWise refused the change".to_owned(),
        their_words: Some("400 InvalidObject".to_owned()),
    };
    run.answer(0, Answer::Refused(why));
    let report = run.core.report();
    let states: Vec<_> = report.changes.iter().map(|c| c.state).collect();
    assert_eq!(states, [ChangeState::Failed, ChangeState::Skipped]);
    let told = report.changes[0].error.as_ref().unwrap();
    assert_eq!((told.code.as_str(), told.their_words.as_deref()), ("TU7004", Some("400 InvalidObject")));
    assert!(!run.wants(&Effect::Begin(1)));
}

/// One create, sent and without answer for longer than the settle time.
fn doubtful(plan: &DraftPlan) -> Vec<Entry> {
    let done = Entry {
        saved: true,
        state: OperationState::Done,
        addition: Some(AdditionId(300)),
        ..Entry::default()
    };
    let sent = Entry {
        saved: true,
        state: OperationState::Sending,
        attempts: 1,
        sent_at: Some(0),
        ..Entry::default()
    };
    assert_eq!(plan.changes.len(), 2);
    vec![done, sent]
}

#[rstest]
#[case::none_there(&[], "in_doubt")]
#[case::one_there(&[8], "applied")]
#[case::another_quantity(&[9], "in_doubt")]
#[case::two_there(&[8, 8], "in_doubt")]
fn without_keys_only_a_single_match_settles_a_doubt(#[case] there: &[i64], #[case] expected: &str) {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let mut run = Run::start(&plan, &layout, &written, doubtful(&plan), false);
    let mut now = held();
    now[0].state.cancelled = Some(date(2026, 3, 16));
    now.extend(there.iter().zip(500..).map(|(quantity, id)| seen(id, state(7, *quantity))));
    run.read(header(), &now);
    run.tell(Event::Finished(1));
    let state = serde_json::to_value(run.core.report().changes[1].state).unwrap();
    assert_eq!(state, expected);
    assert!(!run.effects.iter().any(|e| matches!(e, Effect::Begin(_) | Effect::Call(_))));
}

#[test]
fn a_create_is_sent_again_only_after_two_look_ups_a_settle_time_apart() {
    let (plan, written) = (plan(), BTreeMap::new());
    let layout = Layout::of(&plan);
    let mut now = held();
    now[0].state.cancelled = Some(date(2026, 3, 16));
    for (absent_at, again) in [(None, false), (Some(900_000), false), (Some(880_000), true)] {
        let mut entries = doubtful(&plan);
        entries[1].absent_at = absent_at;
        let mut run = Run::start(&plan, &layout, &written, entries, true);
        run.read(header(), &now);
        if !again {
            run.tell(Event::Finished(1));
        }
        assert_eq!(run.wants(&Effect::Begin(1)), again, "{absent_at:?}");
    }
}
