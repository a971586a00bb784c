//! Hours in which nothing is made that rings.

use super::Millis;
use crate::schedule::time_zone;
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

/// Quiet hours of every day; they may reach over midnight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    from: Time,
    to: Time,
    zone: TimeZone,
}

impl Quiet {
    /// Reads `22:00-06:00` in a time zone.
    pub fn parse(text: &str, zone: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (time(from.trim())?, time(to.trim())?);
        (from != to).then_some(Self { from, to, zone: time_zone(zone)? })
    }

    /// Whether it is quiet at `now`, and until when.
    pub fn holds(&self, now: Millis) -> Option<Millis> {
        let at = self.zone.to_datetime(Timestamp::from_millisecond(now).ok()?);
        let (clock, day) = (at.time(), at.date());
        let tonight = self.from > self.to && clock >= self.from;
        let inside = if self.from < self.to {
            (self.from..self.to).contains(&clock)
        } else {
            tonight || clock < self.to
        };
        if !inside {
            return None;
        }
        let day = if tonight { day.tomorrow().ok()? } else { day };
        let end = self.zone.to_ambiguous_timestamp(day.to_datetime(self.to)).compatible().ok()?;
        Some(end.as_millisecond().max(now.saturating_add(1)))
    }
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let part = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<i8>().ok())?
    };
    Time::new(part(hour)?, part(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::Quiet;

    fn at(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn quiet_hours_reach_over_midnight_in_their_zone() {
        let quiet = Quiet::parse("22:00-06:00", "Europe/Berlin").unwrap();
        assert_eq!(quiet.holds(at("2023-03-10T20:59:00Z")), None);
        assert_eq!(quiet.holds(at("2023-03-10T21:00:00Z")), Some(at("2023-03-11T05:00:00Z")));
        assert_eq!(quiet.holds(at("2023-03-11T04:59:00Z")), Some(at("2023-03-11T05:00:00Z")));
        assert_eq!(quiet.holds(at("2023-03-11T05:00:00Z")), None);
        let noon = Quiet::parse("12:00-13:00", "UTC").unwrap();
        assert_eq!(noon.holds(at("2023-03-10T12:30:00Z")), Some(at("2023-03-10T13:00:00Z")));
        // The night in which an hour is left out: 02:30 comes as 03:30.
        let night = Quiet::parse("01:00-02:30", "Europe/Berlin").unwrap();
        assert_eq!(night.holds(at("2023-03-26T00:10:00Z")), Some(at("2023-03-26T01:30:00Z")));
        assert!(Quiet::parse("22:00", "UTC").is_none() && Quiet::parse("22:00-22:00", "UTC").is_none());
        assert!(Quiet::parse("25:00-06:00", "UTC").is_none() && Quiet::parse("+1:00-06:00", "UTC").is_none());
    }
}
