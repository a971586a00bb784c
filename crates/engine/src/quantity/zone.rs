//! The day in an organization's time zone.

use crate::ports::Clock;
use crate::records::Millis;
use async_trait::async_trait;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A clock whose day is that of a time zone: a push on the first at two in the morning in Auckland bills the month that
/// ended there, while the machine may still be in it.
pub(super) struct InZone<'a> {
    clock: &'a dyn Clock,
    zone: &'a TimeZone,
}

impl<'a> InZone<'a> {
    pub fn new(clock: &'a dyn Clock, zone: &'a TimeZone) -> Self {
        Self { clock, zone }
    }
}

#[async_trait]
impl Clock for InZone<'_> {
    fn now(&self) -> Millis {
        self.clock.now()
    }

    fn today(&self) -> Date {
        self.clock.today_in(self.zone)
    }

    fn today_in(&self, zone: &TimeZone) -> Date {
        self.clock.today_in(zone)
    }

    async fn sleep_until(&self, at: Millis) {
        self.clock.sleep_until(at).await;
    }
}
