//! Who is told of findings by mail, of which, and when.

use crate::records::Millis;
use crate::schedule::{ScheduleKind, TIME_ZONE, Timetable};
use serde::Deserialize;
use std::collections::BTreeMap;
use trueup_domain::finding::Severity;
use trueup_domain::settings::{SettingError, addresses, row_of};

/// The language of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

/// The settings of mails of one organization.
#[derive(Clone, Debug)]
pub struct Notify {
    /// To whom.
    pub to: Vec<String>,
    /// Whether more than errors is told.
    pub all: bool,
    /// Whether errors are told when they come up.
    pub at_once: bool,
    /// The language.
    pub language: Language,
    digest: Timetable,
}

/// A finding, as the event of its opening holds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Told {
    /// Its code.
    pub code: String,
    /// How grave it is.
    pub severity: Severity,
    /// What happened and why.
    pub message: String,
    /// What to do.
    pub fix: String,
}

/// What is done with findings that came up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// They are told now.
    pub now: Vec<Told>,
    /// Whether some are left for the digest.
    pub later: bool,
}

impl Notify {
    /// From the values that hold; those that are missing take their defaults.
    ///
    /// # Errors
    /// A value that the settings table does not allow.
    pub fn new(values: &BTreeMap<String, String>) -> Result<Self, SettingError> {
        let text = |key: &str| -> Result<String, SettingError> {
            let row = row_of(key)?;
            let value = values.get(key).map_or(row.default, String::as_str);
            row.check(value)?;
            Ok(value.to_owned())
        };
        // The digest is a daily schedule like any other, in the same zone.
        let mut times = BTreeMap::from([(ScheduleKind::Check.setting().to_owned(), text("notify.digest")?)]);
        times.insert(TIME_ZONE.to_owned(), text(TIME_ZONE)?);
        Ok(Self {
            to: addresses(&text("notify.to")?).unwrap_or_default(),
            all: text("notify.findings")? == "all",
            at_once: text("notify.errors")? == "at_once",
            language: if text("notify.language")? == "de" { Language::German } else { Language::English },
            digest: Timetable::new(&times)?,
        })
    }

    /// Sorts findings that came up.
    pub fn sort(&self, findings: Vec<Told>) -> Sorted {
        let mut sorted = Sorted::default();
        for finding in findings {
            if self.at_once && finding.severity == Severity::Error {
                sorted.now.push(finding);
            } else {
                sorted.later |= self.is_for_digest(&finding);
            }
        }
        sorted
    }

    /// Whether a finding is told in the digest.
    pub fn is_for_digest(&self, finding: &Told) -> bool {
        match finding.severity {
            Severity::Error => !self.at_once,
            Severity::Warning | Severity::Info => self.all,
        }
    }

    /// The instant of the digest that is due at `now`, where the last one was that of `last`; none where none is due.
    pub fn due(&self, last: Option<Millis>, now: Millis) -> Option<Millis> {
        let due = self.digest.last_until(ScheduleKind::Check, now)?;
        last.is_none_or(|last| due > last).then_some(due)
    }

    /// Whether there is a digest at all.
    pub fn has_digest(&self, now: Millis) -> bool {
        self.digest.next_after(ScheduleKind::Check, now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(pairs: &[(&str, &str)]) -> Notify {
        let values = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Notify::new(&values).unwrap()
    }

    fn told(severity: Severity) -> Told {
        Told { code: "TU1001".into(), severity, message: "m".into(), fix: "f".into() }
    }

    #[test]
    fn errors_are_told_at_once_and_the_rest_where_it_is_wanted() {
        let all = || vec![told(Severity::Error), told(Severity::Warning)];
        let sorted = notify(&[]).sort(all());
        assert_eq!((sorted.now.len(), sorted.later), (1, false));
        let sorted = notify(&[("notify.findings", "all")]).sort(all());
        assert_eq!((sorted.now.len(), sorted.later), (1, true));
        let digest = notify(&[("notify.errors", "digest")]);
        let sorted = digest.sort(all());
        assert_eq!((sorted.now.len(), sorted.later), (0, true));
        assert!(!digest.is_for_digest(&told(Severity::Warning)));
    }

    #[test]
    fn the_digest_is_due_once_a_day_in_its_zone() {
        // 1 March 2026, 06:00 UTC is 07:00 in Berlin.
        let seven = 1_772_344_800_000;
        let berlin = notify(&[("schedule.time_zone", "Europe/Berlin")]);
        let day = 86_400_000;
        assert_eq!(berlin.due(Some(seven - day), seven - 1), None);
        assert_eq!(berlin.due(Some(seven - day), seven), Some(seven));
        assert_eq!(berlin.due(Some(seven), seven + day - 1), None);
        // After downtime one digest makes up for all that were missed.
        assert_eq!(berlin.due(Some(seven), seven + 3 * day + 5), Some(seven + 3 * day));
        let off = notify(&[("notify.digest", "off")]);
        assert_eq!((off.due(None, seven), off.has_digest(seven)), (None, false));
    }

    #[test]
    fn addresses_are_read() {
        let to = |text: &str| notify(&[("notify.to", text)]).to;
        assert_eq!(to("a@example.com, b@example.com,A@example.com"), ["a@example.com", "b@example.com"]);
        assert!(to("").is_empty());
        for wrong in ["a", "a@", "@b", "a@b@c", "a b@c.d", "<a@b.c>", "a@b.c\r\nbcc: x@y.z", "ä@b.c"] {
            let values = BTreeMap::from([("notify.to".to_owned(), wrong.to_owned())]);
            assert!(Notify::new(&values).is_err(), "{wrong}");
        }
    }
}
