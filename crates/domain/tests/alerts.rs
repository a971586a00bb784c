//! Alerts and their tickets: single cases, and laws over random histories of alerts, outages and people.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::alert::{
    About, Alert, AlertId, AlertSeverity, Around, Entry, Fact, Field, HOUR, Happening, Hold, Level, MINUTE,
    Millis, Names, NoteKind, Origin, Rule, Seen, Side, Step, Storm, Told, ToldState, Value, Whose, alert_id,
    decide, resolve,
};
use trueup_domain::ids::{CompanyId, CustomerId, OrganizationId, SourceId};
use trueup_domain::ticket::{BoardId, ObservedTicket, TicketId};

fn org() -> OrganizationId {
    "msp".into()
}

fn entry(kind: &str, severity: Option<AlertSeverity>, values: &[(Field, &str)]) -> Entry {
    let values = values.iter().map(|(f, v)| (*f, Value { text: (*v).to_owned(), label: None })).collect();
    Entry { kind: kind.to_owned(), severity, values }
}

fn level(from: &str, kind: &str, values: &[(Field, &str)]) -> Level {
    Level { from: from.into(), entry: entry(kind, None, values) }
}

fn rule_with(more: &[(Field, &str)]) -> Rule {
    let mut values = vec![(Field::Psa, "on"), (Field::Board, "1")];
    values.extend_from_slice(more);
    let levels = [level("msp", "*", &values)];
    let about =
        About { kinds: vec!["disk_usage".into()], severity: AlertSeverity::Error, obeys_everything: true };
    Rule::of(&resolve(&org(), &levels, &about), "UTC").unwrap()
}

fn told(state: ToldState, at: Millis) -> Told {
    Told {
        origin: Origin::Source,
        source: "rmm".into(),
        customer: "c-1".into(),
        kind: "disk_usage".into(),
        subject: Some("srv01 C:".into()),
        key: None,
        severity: AlertSeverity::Error,
        state,
        at,
        summary: format!("Disk full, seen at {at}"),
        detail: None,
    }
}

fn around() -> Around {
    Around {
        company: Some(CompanyId(12)),
        names: Names { customer: "Green Lane".into(), organization: "msp".into(), fix: String::new() },
        storm: Storm::Calm,
        shared: false,
    }
}

/// A service desk in memory.
#[derive(Default)]
struct Remote {
    tickets: BTreeMap<i64, ObservedTicket>,
    notes: Vec<(Millis, i64, NoteKind, String)>,
    turns: Vec<(Millis, i64, Side, bool)>,
    keys: Vec<String>,
}

impl Remote {
    fn seen(&self, alert: &Alert) -> Seen {
        let Some(thread) = &alert.thread else { return Seen::NotRead };
        match self.tickets.get(&thread.ticket.0) {
            Some(ticket) => Seen::Ticket(Box::new(ticket.clone())),
            None => Seen::Gone,
        }
    }

    /// A run: decides and carries out until nothing is left.
    fn run(&mut self, alert: &mut Alert, rule: &Rule, around: &Around, now: Millis) -> Option<Hold> {
        for _ in 0..6 {
            let decision = decide(alert, &self.seen(alert), rule, around, now);
            for fact in &decision.facts {
                alert.learn(fact, rule.closed_by_person, now);
            }
            alert.hold.clone_from(&decision.hold);
            alert.settled = decision.settled;
            if decision.steps.is_empty() {
                return decision.hold;
            }
            for planned in decision.steps {
                assert!(!planned.why.is_empty());
                self.carry_out(alert, planned.step, now);
            }
        }
        panic!("a run does not come to an end: {alert:?}");
    }

