//! What the source tells of alerts, and what is so.

use super::nights::MINUTE;
use super::rng::Rng;
use serde_json::json;
use std::collections::BTreeMap;
use trueup_engine::records::Millis;

/// The kinds that are told. Each has a rule of its own, or that of every kind.
pub const KINDS: [&str; 5] =
    ["failed_backup", "quota_reached", "account_locked", "disk_usage", "sync_conflict"];
/// Back within this it is the same ticket.
const SAME_TICKET: Millis = 24 * 60 * MINUTE;

/// Whose, of what kind, and about what.
pub type Key = (usize, &'static str, String);

/// One alert, as it is at the source.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub open: bool,
    /// Since when.
    pub since: Millis,
    /// When it was over last.
    pub over: Option<Millis>,
    /// How often it came up.
    pub openings: u32,
    /// So many tickets at most, unless people delete some: one for each time it came up long after it was gone.
    pub most: usize,
    /// Whether trueup must have made a ticket of it by now.
    pub owed: bool,
    last: Millis,
}

/// All alerts.
#[derive(Clone, Debug, Default)]
pub struct Alerts(pub BTreeMap<Key, Known>);

impl Alerts {
    /// What happens in some hours, as the feed tells it.
    pub fn live(&mut self, rng: &mut Rng, now: Millis) -> String {
        let mut lines = String::new();
        for _ in 0..rng.below(4) {
            let key = (
                usize::try_from(rng.below(super::desk::CUSTOMERS as u64)).unwrap(),
                KINDS[usize::try_from(rng.below(KINDS.len() as u64)).unwrap()],
                format!("device-{}", rng.below(3)),
            );
            let times = if rng.chance(60) { 12 } else { 1 };
            for n in 0..times {
                // On and off, or once.
                self.happen(&key, now + n * 2 * MINUTE, rng, &mut lines);
            }
        }
        // All at once, and over with the next day's.
        if rng.chance(8) {
            let customer = usize::try_from(rng.below(super::desk::CUSTOMERS as u64)).unwrap();
            for n in 0..24 {
                let key = (customer, "failed_backup", format!("rack-{n}"));
                if !self.0.get(&key).is_some_and(|known| known.open) {
                    self.happen(&key, now, rng, &mut lines);
                }
            }
        }
        lines
    }

    fn happen(&mut self, key: &Key, at: Millis, rng: &mut Rng, lines: &mut String) {
        let known = self.0.entry(key.clone()).or_default();
        let before = known.last;
        let at = at.max(before + 2_000);
        let repeats = known.open && rng.chance(300);
        if !repeats {
            known.open = !known.open;
            if known.open {
                known.since = at;
                known.openings += 1;
                if known.over.is_none_or(|over| at - over > SAME_TICKET) {
                    known.most += 1;
                }
            } else {
                known.over = Some(at);
            }
        }
        known.last = at;
        let word = match (known.open, repeats) {
            (true, true) => "updated",
            (true, false) => "open",
            (false, _) => "closed",
        };
        let id = format!("{}-{}-{}-{}", key.0, key.1, key.2, known.openings);
        let line = |id: &str, word: &str, at: Millis| {
            let at = jiff::Timestamp::from_millisecond(at).unwrap();
            format!(
                "{}\n",
                json!({"type": "alert", "id": id, "customer": format!("c-{}", key.0), "kind": key.1, "state": word,
                    "at": at.to_string(), "summary": format!("{} of {}", key.1, key.2), "severity": "error",
                    "subject": key.2})
            )
        };
        lines.push_str(&line(&id, word, at));
        // What is told late says nothing of now.
        if before > 0 && rng.chance(40) {
            lines.push_str(&line(&format!("{id}-late"), "open", before - 1_000));
        }
    }
}
