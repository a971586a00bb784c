//! Tables and laws of schedules.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn table(pairs: &[(&str, &str)]) -> Timetable {
    let values = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Timetable::new(&values).unwrap()
}

fn daily(time: &str, zone: &str) -> Timetable {
    table(&[("schedule.sync", &format!("daily {time}")), (TIME_ZONE, zone)])
}

fn ms(text: &str) -> Millis {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn shown(at: Millis) -> String {
    Timestamp::from_millisecond(at).unwrap().to_string()
}

const SYNC: ScheduleKind = ScheduleKind::Sync;

#[test]
fn next_and_last_fires() {
    for (cadence, zone, at, last, next) in [
        ("5m", "UTC", "2026-03-01T10:02:00Z", "2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z"),
        ("5m", "UTC", "2026-03-01T10:05:00Z", "2026-03-01T10:05:00Z", "2026-03-01T10:10:00Z"),
        ("hourly", "Asia/Kathmandu", "2026-03-01T10:59:59Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"),
        ("daily 06:30", "UTC", "2026-03-01T06:29:59Z", "2026-02-28T06:30:00Z", "2026-03-01T06:30:00Z"),
        ("daily 06:30", "UTC", "2026-03-01T06:30:00Z", "2026-03-01T06:30:00Z", "2026-03-02T06:30:00Z"),
        (
            "daily 06:30",
            "Asia/Kathmandu",
            "2026-03-01T00:45:00Z",
            "2026-03-01T00:45:00Z",
            "2026-03-02T00:45:00Z",
        ),
        // 02:30 is left out on 2026-03-29 and comes twice on 2026-10-25.
        (
            "daily 02:30",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:30:00Z",
        ),
        (
            "daily 02:30",
            "Europe/Berlin",
            "2026-10-25T00:00:00Z",
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
        ),
        (
            "daily 02:30",
            "Europe/Berlin",
            "2026-10-25T01:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z",
        ),
        (
            "daily 00:15",
            "America/St_Johns",
            "2026-07-01T00:00:00Z",
            "2026-06-30T02:45:00Z",
            "2026-07-01T02:45:00Z",
        ),
        // AX-23, AX-24, AX-25: a push day, and the last day where the month is short.
        ("monthly 15 02:00", "UTC", "2023-03-14T00:00:00Z", "2023-02-15T02:00:00Z", "2023-03-15T02:00:00Z"),
        ("monthly 15 02:00", "UTC", "2023-03-15T02:00:00Z", "2023-03-15T02:00:00Z", "2023-04-15T02:00:00Z"),
        ("monthly 31 02:00", "UTC", "2023-02-01T00:00:00Z", "2023-01-31T02:00:00Z", "2023-02-28T02:00:00Z"),
        ("monthly 31 02:00", "UTC", "2024-02-01T00:00:00Z", "2024-01-31T02:00:00Z", "2024-02-29T02:00:00Z"),
        ("monthly 31 02:00", "UTC", "2023-03-31T03:00:00Z", "2023-03-31T02:00:00Z", "2023-04-30T02:00:00Z"),
        ("monthly 30 02:00", "UTC", "2023-02-01T00:00:00Z", "2023-01-30T02:00:00Z", "2023-02-28T02:00:00Z"),
        ("monthly 29 02:00", "UTC", "2023-02-01T00:00:00Z", "2023-01-29T02:00:00Z", "2023-02-28T02:00:00Z"),
        ("monthly last 02:00", "UTC", "2023-12-31T02:00:00Z", "2023-12-31T02:00:00Z", "2024-01-31T02:00:00Z"),
        // AX-28: a push day on which the hour is left out, and one on which it comes twice.
        (
            "monthly last 02:30",
            "Europe/Berlin",
            "2024-03-31T00:00:00Z",
            "2024-02-29T01:30:00Z",
            "2024-03-31T01:30:00Z",
        ),
        (
            "monthly 25 02:30",
            "Europe/Berlin",
            "2026-10-25T01:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-11-25T01:30:00Z",
        ),
        // Half an hour is left out.
        (
            "daily 02:15",
            "Australia/Lord_Howe",
            "2026-10-03T12:00:00Z",
            "2026-10-02T15:45:00Z",
            "2026-10-03T15:45:00Z",
        ),
        // 2011-12-30 is no day in Apia.
        (
            "daily 09:00",
            "Pacific/Apia",
            "2011-12-29T20:00:00Z",
            "2011-12-29T19:00:00Z",
            "2011-12-30T19:00:00Z",
        ),
    ] {
        let table = table(&[("schedule.sync", cadence), (TIME_ZONE, zone)]);
        let fires = (table.last_until(SYNC, ms(at)).map(shown), table.next_after(SYNC, ms(at)).map(shown));
        assert_eq!(fires, (Some(last.into()), Some(next.into())), "{cadence} {zone} {at}");
    }
    assert_eq!(table(&[]).next_after(SYNC, 0), None);
    assert_eq!(table(&[]).last_until(SYNC, 0), None);
}

#[test]
fn what_was_missed_is_one_fire() {
    let table = table(&[("schedule.sync", "5m")]);
    let planned = ms("2026-03-01T10:00:00Z");
    let now = ms("2026-03-04T17:03:00Z");
    let found = look(&table, SYNC, Some(planned), now);
    assert_eq!(found.fire.map(shown), Some("2026-03-04T17:00:00Z".into()));
    assert_eq!(found.next.map(shown), Some("2026-03-04T17:05:00Z".into()));
    assert_eq!(found.late_for, Some(planned), "it is said");
    assert_eq!(look(&table, SYNC, found.next, now).fire, None);
    let soon = look(&table, SYNC, Some(planned), planned + 9 * 60_000);
    assert!(soon.fire.is_some() && soon.late_for.is_none(), "a restart is not worth a word");
    assert_eq!(look(&table, SYNC, None, now).fire, None, "a new schedule waits for its time");
}

#[test]
fn a_clock_that_was_ahead_does_not_silence_a_schedule() {
    let table = daily("06:00", "UTC");
    let ahead = look(&table, SYNC, Some(ms("2027-03-01T06:00:00Z")), ms("2026-03-01T07:00:00Z"));
    assert_eq!((ahead.fire, ahead.next.map(shown)), (None, Some("2026-03-02T06:00:00Z".into())));
}

#[test]
fn values_that_are_not_allowed_are_refused() {
    for (key, value) in [("schedule.sync", "sometimes"), (TIME_ZONE, "Mars/Olympus"), (FREEZE, "32")] {
        let values = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert!(Timetable::new(&values).unwrap_err().to_string().contains(value));
    }
    for at in [Millis::MIN, Millis::MAX] {
        for cadence in ["5m", "daily 03:00"] {
            let table = table(&[("schedule.sync", cadence)]);
            let _ = look(&table, SYNC, Some(0), at);
            let _ = table.is_frozen(at);
        }
    }
}

#[test]
fn a_freeze_goes_by_the_time_zone() {
    let table = table(&[(FREEZE, "last"), (TIME_ZONE, "Pacific/Auckland")]);
    assert!(table.is_frozen(ms("2026-03-30T11:00:00Z")), "it is the 31st there");
    assert!(!table.is_frozen(ms("2026-03-31T11:00:00Z")), "it is the 1st there");
}

const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Tehran",
    "Pacific/Kwajalein",
    "Antarctica/Troll",
];