    fn carry_out(&mut self, alert: &mut Alert, step: Step, now: Millis) {
        match step {
            Step::Make { draft, life } => {
                let id = 100 + i64::try_from(self.keys.len()).unwrap();
                self.keys.push(draft.key.to_string());
                let ticket = ObservedTicket {
                    id: TicketId(id),
                    company: Some(draft.company),
                    board: Some(draft.target.board),
                    status: None,
                    status_name: None,
                    closed: false,
                    closed_at: None,
                    closed_by: None,
                    key: Some(draft.key.to_string()),
                    summary: draft.summary.to_string(),
                    parent: draft.parent,
                    merged_into: None,
                    last_updated: None,
                    updated_by: None,
                };
                self.tickets.insert(id, ticket);
                alert.made(TicketId(id), &draft, life, now);
            }
            Step::Note { draft, kind } => {
                let ticket = alert.thread.as_ref().unwrap().ticket.0;
                self.notes.push((now, ticket, kind, draft.marker.to_string()));
                alert.noted(kind, now);
            }
            Step::Turn { to, .. } => {
                let ticket = alert.thread.as_ref().unwrap().ticket.0;
                self.turns.push((now, ticket, to, alert.is_open()));
                self.tickets.get_mut(&ticket).unwrap().closed = to == Side::Closed;
                alert.turned(to, now);
            }
        }
    }

    fn by_hand(&mut self, alert: &Alert, closed: bool) {
        let Some(thread) = &alert.thread else { return };
        if let Some(ticket) = self.tickets.get_mut(&thread.ticket.0) {
            ticket.closed = closed;
            ticket.closed_by = closed.then(|| "Ann".to_owned());
        }
    }
}

fn opened(at: Millis) -> Alert {
    Alert::first(AlertId::from("al1"), &told(ToldState::Open, at)).unwrap()
}

#[test]
fn ax_54_a_summary_is_stable_and_short() {
    let rule = rule_with(&[]);
    let mut alert = opened(0);
    let make = |alert: &Alert, now| {
        let decision = decide(alert, &Seen::NotRead, &rule, &around(), now);
        let Some(Step::Make { draft, .. }) = decision.steps.into_iter().next().map(|p| p.step) else {
            panic!()
        };
        draft
    };
    let first = make(&alert, 0);
    assert_eq!(first.summary.as_str(), "[trueup] disk usage: srv01 C: (Green Lane)");
    assert!(
        first.initial_note.contains("Disk full, seen at 0")
            && first.initial_note.contains(first.key.as_str())
    );
    alert.take(&told(ToldState::Open, HOUR));
    assert_eq!(make(&alert, 2 * HOUR).summary, first.summary);
    alert.subject = Some("x".repeat(300));
    assert_eq!(make(&alert, 0).summary.as_str().encode_utf16().count(), 100);
    alert.subject = None;
    let bare = Around { names: Names::default(), ..around() };
    let decision = decide(&alert, &Seen::NotRead, &rule, &bare, 0);
    let Step::Make { draft, .. } = &decision.steps[0].step else { panic!() };
    assert_eq!(draft.summary.as_str(), "[trueup] disk usage");
}

#[test]
fn a_summary_names_nothing_that_changes() {
    let row = Field::Summary.row();
    assert!(row.check("{customer}: {kind} {subject}").is_ok());
    for bad in ["{since}", "{summary}", "{detail}", "", "{kind", "{nobody}", "a\nb"] {
        assert!(row.check(bad).is_err(), "{bad}");
    }
    assert!(Field::Text.row().check("{since} {summary}\n{fix}").is_ok());
    assert!(Field::NoteMinutes.row().check("59").is_err(), "notes are hourly at most");
}

#[test]
fn ax_52_each_value_is_inherited_by_itself() {
    let levels = [
        level("site", "*", &[(Field::Board, "7")]),
        level("partner", "disk_usage", &[(Field::Psa, "on")]),
        level("msp", "disk_usage", &[(Field::Board, "1"), (Field::Priority, "2"), (Field::Company, "5")]),
    ];
    let about =
        About { kinds: vec!["disk_usage".into()], severity: AlertSeverity::Error, obeys_everything: true };
    let held = resolve(&"site".into(), &levels, &about);
    let of = |field: Field| {
        let held = &held[&field];
        (held.text.as_str(), held.from.as_ref().map(ToString::to_string))
    };
    assert_eq!(of(Field::Board), ("7", Some("site".into())), "a nearer level counts before a more exact one");
    assert_eq!(of(Field::Priority), ("2", Some("msp".into())));
    assert_eq!(of(Field::Psa), ("on", Some("partner".into())));
    assert_eq!(of(Field::Company), ("", None), "a company is never inherited");
    assert_eq!(of(Field::ReopenHours), ("24", None));
}

