//! When what is told to others is tried again. Pure: the caller brings time and chance.

use crate::records::Millis;

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const HOUR: Millis = 60 * MINUTE;

/// The wait after each attempt that did not arrive: about a day in all.
const WAITS: [Millis; 8] =
    [5 * SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 4 * HOUR, 8 * HOUR, 9 * HOUR];
/// Waits differ by so many percent in either direction, so that what failed together does not come again together.
const JITTER_PERCENT: i64 = 20;
/// However long the other side asks to wait, it is not more.
const LONGEST_ASKED: Millis = 12 * HOUR;
/// A place where nothing arrived for so long is switched off.
const DEAD_AFTER: Millis = 72 * HOUR;

/// When a delivery is tried next after `tries` attempts, of which the last ended at `now`; none where it is given up.
/// `asked` is how long the other side asks to wait, and `dice` is drawn from all numbers evenly.
pub fn next_attempt(tries: u32, now: Millis, asked: Option<Millis>, dice: u32) -> Option<Millis> {
    let at = usize::try_from(tries.checked_sub(1)?).ok()?;
    let wait = WAITS.get(at)?;
    let percent = 100 - JITTER_PERCENT + i64::from(dice) % (2 * JITTER_PERCENT + 1);
    let wait = wait.saturating_mul(percent) / 100;
    let asked = asked.unwrap_or(0).clamp(0, LONGEST_ASKED);
    Some(now.saturating_add(wait.max(asked)))
}

/// Whether a place where nothing arrives since `failing_since` is switched off.
pub fn is_dead(failing_since: Option<Millis>, now: Millis) -> bool {
    failing_since.is_some_and(|since| now.saturating_sub(since) >= DEAD_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_spread_over_about_a_day_and_end() {
        for dice in [0, 20, 40, 41, u32::MAX] {
            let (mut now, mut tries) = (0, 1);
            while let Some(next) = next_attempt(tries, now, None, dice) {
                assert!(next > now);
                (now, tries) = (next, tries + 1);
            }
            assert_eq!(tries, 9, "attempts in all");
            assert!((18 * HOUR..=30 * HOUR).contains(&now), "{now}");
        }
        assert_eq!(next_attempt(1, 0, None, 20), Some(5 * SECOND));
        assert_eq!(next_attempt(1, 0, None, 0), Some(4 * SECOND));
        assert_eq!(next_attempt(1, 0, None, 40), Some(6 * SECOND));
    }

    #[test]
    fn the_other_side_may_ask_for_more_time_and_not_for_ever() {
        assert_eq!(next_attempt(1, 0, Some(HOUR), 20), Some(HOUR));
        assert_eq!(next_attempt(1, 0, Some(-5), 20), Some(5 * SECOND));
        assert_eq!(next_attempt(1, 0, Some(Millis::MAX), 20), Some(LONGEST_ASKED));
        assert_eq!(next_attempt(0, 0, None, 20), None);
        assert_eq!(next_attempt(u32::MAX, 0, None, 20), None);
    }

    #[test]
    fn a_place_is_dead_after_three_days_of_silence() {
        assert!(!is_dead(None, 100 * HOUR));
        assert!(!is_dead(Some(HOUR), 72 * HOUR));
        assert!(is_dead(Some(HOUR), 73 * HOUR));
    }
}
