//! The limit on sign-in: after a few failures an address, or an account, has to wait longer with every further one.
//!
//! Kept in memory: every process of the API counts for itself.

use std::collections::HashMap;
use std::sync::Mutex;
use trueup_engine::records::Millis;

/// Failures of one account from one address that cost nothing.
const FREE_OF_PAIR: u32 = 5;
/// Failures from one address, over all accounts, that cost nothing.
const FREE_OF_ADDRESS: u32 = 30;
/// Failures at one account, from everywhere, that cost nothing. Higher, so that strangers cannot shut a person out.
const FREE_OF_ACCOUNT: u32 = 100;
/// The first wait; it doubles with every further failure.
const FIRST_WAIT_MS: Millis = 1_000;
/// The longest wait.
const LONGEST_WAIT_MS: Millis = 15 * 60 * 1_000;
/// After so long without a failure everything is forgotten.
const FORGET_MS: Millis = 60 * 60 * 1_000;
/// More than so many counters are not kept: the oldest go first.
const MOST: usize = 50_000;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Millis,
    free: u32,
}

/// An attempt whose outcome is not known yet: what it counts for, and when each failed last before it.
#[derive(Debug)]
pub struct Attempt {
    at: Millis,
    before: [(String, Millis); 3],
}

impl Failures {
    fn open_at(&self) -> Millis {
        let over = self.count.saturating_sub(self.free);
        if over == 0 {
            return 0;
        }
        let wait = FIRST_WAIT_MS.saturating_mul(1_i64 << over.saturating_sub(1).min(20));
        self.last.saturating_add(wait.min(LONGEST_WAIT_MS))
    }
}

/// Counts failures.
#[derive(Debug, Default)]
pub struct SignInLimiter(Mutex<HashMap<String, Failures>>);

impl SignInLimiter {
    fn keys(address: &str, account: &str) -> [(String, u32); 3] {
        [
            (format!("pair {address} {account}"), FREE_OF_PAIR),
            (format!("address {address}"), FREE_OF_ADDRESS),
            (format!("account {account}"), FREE_OF_ACCOUNT),
        ]
    }

    /// Seconds to wait before the next attempt; none where it may be made now.
    pub fn wait(&self, address: &str, account: &str, now: Millis) -> Option<u64> {
        let map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let open = Self::keys(address, account)
            .iter()
            .filter_map(|(key, _)| map.get(key))
            .filter(|failures| now.saturating_sub(failures.last) < FORGET_MS)
            .map(Failures::open_at)
            .max()
            .unwrap_or(0);
        (open > now).then(|| u64::try_from((open - now + 999) / 1_000).unwrap_or(1))
    }

    /// Notes an attempt as a failure, before its outcome is known: attempts at the same time do not slip through
    /// together.
    pub fn attempted(&self, address: &str, account: &str, now: Millis) -> Attempt {
        let mut map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if map.len() >= MOST {
            map.retain(|_, failures| now.saturating_sub(failures.last) < FORGET_MS);
        }
        if map.len() >= MOST
            && let Some(oldest) = map.iter().min_by_key(|(_, f)| f.last).map(|(key, _)| key.clone())
        {
            map.remove(&oldest);
        }
        let before = Self::keys(address, account).map(|(key, free)| {
            let failures = map.entry(key.clone()).or_insert(Failures { count: 0, last: now, free });
            let last = failures.last;
            if now.saturating_sub(failures.last) >= FORGET_MS {
                failures.count = 0;
            }
            failures.count = failures.count.saturating_add(1);
            failures.last = now;
            (key, last)
        });
        Attempt { at: now, before }
    }

    /// Notes a success: what was counted for this attempt is taken back, with the wait that it began, and this account
    /// is no stranger at this address.
    pub fn succeeded(&self, attempt: Attempt) {
        let mut map = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (at, (key, last)) in attempt.before.into_iter().enumerate() {
            let left = map.get_mut(&key).map_or(0, |failures| {
                failures.count = failures.count.saturating_sub(1);
                if failures.last == attempt.at {
                    failures.last = last;
                }
                failures.count
            });
            if at == 0 || left == 0 {
                map.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_and_is_forgotten() {
        let limiter = SignInLimiter::default();
        for at in 0..5 {
            assert_eq!(limiter.wait("1.2.3.4", "a", at), None);
            limiter.attempted("1.2.3.4", "a", at);
        }
        assert_eq!(limiter.wait("1.2.3.4", "a", 5), None);
        limiter.attempted("1.2.3.4", "a", 5);
        assert_eq!(limiter.wait("1.2.3.4", "a", 5), Some(1));
        limiter.attempted("1.2.3.4", "a", 5);
        assert_eq!(limiter.wait("1.2.3.4", "a", 5), Some(2));
        assert_eq!(limiter.wait("1.2.3.4", "b", 5), None, "another account");
        assert_eq!(limiter.wait("5.6.7.8", "a", 5), None, "the same account from elsewhere");
        assert_eq!(limiter.wait("1.2.3.4", "a", 5 + FORGET_MS), None);
        for _ in 0..60 {
            limiter.attempted("1.2.3.4", "a", 9);
        }
        assert_eq!(limiter.wait("1.2.3.4", "a", 9), Some(900));
        for _ in 0..200 {
            let attempt = limiter.attempted("9.9.9.9", "good", 9);
            limiter.succeeded(attempt);
        }
        assert_eq!(limiter.wait("9.9.9.9", "good", 9), None, "who signs in often is no guesser");
        let attempt = limiter.attempted("1.2.3.4", "a", 9);
        limiter.succeeded(attempt);
        assert!(limiter.wait("1.2.3.4", "a", 9).is_some(), "the address itself has to wait");
    }

    #[test]
    fn a_success_begins_no_wait() {
        let limiter = SignInLimiter::default();
        for at in 0..31 {
            limiter.attempted("1.2.3.4", &format!("nobody-{at}"), 0);
        }
        assert_eq!(limiter.wait("1.2.3.4", "a", 0), Some(1));
        let attempt = limiter.attempted("1.2.3.4", "a", 1_000);
        assert_eq!(limiter.wait("1.2.3.4", "a", 1_000), Some(2), "not known yet");
        limiter.succeeded(attempt);
        assert_eq!(limiter.wait("1.2.3.4", "a", 1_000), None);
        limiter.attempted("1.2.3.4", "a", 1_000);
        assert_eq!(limiter.wait("1.2.3.4", "a", 1_000), Some(2), "the guesses before are not forgiven");
    }
}