#[test]
fn a_severity_is_more_exact_and_findings_are_switched_on_by_name() {
    let severe = Level {
        from: "msp".into(),
        entry: entry("*", Some(AlertSeverity::Critical), &[(Field::Priority, "1")]),
    };
    let levels = [level("msp", "*", &[(Field::Psa, "on"), (Field::Priority, "3")]), severe];
    let about =
        |severity, everything| About { kinds: vec!["x".into()], severity, obeys_everything: everything };
    let value = |about: &About, field: Field| resolve(&org(), &levels, about)[&field].text.clone();
    assert_eq!(value(&about(AlertSeverity::Critical, true), Field::Priority), "1");
    assert_eq!(value(&about(AlertSeverity::Info, true), Field::Priority), "3");
    assert_eq!(value(&about(AlertSeverity::Info, true), Field::Psa), "on");
    assert_eq!(value(&about(AlertSeverity::Info, false), Field::Psa), "off");
    assert_eq!(value(&about(AlertSeverity::Info, false), Field::Priority), "3");
}

#[test]
fn ax_63_one_key_of_two_sources_at_one_company_is_one_alert() {
    let (one, other) = (SourceId::from("rmm"), SourceId::from("central"));
    let customer = CustomerId::from("c-1");
    let id = |whose: &Whose<'_>, key| alert_id(&org(), whose, key, ("disk", Some("C:")));
    assert_eq!(id(&Whose::Company(12), Some("k")), id(&Whose::Company(12), Some("k")));
    assert_ne!(id(&Whose::Company(12), Some("k")), id(&Whose::Company(13), Some("k")));
    assert_ne!(
        id(&Whose::Customer(&one, &customer), Some("k")),
        id(&Whose::Customer(&other, &customer), Some("k"))
    );
    let mut alert = opened(0);
    let second = Told { source: other, ..told(ToldState::Open, 5) };
    assert_eq!(alert.take(&second), Happening::Joined);
    assert_eq!(alert.take(&told(ToldState::Closed, 6)), Happening::Nothing, "the other one still says so");
    assert_eq!(alert.take(&Told { state: ToldState::Closed, at: 7, ..second }), Happening::Cleared);
}

#[test]
fn what_is_over_before_it_is_told_opens_nothing_and_counts_as_over_before_it_was_sent() {
    let mut alert = Alert::over_already(AlertId::from("al1"), &told(ToldState::Closed, 10 * HOUR));
    assert!(!alert.is_open() && alert.settled && alert.cycle == 0);
    // Its beginning is delivered after its end.
    assert_eq!(alert.take(&told(ToldState::Open, 9 * HOUR)), Happening::Opened);
    assert_eq!((alert.is_open(), alert.settled, alert.cycle), (false, false, 1));
    assert_eq!((alert.opened_at, alert.cleared_at), (9 * HOUR, Some(10 * HOUR)));
    assert_eq!(alert.take(&told(ToldState::Open, 8 * HOUR)), Happening::Nothing, "once");
    // Of one that comes up after that end it is the first opening: no repeat, and no return.
    let mut alert = Alert::over_already(AlertId::from("al1"), &told(ToldState::Closed, 10 * HOUR));
    assert_eq!(alert.take(&told(ToldState::Open, 11 * HOUR)), Happening::Opened);
    assert_eq!((alert.is_open(), alert.repeats, alert.cleared_before), (true, 0, None));
}

#[test]
fn what_is_older_than_what_is_known_changes_nothing() {
    let mut alert = opened(10);
    assert_eq!(alert.take(&told(ToldState::Closed, 5)), Happening::Nothing);
    assert_eq!(alert.take(&told(ToldState::Closed, 20)), Happening::Cleared);
    assert_eq!(alert.take(&told(ToldState::Open, 15)), Happening::Nothing);
    assert_eq!(alert.take(&told(ToldState::Open, 30)), Happening::Returned);
    assert!(Alert::first(AlertId::from("x"), &told(ToldState::Closed, 5)).is_none());
}

