//! Time as the engine sees it: it passes on the wire and while somebody waits, never by itself.

use super::wire::Net;
use async_trait::async_trait;
use jiff::civil::{Date, date};
use std::sync::Arc;
use trueup_engine::ports::Clock;
use trueup_engine::records::Millis;

/// The day on which everything happens.
pub const TODAY: Date = date(2023, 3, 28);

/// The clock of one world.
pub struct StormClock(pub Arc<Net>);

#[async_trait]
impl Clock for StormClock {
    fn now(&self) -> Millis {
        self.0.now()
    }

    fn today(&self) -> Date {
        TODAY
    }

    async fn sleep_until(&self, at: Millis) {
        // A call that is on its way reaches the server before hours pass: only what the wire holds back is late.
        self.0.idle().await;
        self.0.advance(at).await;
    }
}
