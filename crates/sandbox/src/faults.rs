//! Faults on purpose: a schedule for exact cases, a seed with rates for storms.
//!
//! Both are deterministic: the schedule counts matching calls, the rates hash the seed with the call's number.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::json::decimal;

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// The connection closes; nothing is carried out.
    DropBefore,
    /// The call is carried out; the connection closes without an answer.
    DropAfter,
    /// The connection closes at once; the call is carried out later.
    Late(u64),
    /// Another answer instead; nothing is carried out.
    Status(StatusFault),
    /// The answer waits.
    Slow(u64),
    /// The answer breaks off in the middle.
    Truncate,
    /// A list page misses its last rows and says nothing of a next page.
    ShortPage,
}

/// An answer made up by a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusFault {
    /// The status.
    pub status: u16,
    /// The `Retry-After` header, in seconds.
    pub retry_after: Option<u64>,
    /// A body instead of the vendor's for this status.
    pub body: Option<String>,
    /// The body is HTML, as a proxy in front of the server would send.
    pub html: bool,
}

impl Action {
    /// The word used in the interface and in the journal.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Action::DropBefore => "drop_before",
            Action::DropAfter => "drop_after",
            Action::Late(_) => "late",
            Action::Status(fault) if fault.html => "html",
            Action::Status(_) => "status",
            Action::Slow(_) => "slow",
            Action::Truncate => "truncate",
            Action::ShortPage => "short_page",
        }
    }
}

/// `POST /sandbox/faults`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FaultPlan {
    schedule: Vec<Scheduled>,
    seed: u64,
    rates: BTreeMap<String, serde_json::Number>,
    #[serde(rename = "match")]
    only: Match,
    delay_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scheduled {
    #[serde(rename = "match", default)]
    only: Match,
    #[serde(default = "one")]
    nth: u64,
    #[serde(default = "one")]
    times: u64,
    action: String,
    status: Option<u16>,
    retry_after: Option<u64>,
    delay_ms: Option<u64>,
    body: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Match {
    method: Option<String>,
    path_contains: Option<String>,
    query_contains: Option<String>,
    body_contains: Option<String>,
}

fn one() -> u64 {
    1
}

/// A call as faults look at it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'c> {
    /// Its number.
    pub number: u64,
    /// Its method.
    pub method: &'c str,
    /// Its path.
    pub path: &'c str,
    /// Its query, as sent.
    pub query: &'c str,
    /// Its body.
    pub body: &'c str,
}

impl Match {
    fn meets(&self, call: Call<'_>) -> bool {
        let within = |part: &Option<String>, whole: &str| {
            part.as_ref().is_none_or(|part| whole.to_lowercase().contains(&part.to_lowercase()))
        };
        self.method.as_ref().is_none_or(|method| method.eq_ignore_ascii_case(call.method))
            && within(&self.path_contains, call.path)
            && within(&self.query_contains, call.query)
            && within(&self.body_contains, call.body)
    }
}

/// The faults in force.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    schedule: Vec<(Scheduled, Action, u64)>,
    rates: Vec<(String, u64)>,
    seed: u64,
    only: Match,
    delay_ms: u64,
}

/// Rates are counted in millionths.
const WHOLE: u64 = 1_000_000;