#[test]
fn ax_55_ten_repeats_in_an_hour_are_one_note_with_their_count() {
    let (mut remote, rule) = (Remote::default(), rule_with(&[]));
    let mut alert = opened(0);
    remote.run(&mut alert, &rule, &around(), 0);
    for n in 1..=10 {
        alert.take(&told(ToldState::Open, n * 5 * MINUTE));
        remote.run(&mut alert, &rule, &around(), n * 5 * MINUTE);
    }
    assert!(remote.notes.is_empty());
    let decision = decide(&alert, &remote.seen(&alert), &rule, &around(), HOUR);
    let Step::Note { draft, .. } = &decision.steps[0].step else { panic!() };
    assert!(draft.text.starts_with("Told 10 times more"), "{}", draft.text);
    remote.run(&mut alert, &rule, &around(), HOUR);
    assert_eq!((remote.keys.len(), remote.notes.len()), (1, 1));
}

#[test]
fn ax_56_a_cleared_alert_is_noted_and_closed_or_noted_alone() {
    for (close, turns) in [("on", 1), ("off", 0)] {
        let (mut remote, rule) = (Remote::default(), rule_with(&[(Field::CloseWhenCleared, close)]));
        let mut alert = opened(0);
        remote.run(&mut alert, &rule, &around(), 0);
        alert.take(&told(ToldState::Closed, MINUTE));
        remote.run(&mut alert, &rule, &around(), 2 * MINUTE);
        remote.run(&mut alert, &rule, &around(), 3 * MINUTE);
        assert_eq!((remote.notes.len(), remote.turns.len(), alert.settled), (1, turns, true), "{close}");
        assert_eq!(remote.notes[0].2, NoteKind::Cleared);
    }
}

#[test]
fn ax_57_back_soon_opens_the_same_ticket_and_later_a_new_one_with_a_link() {
    for (away, tickets) in [(2 * HOUR, 1), (48 * HOUR, 2)] {
        let (mut remote, rule) = (Remote::default(), rule_with(&[]));
        let mut alert = opened(0);
        remote.run(&mut alert, &rule, &around(), 0);
        alert.take(&told(ToldState::Closed, HOUR));
        remote.run(&mut alert, &rule, &around(), HOUR);
        alert.take(&told(ToldState::Open, HOUR + away));
        if tickets == 2 {
            let decision = decide(&alert, &remote.seen(&alert), &rule, &around(), HOUR + away);
            let Step::Make { draft, life } = &decision.steps[0].step else { panic!() };
            assert!(draft.initial_note.contains("ticket 100") && *life == 2);
        }
        remote.run(&mut alert, &rule, &around(), HOUR + away);
        assert_eq!(remote.keys.len(), tickets);
        let thread = alert.thread.as_ref().unwrap();
        assert!(!remote.tickets[&thread.ticket.0].closed);
        assert_eq!(thread.former.is_some(), tickets == 2);
    }
}

#[test]
fn ax_58_on_and_off_twenty_times_turns_the_ticket_three_times_at_most() {
    for last_open in [false, true] {
        let (mut remote, rule) = (Remote::default(), rule_with(&[]));
        let mut alert = opened(0);
        remote.run(&mut alert, &rule, &around(), 0);
        let flips = if last_open { 40 } else { 39 };
        for n in 1..=flips {
            let state = if n % 2 == 1 { ToldState::Closed } else { ToldState::Open };
            let at = n * 90_000;
            alert.take(&told(state, at));
            remote.run(&mut alert, &rule, &around(), at);
        }
        assert!(remote.turns.len() <= 3, "{:?}", remote.turns);
        assert_eq!(alert.hold, Some(Hold::Flapping));
        for n in 61..240 {
            remote.run(&mut alert, &rule, &around(), n * MINUTE);
        }
        assert!(remote.turns.len() <= 3, "{:?}", remote.turns);
        let flapping = remote.notes.iter().filter(|note| note.2 == NoteKind::Flapping).count();
        assert_eq!(flapping, 1, "{:?}", remote.notes);
        assert_eq!(remote.tickets[&100].closed, !last_open, "once it is quiet the ticket says what is so");
    }
}

