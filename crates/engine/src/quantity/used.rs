//! Use that a source told: of which month it counts, and whose it is.

use super::gather::for_each;
use crate::failure::Failure;
use crate::ports::Store;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Record, RecordKind, UsageRecord};
use trueup_domain::ids::{CustomerId, OrganizationId, ProductId, SourceId, SubscriptionId};
use trueup_domain::period::Period;
use trueup_domain::quantity::reading::is_in;

/// The calendar month over which use is summed.
pub(super) fn month_of_use(today: Date, this_month: bool) -> Result<Period, Failure> {
    let first = today.first_of_month();
    let other = jiff::Span::new().months(1);
    let month = if this_month {
        first.checked_add(other).map(|end| (first, end))
    } else {
        first.checked_sub(other).map(|start| (start, first))
    };
    month
        .ok()
        .and_then(|(start, end)| Period::new(start, end).ok())
        .ok_or_else(|| Failure::wrong(format!("there is no month around {today}"), "Set a day that exists."))
}

/// Use in a month, by customer and service.
#[derive(Default)]
pub(super) struct Used {
    pub by_key: BTreeMap<(CustomerId, ProductId), Vec<UsageRecord>>,
    /// Who used what at any time, the month included.
    pub ever: BTreeSet<(CustomerId, ProductId)>,
    /// Of subscriptions that nobody knows.
    pub strays: BTreeMap<(SubscriptionId, ProductId), Vec<UsageRecord>>,
    pub replaced: BTreeSet<String>,
}

pub(super) async fn used_in(
    store: &dyn Store,
    org: &OrganizationId,
    source: &SourceId,
    month: Period,
) -> Result<Used, Failure> {
    let mut used = Used::default();
    let mut of_subscriptions: Vec<UsageRecord> = Vec::new();
    let mut before: BTreeSet<(SubscriptionId, ProductId)> = BTreeSet::new();
    for_each(store, org, source, RecordKind::Usage, |row| {
        let Record::Usage(record) = row.record else { return };
        used.replaced.extend(record.replaces.clone());
        let is_in = is_in(&record, month);
        match (&record.customer, &record.subscription) {
            (Some(customer), _) => {
                let pair = (customer.clone(), record.product.clone());
                if !used.ever.contains(&pair) {
                    used.ever.insert(pair.clone());
                }
                if is_in {
                    used.by_key.entry(pair).or_default().push(record);
                }
            }
            (None, _) if is_in => of_subscriptions.push(record),
            (None, Some(id)) => {
                before.insert((id.clone(), record.product.clone()));
            }
            (None, None) => {}
        }
    })
    .await?;
    let mut owners: BTreeMap<SubscriptionId, Option<CustomerId>> = BTreeMap::new();
    let ids = of_subscriptions.iter().filter_map(|record| record.subscription.as_ref());
    let ids: BTreeSet<SubscriptionId> = ids.chain(before.iter().map(|(id, _)| id)).cloned().collect();
    for id in ids {
        let row = store.find_record(org, source, RecordKind::Subscription, id.as_str()).await?;
        let owner = match row.map(|row| row.record) {
            Some(Record::Subscription(subscription)) => Some(subscription.customer),
            Some(_) | None => None,
        };
        owners.insert(id, owner);
    }
    let owner_of = |id: &SubscriptionId| owners.get(id).cloned().flatten();
    used.ever.extend(before.into_iter().filter_map(|(id, product)| Some((owner_of(&id)?, product))));
    for record in of_subscriptions {
        let Some(id) = &record.subscription else { continue };
        let product = record.product.clone();
        match owner_of(id) {
            Some(customer) => {
                used.ever.insert((customer.clone(), product.clone()));
                used.by_key.entry((customer, product)).or_default().push(record);
            }
            None => used.strays.entry((id.clone(), product)).or_default().push(record),
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Clock;
    use crate::quantity::zone::InZone;
    use crate::records::Millis;
    use jiff::tz::TimeZone;

    /// A machine in UTC at an instant.
    struct At(&'static str);

    #[async_trait::async_trait]
    impl Clock for At {
        fn now(&self) -> Millis {
            self.0.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_millisecond)
        }

        fn today(&self) -> Date {
            self.today_in(&TimeZone::UTC)
        }

        async fn sleep_until(&self, _at: Millis) {}
    }

    #[test]
    fn ax_23_the_month_of_a_push_is_that_of_the_organizations_zone() {
        for (at, zone, today, before) in [
            // Two in the morning of the first, there; the machine is in the month before, or in the same.
            ("2026-03-31T13:00:00Z", "Pacific/Auckland", "2026-04-01", "2026-03-01"),
            ("2026-03-31T13:00:00Z", "UTC", "2026-03-31", "2026-02-01"),
            ("2026-04-01T09:00:00Z", "America/Los_Angeles", "2026-04-01", "2026-03-01"),
            // The last evening of the month there, and the next one on the machine.
            ("2026-04-01T03:00:00Z", "America/Los_Angeles", "2026-03-31", "2026-02-01"),
        ] {
            let zone = trueup_domain::schedule::time_zone(zone).unwrap_or(TimeZone::UTC);
            let clock = At(at);
            let clock = InZone::new(&clock, &zone);
            assert_eq!(clock.today().to_string(), today, "{at}");
            let month = month_of_use(clock.today(), false).ok().map(|month| month.start().to_string());
            assert_eq!(month.as_deref(), Some(before), "{at}");
        }
    }
}