/// Whether the zone has such a day at all.
fn exists(zone: &TimeZone, day: Date) -> bool {
    let begin = |day: Date| {
        zone.to_ambiguous_timestamp(day.to_datetime(jiff::civil::Time::midnight())).compatible().unwrap()
    };
    zone.to_datetime(begin(day)).date() == day
}

proptest! {
    #[test]
    fn every_day_has_exactly_one_fire(
        zone in proptest::sample::select(&ZONES[..]), hour in 0_i8..24, minute in 0_i8..60,
        year in 1990_i16..2060,
    ) {
        let table = daily(&format!("{hour:02}:{minute:02}"), zone);
        let first = jiff::civil::date(year, 1, 1);
        let mut at = table.zone.to_ambiguous_timestamp(first.at(0, 0, 0, 0)).compatible().unwrap()
            .as_millisecond() - 1;
        let mut days = BTreeSet::new();
        for _ in 0..370 {
            let next = table.next_after(SYNC, at).unwrap();
            prop_assert!(next > at);
            prop_assert_eq!(table.last_until(SYNC, next), Some(next));
            prop_assert_eq!(table.last_until(SYNC, next - 1).is_some_and(|last| last < next), true);
            prop_assert!(days.insert(table.day(next).unwrap()), "a day has two: {}", shown(next));
            at = next;
        }
        let mut day = first;
        while day < *days.last().unwrap() {
            prop_assert_eq!(days.contains(&day), exists(&table.zone, day), "{} in {}", day, zone);
            day = day.tomorrow().unwrap();
        }
    }

    /// Many workers, each with a clock of its own that jumps: the store takes a fire once, and that is all there is.
    #[test]
    fn a_clock_that_jumps_doubles_nothing_and_time_that_passes_fires(
        zone in proptest::sample::select(&ZONES[..]),
        jumps in proptest::collection::vec(-3_i64 * 3_600_000..30 * 3_600_000, 1..60),
    ) {
        let table = daily("02:30", zone);
        let (mut now, mut planned) = (ms("2026-03-20T00:00:00Z"), None);
        let mut taken = BTreeSet::new();
        for jump in jumps {
            now += jump;
            let found = look(&table, SYNC, planned, now);
            if let Some(fire) = found.fire {
                prop_assert!(fire <= now);
                prop_assert_eq!(table.last_until(SYNC, fire), Some(fire), "no fire of its own");
                taken.insert(fire);
            }
            prop_assert!(found.next.is_some_and(|next| next > now));
            planned = found.next;
        }
        let days: BTreeSet<Date> = taken.iter().map(|fire| table.day(*fire).unwrap()).collect();
        prop_assert_eq!(days.len(), taken.len());
    }
}