#[test]
fn ax_59_a_person_who_closes_acknowledges_and_after_a_day_it_is_noted() {
    for (reopen, turns) in [("off", 0), ("on", 1)] {
        let (mut remote, rule) = (Remote::default(), rule_with(&[(Field::ReopenClosed, reopen)]));
        let mut alert = opened(0);
        remote.run(&mut alert, &rule, &around(), 0);
        remote.by_hand(&alert, true);
        remote.run(&mut alert, &rule, &around(), HOUR);
        assert_eq!(alert.state(), "acknowledged");
        assert_eq!(alert.acknowledged.as_ref().unwrap().by, "Ann");
        alert.take(&told(ToldState::Open, 2 * HOUR));
        for hour in 2..25 {
            remote.run(&mut alert, &rule, &around(), hour * HOUR);
        }
        assert!(remote.notes.is_empty(), "repeats are not noted on a ticket that somebody closed");
        for hour in 25..60 {
            remote.run(&mut alert, &rule, &around(), hour * HOUR);
        }
        assert_eq!((remote.notes.len(), remote.turns.len()), (1, turns));
        assert_eq!(remote.tickets[&100].closed, reopen == "off");
    }
}

#[test]
fn what_a_person_opens_again_is_followed_again() {
    let (mut remote, rule) = (Remote::default(), rule_with(&[]));
    let mut alert = opened(0);
    remote.run(&mut alert, &rule, &around(), 0);
    remote.by_hand(&alert, true);
    remote.run(&mut alert, &rule, &around(), HOUR);
    remote.by_hand(&alert, false);
    let decision = decide(&alert, &remote.seen(&alert), &rule, &around(), 2 * HOUR);
    assert_eq!(decision.facts, [Fact::Reopened]);
    remote.run(&mut alert, &rule, &around(), 2 * HOUR);
    assert_eq!(alert.state(), "open");
    alert.take(&told(ToldState::Closed, 3 * HOUR));
    remote.run(&mut alert, &rule, &around(), 3 * HOUR);
    assert!(remote.tickets[&100].closed);
}

#[test]
fn closing_by_a_person_can_mean_that_it_is_over() {
    let (mut remote, rule) = (Remote::default(), rule_with(&[(Field::ClosedByPerson, "close")]));
    let mut alert = opened(0);
    remote.run(&mut alert, &rule, &around(), 0);
    remote.by_hand(&alert, true);
    remote.run(&mut alert, &rule, &around(), HOUR);
    assert_eq!((alert.state(), alert.settled), ("cleared", true));
    remote.run(&mut alert, &rule, &around(), 100 * HOUR);
    assert!(remote.notes.is_empty() && remote.turns.is_empty());
}

#[test]
fn quiet_hours_hold_what_rings_and_let_what_is_over_end() {
    let (mut remote, rule) = (Remote::default(), rule_with(&[(Field::QuietHours, "22:00-06:00")]));
    let mut alert = opened(21 * HOUR);
    remote.run(&mut alert, &rule, &around(), 21 * HOUR);
    let mut night = Alert::first(AlertId::from("al2"), &told(ToldState::Open, 23 * HOUR)).unwrap();
    assert_eq!(remote.run(&mut night, &rule, &around(), 23 * HOUR), Some(Hold::Quiet { until: 30 * HOUR }));
    alert.take(&told(ToldState::Closed, 23 * HOUR));
    remote.run(&mut alert, &rule, &around(), 23 * HOUR);
    assert_eq!((remote.keys.len(), remote.turns.len()), (1, 1));
    remote.run(&mut night, &rule, &around(), 30 * HOUR);
    assert_eq!(remote.keys.len(), 2);
}

