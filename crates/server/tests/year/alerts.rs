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
pub struct Alerts(pub BTreeMap<Key, Known>, pub Vec<String>);

impl Alerts {
    /// What happens in some hours, as the feed tells it.
    pub fn live(&mut self, rng: &mut Rng, now: Millis) -> String {
        // Openings that are delivered after their ends.
        let mut lines = std::mem::take(&mut self.1).concat();
        for _ in 0..rng.below(4) {
            let key = any(rng);
            let times = if rng.chance(60) { 12 } else { 1 };
            for n in 0..times {
                // On and off, or once.
                self.happen(&key, now + n * 2 * MINUTE, rng, &mut lines);
            }
        }
        if rng.chance(100) {
            self.come_and_go(now, rng, &mut lines);
        }
        if rng.chance(100) {
            self.become_another(now, rng, &mut lines);
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
        let id = id_of(key, known);
        lines.push_str(&line(key, &id, word, at));
        // What is told late says nothing of now.
        if before > 0 && rng.chance(40) {
            lines.push_str(&line(key, &format!("{id}-late"), "open", before - 1_000));
        }
    }

    /// Something comes and goes, and its end is told hours before its beginning.
    fn come_and_go(&mut self, now: Millis, rng: &mut Rng, lines: &mut String) {
        let key = any(rng);
        let known = self.0.entry(key.clone()).or_default();
        if known.open || known.last + 5 * MINUTE > now {
            return;
        }
        known.openings += 1;
        known.last = now - MINUTE;
        let id = format!("{}-turned", id_of(&key, known));
        lines.push_str(&line(&key, &format!("{id}-end"), "closed", now - MINUTE));
        self.1.push(line(&key, &id, "open", now - 2 * MINUTE));
    }

    /// A record that told of one thing tells of another from now on: the first is over.
    fn become_another(&mut self, now: Millis, rng: &mut Rng, lines: &mut String) {
        let key = any(rng);
        let other = (key.0, key.1, format!("device-{}", rng.below(3)));
        let is_free = |known: Option<&Known>| known.is_none_or(|k| !k.open && k.last + 5 * MINUTE < now);
        let lasts = self.0.get(&key).is_some_and(|known| known.open && known.last + 5 * MINUTE < now);
        if other == key || !lasts || !is_free(self.0.get(&other)) {
            return;
        }
        let known = self.0.get_mut(&key).unwrap();
        let id = id_of(&key, known);
        (known.open, known.over, known.last) = (false, Some(now), now);
        let known = self.0.entry(other.clone()).or_default();
        (known.open, known.since, known.last) = (true, now, now);
        known.openings += 1;
        if known.over.is_none_or(|over| now - over > SAME_TICKET) {
            known.most += 1;
        }
        lines.push_str(&line(&other, &id, "open", now));
    }
}

fn any(rng: &mut Rng) -> Key {
    (
        usize::try_from(rng.below(super::desk::CUSTOMERS as u64)).unwrap(),
        KINDS[usize::try_from(rng.below(KINDS.len() as u64)).unwrap()],
        format!("device-{}", rng.below(3)),
    )
}

/// The record that tells of an opening and of its end.
fn id_of(key: &Key, known: &Known) -> String {
    format!("{}-{}-{}-{}", key.0, key.1, key.2, known.openings)
}

fn line(key: &Key, id: &str, word: &str, at: Millis) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap();
    let mut record = json!({"type": "alert", "id": id, "customer": format!("c-{}", key.0), "kind": key.1, "state": word,
        "at": at.to_string(), "summary": format!("{} of {}", key.1, key.2), "severity": "error", "subject": key.2});
    // Of one kind the source gives keys of its own.
    if key.1 == "account_locked" {
        record["key"] = json!(format!("{}/{}", key.1, key.2));
    }
    format!("{record}\n")
}