#[test]
fn ax_25_the_last_day_of_24_months_fires_once_each() {
    let table = table(&[("schedule.quantity", "monthly last 02:00")]);
    let mut at = ms("2023-12-31T02:00:00Z");
    for month in 1..=24 {
        let next = table.next_after(ScheduleKind::Quantity, at).unwrap();
        let day = Timestamp::from_millisecond(next).unwrap().to_zoned(TimeZone::UTC).date();
        assert_eq!(day, day.last_of_month(), "{day}");
        assert_eq!(i32::from(day.year()) * 12 + i32::from(day.month()), 2024 * 12 + month, "{day}");
        assert_eq!(table.last_until(ScheduleKind::Quantity, next), Some(next));
        at = next;
    }
}

#[test]
fn ax_26_ax_27_a_missed_push_is_made_up_once_and_then_the_regular_one() {
    let table = table(&[("schedule.quantity", "monthly 15 02:00")]);
    let planned = Some(ms("2023-03-15T02:00:00Z"));
    let after = |at: &str| look(&table, ScheduleKind::Quantity, planned, ms(at));
    // Down on the push day.
    let found = after("2023-03-17T09:00:00Z");
    assert_eq!((found.fire, found.late_for), (planned, planned));
    assert_eq!(found.next.map(shown).as_deref(), Some("2023-04-15T02:00:00Z"));
    // Down over the whole month: the last one alone.
    let found = after("2023-05-02T09:00:00Z");
    assert_eq!(found.fire.map(shown).as_deref(), Some("2023-04-15T02:00:00Z"));
    assert_eq!(found.next.map(shown).as_deref(), Some("2023-05-15T02:00:00Z"));
}

