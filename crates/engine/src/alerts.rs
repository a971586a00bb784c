//! Alerts: taken in from feeds, raised from trueup's own findings and from silence, and followed by tickets.
//!
//! What is to be done is decided in [`trueup_domain::alert`] alone. Here what was told is taken in, the decision is carried
//! out step by step, each step written down before it is sent, and what became of it is kept.

mod book;
mod carry;
mod raise;
mod rules;
mod run;
mod storms;
mod take;
mod telling;
mod test;

pub use book::{
    Activity, ActivityFilter, ActivityKind, AlertBook, AlertChange, AlertFilter, LoggedActivity, Telling,
};
pub use rules::{Setting, Wish, entry_of, rule_values, set, unset};
pub use run::{DoneStep, Request, RunReport, run};
pub use test::{TestReport, TestStep, TestWish, test};

use crate::ports::{Store, StoreError};
use crate::records::Millis;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::alert::{Alert, Whose};
use trueup_domain::feed::{Record, RecordKind};
use trueup_domain::ids::{CompanyId, CustomerId, OrganizationId, SourceId};
use trueup_domain::mapping::MappingKind;

/// Which customers are which companies.
#[derive(Clone, Debug, Default)]
struct Companies(BTreeMap<(SourceId, CustomerId), CompanyId>);

impl Companies {
    async fn of(store: &dyn Store, org: &OrganizationId) -> Result<Self, StoreError> {
        let mappings = store.list_mappings(org).await?;
        let companies = mappings.into_iter().filter(|mapping| mapping.kind == MappingKind::Customer);
        Ok(Self(
            companies
                .filter_map(|mapping| {
                    let customer = CustomerId::from(mapping.source_id.as_str());
                    Some(((mapping.source, customer), CompanyId(mapping.psa_id?)))
                })
                .collect(),
        ))
    }

    fn find(&self, source: &SourceId, customer: &CustomerId) -> Option<CompanyId> {
        self.0.get(&(source.clone(), customer.clone())).copied()
    }

    /// The company of an alert: of the first of those who tell of it that has one.
    fn of_alert(&self, alert: &Alert) -> Option<CompanyId> {
        alert.voices.iter().find_map(|voice| self.find(&voice.source, &voice.customer))
    }
}

/// Whose an alert is that other sources may tell of as well.
fn whose<'a>(companies: &Companies, source: &'a SourceId, customer: &'a CustomerId) -> Whose<'a> {
    match companies.find(source, customer) {
        Some(company) => Whose::Company(company.0),
        None => Whose::Customer(source, customer),
    }
}

/// The names of customers, each read once.
#[derive(Default)]
struct CustomerNames {
    known: BTreeMap<(SourceId, CustomerId), String>,
    strangers: BTreeSet<(SourceId, CustomerId)>,
}

impl CustomerNames {
    async fn of(
        &mut self,
        store: &dyn Store,
        org: &OrganizationId,
        source: &SourceId,
        customer: &CustomerId,
    ) -> Result<String, StoreError> {
        let key = (source.clone(), customer.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(known.clone());
        }
        let name = match customer.as_str() {
            "" => String::new(),
            id => match store.find_record(org, source, RecordKind::Customer, id).await?.map(|row| row.record)
            {
                Some(Record::Customer(customer)) => customer.name,
                _ => {
                    self.strangers.insert(key.clone()); // open set: nothing is known of it
                    id.to_owned()
                }
            },
        };
        self.known.insert(key, name.clone());
        Ok(name)
    }

    /// Whether a customer whose name was asked for is not in the feed.
    fn is_stranger(&self, source: &SourceId, customer: &CustomerId) -> bool {
        self.strangers.contains(&(source.clone(), customer.clone()))
    }
}

/// An instant of a feed; none where it cannot be read.
fn instant_of(text: &str) -> Option<Millis> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// Sources that alerts or anything else came from.
async fn fed_sources(
    store: &dyn Store,
    org: &OrganizationId,
) -> Result<BTreeMap<SourceId, Millis>, StoreError> {
    let mut last = store.alerts().last_received(org).await?;
    let sources: BTreeSet<SourceId> = last.keys().cloned().collect();
    for source in sources {
        let mark = store.load_mark(org, &fed_mark(&source)).await?;
        if let Some(at) = mark.and_then(|text| text.parse::<Millis>().ok()) {
            last.entry(source).and_modify(|known| *known = (*known).max(at));
        }
    }
    Ok(last)
}

/// The mark of when a source was last read, also where it brought nothing new.
pub(crate) fn fed_mark(source: &SourceId) -> String {
    format!("fed/{source}")
}
