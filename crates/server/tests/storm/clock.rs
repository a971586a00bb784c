//! Time as the engine sees it: it passes on the wire and while somebody waits, never by itself.

use super::wire::Net;
use async_trait::async_trait;
use jiff::civil::{Date, date};
use std::sync::Arc;
use trueup_engine::ports::Clock;
use trueup_engine::records::Millis;

/// The day on which everything happens, where it is one.
pub const TODAY: Date = date(2023, 3, 28);

/// The clock of one world.
#[derive(Clone)]
pub struct StormClock {
    /// Where time passes.
    pub net: Arc<Net>,
    /// The day that it stays; none goes with the instant, in UTC.
    pub day: Option<Date>,
}

#[async_trait]
impl Clock for StormClock {
    fn now(&self) -> Millis {
        self.net.now()
    }

    fn today(&self) -> Date {
        self.today_in(&jiff::tz::TimeZone::UTC)
    }

    fn today_in(&self, zone: &jiff::tz::TimeZone) -> Date {
        let instant = || jiff::Timestamp::from_millisecond(self.net.now()).unwrap();
        self.day.unwrap_or_else(|| instant().to_zoned(zone.clone()).date())
    }

    async fn sleep_until(&self, at: Millis) {
        // A call that is on its way reaches the server before hours pass: only what the wire holds back is late.
        self.net.idle().await;
        self.net.advance(at).await;
    }
}