#[test]
fn ax_29_a_push_day_that_is_changed_in_the_month_pushes_once_a_month() {
    let on = |day: &str| table(&[("schedule.quantity", &format!("monthly {day} 02:00")), (TIME_ZONE, "UTC")]);
    let kind = ScheduleKind::Quantity;
    for (from, to, now, fire, next) in [
        // Pushed already: the new day counts from the next month on.
        ("15", "10", "2026-03-20T09:00:00Z", None, "2026-04-10T02:00:00Z"),
        // Not pushed yet, and the new day is over: at the next look.
        ("20", "10", "2026-03-12T09:00:00Z", Some("2026-03-10T02:00:00Z"), "2026-04-10T02:00:00Z"),
        ("last", "1", "2026-02-12T09:00:00Z", Some("2026-02-01T02:00:00Z"), "2026-03-01T02:00:00Z"),
        // Not pushed yet, and the new day is still to come.
        ("20", "15", "2026-03-12T09:00:00Z", None, "2026-03-15T02:00:00Z"),
        ("20", "28", "2026-03-12T09:00:00Z", None, "2026-03-28T02:00:00Z"),
    ] {
        let (old, new, now) = (on(from), on(to), ms(now));
        let planned = old.next_after(kind, now);
        let moved = new.moved(kind, &old.fingerprint(kind), planned, now);
        let look = look(&new, kind, moved, now);
        assert_eq!(look.fire.map(shown).as_deref(), fire, "{from} -> {to}");
        assert_eq!(shown(look.next.unwrap()), next, "{from} -> {to}");
        // Looked at again, nothing fires twice.
        let again = super::look(&new, kind, look.next, now);
        assert_eq!((again.fire, again.next), (None, look.next), "{from} -> {to}");
    }
    // Through a month that nothing was pushed in: the push that was missed is made up by the new day.
    let now = ms("2026-03-12T09:00:00Z");
    let planned = Some(ms("2026-02-20T02:00:00Z"));
    assert_eq!(
        on("10").moved(kind, &on("20").fingerprint(kind), planned, now).map(shown).as_deref(),
        Some("2026-03-10T02:00:00Z")
    );
    // A nightly run that becomes a push on a day waits for that day.
    let nightly = table(&[("schedule.quantity", "daily 02:00"), (TIME_ZONE, "UTC")]);
    let planned = nightly.next_after(kind, now);
    assert_eq!(
        on("10").moved(kind, &nightly.fingerprint(kind), planned, now).map(shown).as_deref(),
        Some("2026-04-10T02:00:00Z")
    );
}

/// Every fire of a kind in a span, seen by a service that looks every ten minutes and is started anew after each look.
fn fires(table: &Timetable, kind: ScheduleKind, from: &str, until: &str) -> Vec<Millis> {
    let (mut now, until) = (ms(from), ms(until));
    let (mut planned, mut seen) = (None, Vec::new());
    while now < until {
        let found = look(table, kind, planned, now);
        seen.extend(found.fire);
        planned = found.next;
        now += 10 * MINUTE_MS;
    }
    seen
}

/// The civil times of fires in a zone.
fn local(table: &Timetable, fires: &[Millis]) -> Vec<String> {
    let at = |fire: &Millis| Timestamp::from_millisecond(*fire).unwrap().to_zoned(table.zone.clone());
    fires.iter().map(|fire| at(fire).datetime().to_string()).collect()
}

#[test]
fn ax_23_push_day_15_is_one_push_a_month_on_the_15th_of_the_organizations_zone() {
    for zone in ["America/New_York", "Pacific/Auckland", "Asia/Kathmandu", "UTC"] {
        let table = table(&[("schedule.quantity", "monthly 15 02:00"), (TIME_ZONE, zone)]);
        let fires = fires(&table, ScheduleKind::Quantity, "2023-01-01T12:00:00Z", "2024-01-01T00:00:00Z");
        let expected: Vec<String> = (1..=12).map(|month| format!("2023-{month:02}-15T02:00:00")).collect();
        assert_eq!(local(&table, &fires), expected, "{zone}");
    }
}

