//! The one clock of the program. Everything else takes time through the `Clock` port.

use async_trait::async_trait;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::time::Duration;
use trueup_engine::ports::Clock;
use trueup_engine::records::Millis;

/// The system's time; the date may be set from outside.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock {
    today: Option<Date>,
}

impl SystemClock {
    /// A clock whose date is `today` where that is given.
    pub fn new(today: Option<Date>) -> Self {
        Self { today }
    }

    /// When something is counted that does not say so itself: now, or the beginning of the day that was set.
    pub fn counted_at(&self) -> Option<Timestamp> {
        match self.today {
            None => Timestamp::from_millisecond(self.now()).ok(),
            Some(day) => day.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp()),
        }
    }
}

#[async_trait]
#[expect(clippy::disallowed_methods, reason = "this is the server's one clock module")]
impl Clock for SystemClock {
    fn now(&self) -> Millis {
        Timestamp::now().as_millisecond()
    }

    fn today(&self) -> Date {
        self.today.unwrap_or_else(|| Zoned::now().date())
    }

    fn today_in(&self, zone: &TimeZone) -> Date {
        self.today.unwrap_or_else(|| Timestamp::now().to_zoned(zone.clone()).date())
    }

    async fn sleep_until(&self, at: Millis) {
        let left = u64::try_from(at.saturating_sub(self.now())).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(left)).await;
    }
}
