//! The sandbox's own time: a day that can be set, and seconds that pass in it.
//!
//! Invoicing needs a "today" that a test can move; `lastUpdated` needs instants that never go back while it stays
//! where it is. Both come from here.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// The sandbox's clock.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    fixed: Option<Date>,
    base: Timestamp,
    since: Instant,
}

impl Clock {
    /// A clock that stands on a day, or follows the machine's.
    pub(crate) fn new(today: Option<Date>) -> Self {
        let base = match today.and_then(|day| day.to_zoned(TimeZone::UTC).ok()) {
            Some(midnight) => midnight.timestamp(),
            None => machine_now(),
        };
        Clock { fixed: today, base, since: Instant::now() }
    }

    /// The day.
    pub(crate) fn today(&self) -> Date {
        self.fixed.unwrap_or_else(|| self.now().to_zoned(TimeZone::UTC).date())
    }

    /// The instant, in UTC.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = Duration::from_secs(self.since.elapsed().as_secs());
        self.base.checked_add(elapsed).unwrap_or(self.base)
    }

    /// The instant as text, to the second.
    pub(crate) fn now_text(&self) -> String {
        instant_text(self.now().as_second())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox is a world of its own; this is its only look at a clock"
)]
fn machine_now() -> Timestamp {
    Timestamp::now()
}

/// An instant as `yyyy-MM-ddTHH:mm:ssZ`.
pub(crate) fn instant_text(second: i64) -> String {
    match Timestamp::from_second(second) {
        Ok(instant) => instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => "1970-01-01T00:00:00Z".to_owned(),
    }
}

/// The first instant of a day as `yyyy-MM-ddT00:00:00Z`.
pub(crate) fn day_text(day: Date) -> String {
    format!("{day}T00:00:00Z")
}

/// The day of a date-time text; the time part is ignored.
pub(crate) fn day_of(text: &str) -> Option<Date> {
    text.get(..10)?.parse().ok()
}

/// Whether a text is exactly `yyyy-MM-ddTHH:mm:ssZ`; the vendor refuses milliseconds and offsets.
pub(crate) fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 20
        && bytes[19] == b'Z'
        && bytes[10] == b'T'
        && text.get(..19).is_some_and(|head| head.parse::<jiff::civil::DateTime>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_date_form_is_accepted() {
        assert!(is_date_time("2026-03-15T00:00:00Z"));
        for wrong in
            ["2026-03-15", "2026-03-15T00:00:00.000Z", "2026-03-15T00:00:00+00:00", "2026-02-30T00:00:00Z"]
        {
            assert!(!is_date_time(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_set_day_stands_still() {
        let clock = Clock::new("2026-03-01".parse().ok());
        assert_eq!(clock.today().to_string(), "2026-03-01");
        assert!(clock.now_text().starts_with("2026-03-01T00:00:0"));
    }
}