#[test]
fn ax_24_a_push_day_that_a_month_does_not_have_is_its_last_day() {
    for (day, days) in [
        ("31", ["2023-01-31", "2023-02-28", "2023-03-31", "2023-04-30", "2024-02-29", "2024-03-31"]),
        ("30", ["2023-01-30", "2023-02-28", "2023-03-30", "2023-04-30", "2024-02-29", "2024-03-30"]),
        ("29", ["2023-01-29", "2023-02-28", "2023-03-29", "2023-04-29", "2024-02-29", "2024-03-29"]),
    ] {
        let table = table(&[("schedule.quantity", &format!("monthly {day} 02:00"))]);
        let fires = fires(&table, ScheduleKind::Quantity, "2023-01-01T00:00:00Z", "2024-04-01T00:00:00Z");
        let local = local(&table, &fires);
        assert_eq!(local.len(), 15, "{day}: one a month: {local:?}");
        for expected in days {
            assert!(local.contains(&format!("{expected}T02:00:00")), "{day}: {expected} in {local:?}");
        }
    }
}

#[test]
fn ax_28_mp_18_a_night_whose_clock_is_changed_has_exactly_one_run() {
    for (schedule, zone, from, until) in [
        // Left out, and twice; at the hour itself and in the middle of it.
        ("02:00", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
        ("02:30", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
        ("02:00", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ("02:30", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ("02:00", "America/New_York", "2026-03-07T17:00:00Z", "2026-03-08T17:00:00Z"),
        ("01:30", "America/New_York", "2026-10-31T17:00:00Z", "2026-11-01T17:00:00Z"),
    ] {
        for cadence in [format!("daily {schedule}"), format!("monthly {} {schedule}", &until[8..10])] {
            let table = table(&[("schedule.quantity", &cadence), (TIME_ZONE, zone)]);
            let fires = fires(&table, ScheduleKind::Quantity, from, until);
            assert_eq!(fires.len(), 1, "{cadence} {zone}: {:?}", local(&table, &fires));
        }
    }
}

#[test]
fn mp_18_a_year_of_nights_has_one_run_for_each_date_however_often_the_service_starts_anew() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"] {
        let table = table(&[("schedule.quantity", "daily 02:00"), (TIME_ZONE, zone)]);
        let fires = fires(&table, ScheduleKind::Quantity, "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z");
        let days: BTreeSet<Date> = fires.iter().map(|fire| table.day(*fire).unwrap()).collect();
        assert_eq!((fires.len(), days.len()), (days.len(), 366), "{zone}");
    }
}

#[test]
fn mp_19_a_missed_night_is_made_up_once_and_several_missed_ones_by_one_run() {
    let table = table(&[("schedule.quantity", "daily 02:00")]);
    let kind = ScheduleKind::Quantity;
    let planned = Some(ms("2023-03-15T02:00:00Z"));
    for (back, fire) in
        [("2023-03-15T09:00:00Z", "2023-03-15T02:00:00Z"), ("2023-03-18T09:00:00Z", "2023-03-18T02:00:00Z")]
    {
        let found = look(&table, kind, planned, ms(back));
        assert_eq!(found.fire.map(shown).as_deref(), Some(fire), "back at {back}");
        let again = look(&table, kind, found.next, ms(back) + MINUTE_MS);
        assert_eq!((again.fire, again.next), (None, found.next), "once");
        let day = Timestamp::from_millisecond(ms(back)).unwrap().to_zoned(TimeZone::UTC).date();
        let next = found.next.map(shown).unwrap_or_default();
        assert_eq!(next, format!("{}T02:00:00Z", day.tomorrow().unwrap()), "the regular one");
    }
}