#[test]
fn what_was_over_before_it_was_sent_makes_none_or_one_that_is_closed() {
    for (unsent, tickets) in [("none", 0), ("opened_and_closed", 1)] {
        let (mut remote, rule) = (Remote::default(), rule_with(&[(Field::Unsent, unsent)]));
        let mut alert = opened(0);
        alert.take(&told(ToldState::Closed, HOUR));
        remote.run(&mut alert, &rule, &around(), 2 * HOUR);
        assert_eq!((remote.keys.len(), alert.settled), (tickets, true));
        assert!(remote.tickets.values().all(|ticket| ticket.closed));
    }
}

#[test]
fn what_cannot_be_sent_is_held_with_its_reason() {
    let (mut remote, mut rule) = (Remote::default(), rule_with(&[]));
    let nobody = Around { company: None, ..around() };
    let mut alert = opened(0);
    assert_eq!(remote.run(&mut alert, &rule, &nobody, 0), Some(Hold::NoCompany));
    rule.company = Some(CompanyId(5));
    let raging = Around { storm: Storm::Raging(None), ..nobody.clone() };
    assert_eq!(remote.run(&mut alert, &rule, &raging, 0), Some(Hold::Storm));
    rule.board = None;
    assert_eq!(remote.run(&mut alert, &rule, &nobody, 0), Some(Hold::NoBoard));
    rule.psa = false;
    assert_eq!(remote.run(&mut alert, &rule, &nobody, 0), Some(Hold::NoRule));
    (rule.psa, rule.board) = (true, Some(BoardId(1)));
    let under = Around { storm: Storm::Raging(Some(TicketId(77))), ..nobody };
    remote.run(&mut alert, &rule, &under, 0);
    assert_eq!(remote.tickets[&100].parent, Some(TicketId(77)));
    assert_eq!(remote.tickets[&100].company, Some(CompanyId(5)));
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Open,
    Clear,
    PersonCloses,
    PersonReopens,
    PersonDeletes,
    Unlink,
    Link,
    Outage(i64),
}

fn event() -> impl Strategy<Value = (Event, Millis)> {
    let what = prop_oneof![
        6 => Just(Event::Open),
        5 => Just(Event::Clear),
        2 => Just(Event::PersonCloses),
        1 => Just(Event::PersonReopens),
        1 => Just(Event::PersonDeletes),
        1 => Just(Event::Unlink),
        2 => Just(Event::Link),
        1 => (1_i64..400).prop_map(Event::Outage),
    ];
    // From seconds to days, so that bursts and long rests both come up.
    let after = prop_oneof![3 => 1_i64..10, 3 => 10_i64..120, 1 => 120_i64..4_000];
    (what, after.prop_map(|minutes| minutes * MINUTE))
}

