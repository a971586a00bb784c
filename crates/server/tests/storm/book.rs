//! The store's part about alerts on its way: tells the wire which steps are durably begun, and pauses workers.

use super::store::StormStore;
use async_trait::async_trait;
use std::collections::BTreeMap;
use trueup_domain::alert::{Alert, Entry, Level, Step};
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::alerts::{
    Activity, ActivityFilter, AlertBook, AlertChange, AlertFilter, LoggedActivity, Telling,
};
use trueup_engine::ports::{Lease, Store, StoreError};
use trueup_engine::records::{Millis, NewAuditEntry};

impl StormStore {
    fn book(&self) -> &dyn AlertBook {
        self.inner.alerts()
    }
}

/// By what the wire knows a step: the key of a new ticket, the mark of a note, the ticket that gets a status.
fn name_of(alert: &Alert) -> Option<String> {
    match (&alert.pending.as_ref()?.step, &alert.thread) {
        (Step::Make { draft, .. }, _) => Some(draft.key.as_str().to_owned()),
        (Step::Note { draft, .. }, _) => Some(draft.marker.as_str().to_owned()),
        (Step::Turn { .. }, Some(thread)) => Some(format!("ticket {}", thread.ticket)),
        (Step::Turn { .. }, None) => None,
    }
}

#[async_trait]
impl AlertBook for StormStore {
    async fn list_rules(&self, org: &OrganizationId) -> Result<Vec<Level>, StoreError> {
        self.book().list_rules(org).await
    }
    async fn save_rule(
        &self,
        org: &OrganizationId,
        entry: &Entry,
        audit: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        self.book().save_rule(org, entry, audit).await
    }
    async fn list_tellings(&self, org: &OrganizationId, limit: u32) -> Result<Vec<Telling>, StoreError> {
        self.book().list_tellings(org, limit).await
    }
    async fn list_alerts(
        &self,
        org: &OrganizationId,
        filter: &AlertFilter,
    ) -> Result<Vec<Alert>, StoreError> {
        self.book().list_alerts(org, filter).await
    }
    async fn save_alerts(
        &self,
        org: &OrganizationId,
        lease: &Lease,
        change: &AlertChange,
    ) -> Result<(), StoreError> {
        self.maybe_pause().await;
        self.book().save_alerts(org, lease, change).await?;
        self.net.begun.lock().unwrap().extend(change.save.iter().filter_map(name_of));
        self.maybe_pause().await;
        Ok(())
    }
    async fn log(&self, org: &OrganizationId, entries: &[Activity]) -> Result<(), StoreError> {
        self.book().log(org, entries).await
    }
    async fn list_activity(
        &self,
        org: &OrganizationId,
        filter: &ActivityFilter,
    ) -> Result<Vec<LoggedActivity>, StoreError> {
        self.book().list_activity(org, filter).await
    }
    async fn last_received(&self, org: &OrganizationId) -> Result<BTreeMap<SourceId, Millis>, StoreError> {
        self.book().last_received(org).await
    }
}
