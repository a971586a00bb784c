//! What is counted, and what has to be billed of it: by the words of the rules, in whole numbers.

use super::rng::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the source counts.
pub const SERVICES: [&str; 6] = ["mailbox", "archive", "storage", "shield-a", "shield-b", "seat"];
/// What is billed: the item, what it is called, and what it costs in the catalog at first, in cents.
pub const ITEMS: [(i64, &str, i64, i64); 5] = [
    (7, "MAILBOX", 2_200, 1_760),
    (8, "ARCHIVE", 350, 100),
    (9, "STORAGE-GB", 12, 2),
    (10, "SHIELD", 410, 300),
    (11, "SEAT-PACK", 1_999, 900),
];
/// Bytes of a gigabyte.
const GB: i64 = 1_000_000_000;

/// A level of before the year, told late: nothing is ever billed by it. No true level comes near.
pub const LATE: i64 = 9_000;

/// The item that bills a service.
pub fn item_of(service: &str) -> i64 {
    match service {
        "mailbox" => 7,
        "archive" => 8,
        "storage" => 9,
        "shield-a" | "shield-b" => 10,
        _ => 11,
    }
}

/// What somebody has of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What is really there.
    pub level: i64,
    /// What the source told last, and of which day; none where it told nothing yet.
    pub last: Option<(String, u64)>,
    /// The day of the newest level that a run can have billed.
    pub newest: u64,
}

/// All levels.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub BTreeMap<(usize, &'static str), Told>);

impl Counts {
    pub fn new(customers: usize, rng: &mut Rng) -> Self {
        let mut all = BTreeMap::new();
        for customer in 0..customers {
            for service in SERVICES {
                if rng.chance(850) || service == "mailbox" {
                    let level = first(service, rng);
                    all.insert((customer, service), Told { level, last: None, newest: 0 });
                }
            }
        }
        Self(all)
    }

    /// A day goes by.
    pub fn live(&mut self, rng: &mut Rng) {
        for ((_, service), told) in &mut self.0 {
            if !rng.chance(120) {
                continue;
            }
            let step = if *service == "storage" { 700_000_000 } else { 1 };
            told.level = match rng.below(20) {
                0 => 0,
                1 => told.level / 4,
                2 if told.level < 1_000 * step => told.level * 3 + step,
                3..=8 => (told.level - rng.within(1, 3) * step).max(0),
                _ => told.level + rng.within(1, 4) * step,
            };
        }
    }

    /// What the source tells of a day: all of it, or what came through.
    pub fn feed(&mut self, day: u64, date: &str, rng: &mut Rng, clean: bool) -> String {
        let mut lines = String::new();
        for ((customer, service), told) in &mut self.0 {
            let line = |value: &str, as_of: &str| {
                let mut record = json!({"type": "counter", "customer": format!("c-{customer}"), "product": service,
                    "value": value, "as_of": as_of});
                if *service == "storage" {
                    record["unit"] = json!("byte");
                }
                format!("{record}\n")
            };
            let at = format!("{date}T00:10:00Z");
            match if clean { 99 } else { rng.below(100) } {
                0..=3 => {}
                // Not even a number that can be: refused at the door, and the others go on.
                4 => lines.push_str(&line("-3", &at)),
                // Half a mailbox is billed by nobody.
                5 if *service != "storage" => {
                    lines.push_str(&line("3.5", &at));
                    told.last = Some(("3.5".to_owned(), day));
                }
                // Late news, from before what was billed.
                6 if told.newest + 3 < day && told.newest > 0 => {
                    let late = if *service == "storage" { LATE * GB } else { LATE };
                    lines.push_str(&line(&late.to_string(), "2023-12-24T00:00:00Z"));
                    told.last = Some((late.to_string(), 0));
                }
                _ => {
                    lines.push_str(&line(&told.level.to_string(), &at));
                    told.last = Some((told.level.to_string(), day));
                    told.newest = day;
                }
            }
        }
        lines
    }

    /// What must be billed of what the source told last; none where nothing was told, or not all of it can be billed.
    pub fn wanted(&self, customer: usize, item: i64) -> Option<i64> {
        let parts: Vec<&Told> = SERVICES
            .iter()
            .filter(|service| item_of(service) == item)
            .filter_map(|service| self.0.get(&(customer, *service)))
            .filter(|told| told.last.is_some())
            .collect();
        let mut sum = 0_i64;
        for told in &parts {
            let (text, day) = told.last.as_ref()?;
            if *day < told.newest {
                return None;
            }
            sum += text.parse::<i64>().ok()?;
        }
        (!parts.is_empty()).then(|| billed(item, sum))
    }
}

fn first(service: &str, rng: &mut Rng) -> i64 {
    if service == "storage" { rng.within(0, 900) * 333_333_333 } else { rng.within(1, 40) }
}

/// The rule of an item, in words: storage by the gigabyte that is begun; of seats two are free, no more than sixty are
/// billed, in packs of five; everything else as it is counted.
fn billed(item: i64, sum: i64) -> i64 {
    match item {
        9 => (sum + GB - 1) / GB,
        11 => ((sum - 2).clamp(0, 60) + 4) / 5,
        _ => sum,
    }
}

/// The rules as they are set, by item.
pub fn rules() -> Vec<(i64, Value)> {
    vec![
        (10, json!({"add_up": true})),
        (11, json!({"included": "2", "maximum": "60", "pack": {"size": "5"}})),
    ]
}