impl Faults {
    /// Checks a plan; the text says what is wrong with it.
    pub(crate) fn new(plan: FaultPlan) -> Result<Self, String> {
        let delay_ms = plan.delay_ms.unwrap_or(200);
        let mut schedule = Vec::with_capacity(plan.schedule.len());
        for entry in plan.schedule {
            let delay = entry.delay_ms.unwrap_or(delay_ms);
            let action = action(&entry.action, entry.status, entry.retry_after, entry.body.clone(), delay)?;
            schedule.push((entry, action, 0));
        }
        let mut rates = Vec::with_capacity(plan.rates.len());
        for (word, rate) in plan.rates {
            action(&word, None, None, None, delay_ms)?;
            let rate =
                decimal(&rate.to_string()).filter(|rate| *rate >= Decimal::ZERO && *rate <= Decimal::ONE);
            let rate = rate.ok_or_else(|| format!("the rate of {word} must be from 0 to 1"))?;
            let millionths = rate.checked_mul(Decimal::from(WHOLE)).map(|rate| rate.trunc());
            rates.push((word, millionths.and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)));
        }
        Ok(Faults { schedule, rates, seed: plan.seed, only: plan.only, delay_ms })
    }

    /// What happens to this call. The first scheduled fault that is due wins.
    pub(crate) fn decide(&mut self, call: Call<'_>) -> Option<Action> {
        let mut due = None;
        for (entry, action, seen) in &mut self.schedule {
            if !entry.only.meets(call) {
                continue;
            }
            *seen += 1;
            if due.is_none() && *seen >= entry.nth && *seen < entry.nth.saturating_add(entry.times) {
                due = Some(action.clone());
            }
        }
        if due.is_some() || self.rates.is_empty() || !self.only.meets(call) {
            return due;
        }
        let hash = mix(self.seed ^ mix(call.number));
        let mut place = hash % WHOLE;
        for (word, rate) in &self.rates {
            if place < *rate {
                // Every second made-up refusal comes without a Retry-After.
                let retry_after = ((hash >> 32) & 1 == 0).then_some(1);
                return action(word, None, retry_after, None, self.delay_ms).ok();
            }
            place -= rate;
        }
        None
    }
}

fn action(
    word: &str,
    status: Option<u16>,
    retry_after: Option<u64>,
    body: Option<String>,
    delay_ms: u64,
) -> Result<Action, String> {
    let answer = |status: u16, html: bool| {
        Action::Status(StatusFault { status, retry_after, body: body.clone(), html })
    };
    Ok(match word {
        "drop_before" => Action::DropBefore,
        "drop_after" => Action::DropAfter,
        "late" => Action::Late(delay_ms),
        "slow" => Action::Slow(delay_ms),
        "truncate" => Action::Truncate,
        "short_page" => Action::ShortPage,
        "html" => answer(status.unwrap_or(502), true),
        "status" => answer(status.unwrap_or(503), false),
        other => match other.strip_prefix("status_").and_then(|code| code.parse().ok()) {
            Some(code) if (400..=599).contains(&code) => answer(code, false),
            _ => return Err(format!("{other} is not a fault")),
        },
    })
}

/// SplitMix64's finalizer: spreads consecutive numbers evenly.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Faults {
        Faults::new(serde_json::from_str(text).unwrap()).unwrap()
    }

    fn call(number: u64) -> Call<'static> {
        Call { number, method: "POST", path: "/finance/agreements/1/additions", query: "", body: "" }
    }

    #[test]
    fn the_schedule_counts_matching_calls() {
        let mut faults = faults(
            r#"{"schedule":[{"match":{"method":"post","path_contains":"Additions"},"nth":2,"times":2,
                "action":"drop_after"}]}"#,
        );
        let words: Vec<_> = (0..4).map(|n| faults.decide(call(n)).map(|action| action.word())).collect();
        assert_eq!(words, [None, Some("drop_after"), Some("drop_after"), None]);
    }

    #[test]
    fn rates_are_repeatable_and_about_right() {
        let text = r#"{"seed":42,"rates":{"drop_before":0.1,"status_503":0.2}}"#;
        let run = |mut faults: Faults| (0..10_000).map(|n| faults.decide(call(n))).collect::<Vec<_>>();
        let first = run(faults(text));
        assert_eq!(first, run(faults(text)));
        let dropped = first.iter().flatten().filter(|action| **action == Action::DropBefore).count();
        assert!((900..1100).contains(&dropped), "{dropped}");
    }

    #[test]
    fn a_wrong_plan_is_refused() {
        let plan: FaultPlan = serde_json::from_str(r#"{"rates":{"explode":0.1}}"#).unwrap();
        assert!(Faults::new(plan).is_err());
    }
}
