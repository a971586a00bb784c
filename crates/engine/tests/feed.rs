//! Taking in a feed, where it goes wrong in ways that no file shows.

use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::feed::{Destination, import};

/// Records are read on a thread of their own: one that breaks off there must not look like the end of the feed.
#[tokio::test]
#[should_panic(expected = "the reader broke off")]
async fn a_reader_that_breaks_off_is_not_the_end_of_the_feed() {
    let (org, source) = (OrganizationId::from("default"), SourceId::from("default"));
    let to = Destination { store: None, org: &org, source: &source, at: 0 };
    let records = std::iter::from_fn(|| panic!("the reader broke off"));
    let _ = import(to, records, 10, |_| ()).await;
}
