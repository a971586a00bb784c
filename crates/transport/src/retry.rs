//! When to try again, and how often.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use rand::RngExt;

use crate::outcome::Reply;

/// Retries are a tenth of the calls, plus a small reserve so that a short run may retry at all.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// In tenths of a retry, to stay with whole numbers.
    tenths: Mutex<u32>,
}

const RESERVE_TENTHS: u32 = 100;
const RETRY_TENTHS: u32 = 10;

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self { tenths: Mutex::new(RESERVE_TENTHS) }
    }

    /// Counts a first attempt, which earns a tenth of a retry.
    pub(crate) fn earn(&self) {
        let mut tenths = self.tenths.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *tenths = tenths.saturating_add(1).min(RESERVE_TENTHS);
    }

    /// Takes one retry out of the budget, where there is one left.
    pub(crate) fn spend(&self) -> bool {
        let mut tenths = self.tenths.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match tenths.checked_sub(RETRY_TENTHS) {
            Some(left) => {
                *tenths = left;
                true
            }
            None => false,
        }
    }
}

/// A random wait of up to `base * 2^strike`, capped: exponential back-off with full jitter.
pub(crate) fn backoff(base: Duration, cap: Duration, strike: u32) -> Duration {
    let ceiling = base.saturating_mul(1_u32.checked_shl(strike.min(16)).unwrap_or(u32::MAX)).min(cap);
    let ceiling_ms = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(rand::rng().random_range(0..=ceiling_ms))
}

/// How long the other side asks to wait: whole seconds, or a date compared with the answer's own `Date`.
///
/// The comparison is between two times of the same clock, so it does not matter how wrong either side's clock is.
pub(crate) fn retry_after(reply: &Reply) -> Option<Duration> {
    let value = reply.header("retry-after")?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(value)?;
    let now = http_date(reply.header("date")?)?;
    let seconds = until.as_second().saturating_sub(now.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn http_date(text: &str) -> Option<Timestamp> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn reply(headers: &[(&'static str, &'static str)]) -> Reply {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, HeaderValue::from_static(value));
        }
        Reply { status: StatusCode::TOO_MANY_REQUESTS, headers: map, body: Bytes::new() }
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        assert_eq!(retry_after(&reply(&[("retry-after", "30")])), Some(Duration::from_secs(30)));
        let dated = reply(&[
            ("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"),
            ("date", "Fri, 31 Dec 1999 23:59:29 GMT"),
        ]);
        assert_eq!(retry_after(&dated), Some(Duration::from_secs(30)));
        let past = reply(&[
            ("retry-after", "Fri, 31 Dec 1999 23:59:00 GMT"),
            ("date", "Fri, 31 Dec 1999 23:59:29 GMT"),
        ]);
        assert_eq!(retry_after(&past), Some(Duration::ZERO));
        for useless in ["soon", "-5", "", "1e9", "99999999999999999999999"] {
            let mut map = HeaderMap::new();
            map.insert("retry-after", HeaderValue::from_str(useless).unwrap());
            let r = Reply { status: StatusCode::TOO_MANY_REQUESTS, headers: map, body: Bytes::new() };
            assert_eq!(retry_after(&r), None, "{useless}");
        }
    }

    #[test]
    fn the_budget_is_a_tenth_of_the_calls() {
        let budget = RetryBudget::new();
        let reserve = (0..100).filter(|_| budget.spend()).count();
        assert_eq!(reserve, 10);
        (0..50).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 5);
    }

    #[test]
    fn backoff_stays_under_its_cap() {
        for strike in [0, 1, 5, 31, u32::MAX] {
            assert!(
                backoff(Duration::from_millis(10), Duration::from_millis(50), strike)
                    <= Duration::from_millis(50)
            );
        }
    }
}