fn rules() -> impl Strategy<Value = Rule> {
    (
        prop_oneof![Just("on"), Just("off")],
        prop_oneof![Just("acknowledge"), Just("close"), Just("ignore")],
        prop_oneof![Just("none"), Just("opened_and_closed")],
        prop_oneof![Just(""), Just("22:00-06:00")],
        prop_oneof![Just("on"), Just("off")],
        prop_oneof![Just("3"), Just("4"), Just("6")],
    )
        .prop_map(|(close, person, unsent, quiet, reopen, flap)| {
            rule_with(&[
                (Field::CloseWhenCleared, close),
                (Field::ClosedByPerson, person),
                (Field::Unsent, unsent),
                (Field::QuietHours, quiet),
                (Field::ReopenClosed, reopen),
                (Field::FlapCycles, flap),
            ])
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_over_random_histories(history in prop::collection::vec(event(), 1..60), rule in rules()) {
        let (mut remote, mut around) = (Remote::default(), around());
        let mut now: Millis = 20_000 * 24 * HOUR;
        let mut alert = opened(now);
        let (mut down_until, mut gone): (Millis, BTreeSet<i64>) = (0, BTreeSet::new());
        for (event, after) in history {
            now += after;
            match event {
                Event::Open => drop(alert.take(&told(ToldState::Open, now))),
                Event::Clear => drop(alert.take(&told(ToldState::Closed, now))),
                Event::PersonCloses => remote.by_hand(&alert, true),
                Event::PersonReopens => remote.by_hand(&alert, false),
                Event::PersonDeletes => if let Some(thread) = &alert.thread {
                    remote.tickets.remove(&thread.ticket.0);
                    gone.insert(thread.ticket.0);
                },
                Event::Unlink => around.company = None,
                Event::Link => around.company = Some(CompanyId(12)),
                Event::Outage(hours) => down_until = now + hours * HOUR,
            }
            if now < down_until {
                continue;
            }
            let closed_before: BTreeSet<i64> =
                remote.tickets.values().filter(|t| t.closed).map(|t| t.id.0).collect();
            let notes = remote.notes.len();
            let cleared = !alert.is_open();
            remote.run(&mut alert, &rule, &around, now);
            if cleared {
                // A cause that is gone touches no closed ticket.
                for (_, ticket, _, _) in &remote.notes[notes..] {
                    prop_assert!(!closed_before.contains(ticket));
                }
                prop_assert!(remote.turns.iter().all(|t| t.0 != now || t.2 == Side::Closed));
            }
            // Again at the same instant: nothing is left to do.
            let (keys, notes, turns) = (remote.keys.len(), remote.notes.len(), remote.turns.len());
            remote.run(&mut alert, &rule, &around, now);
            prop_assert_eq!((keys, notes, turns), (remote.keys.len(), remote.notes.len(), remote.turns.len()));
        }
        // One ticket a key and life, one open ticket at a time, one note a mark.
        let distinct: BTreeSet<&String> = remote.keys.iter().collect();
        prop_assert_eq!(distinct.len(), remote.keys.len());
        let current = alert.thread.as_ref().map(|thread| thread.ticket.0);
        let left_open = remote.tickets.values().filter(|t| !t.closed && Some(t.id.0) != current && !gone.contains(&t.id.0));
        prop_assert_eq!(left_open.count(), 0, "only the ticket of this life is open");
        let marks: BTreeSet<&String> = remote.notes.iter().map(|note| &note.3).collect();
        prop_assert_eq!(marks.len(), remote.notes.len());
        // What was told again is noted hourly at most.
        for ticket in remote.tickets.keys() {
            let ringing: Vec<Millis> = remote.notes.iter()
                .filter(|note| note.1 == *ticket && note.2 != NoteKind::Cleared).map(|note| note.0).collect();
            prop_assert!(ringing.windows(2).all(|pair| pair[1] - pair[0] >= HOUR), "{:?}", ringing);
        }
        // Within any hour a ticket is turned three times at most, and closed only while the cause is gone.
        for (at, ticket, to, open) in &remote.turns {
            let most = usize::try_from(rule.flap_cycles).unwrap();
            let near = remote.turns.iter().filter(|t| t.1 == *ticket && *at - t.0 >= 0 && *at - t.0 < HOUR).count();
            prop_assert!(near <= most);
            prop_assert_eq!(*to == Side::Closed, !*open);
        }
        // Summaries neither count nor tell the time.
        prop_assert!(remote.tickets.values().all(|t| t.summary == "[trueup] disk usage: srv01 C: (Green Lane)"));
        // Nothing is lost: with everything in order, an open alert has its ticket.
        around.company = Some(CompanyId(12));
        now = now.max(down_until) + 40 * HOUR;
        now -= now % (24 * HOUR);
        now += 12 * HOUR;
        alert.take(&told(ToldState::Open, now));
        remote.run(&mut alert, &rule, &around, now);
        prop_assert!(alert.thread.is_some());
        let thread = alert.thread.as_ref().unwrap();
        // It is over, or without a ticket, only where a person said so since it was opened last.
        let by_person = thread.closed.as_ref().is_some_and(|closed| closed.cycle == alert.cycle);
        prop_assert!(by_person || alert.is_open(), "{:?}", alert);
        let there = remote.tickets.get(&thread.ticket.0);
        prop_assert!(by_person || there.is_some_and(|ticket| !ticket.closed), "{:?}", alert);
    }
}
