//! What feeds tell: each version of an alert record is taken in once, in the transaction that remembers it.

use super::book::{Activity, ActivityKind, AlertChange, AlertFilter, Telling};
use super::{Companies, instant_of, whose};
use crate::failure::Failure;
use crate::ports::{Lease, Store};
use crate::records::Millis;
use std::collections::BTreeMap;
use trueup_domain::alert::{
    Alert, AlertId, AlertSeverity, DEVICE_OFFLINE, HEARTBEAT, Happening, Origin, Told, ToldState, alert_id,
};
use trueup_domain::feed;
use trueup_domain::ids::{CustomerId, OrganizationId, SourceId};

/// Records of a transaction.
const BATCH: u32 = 500;

/// Whether a source's own key is in any of it.
fn gives_keys(told: &[(Told, Option<Told>)]) -> bool {
    let has_key = |told: &Told| told.key.is_some();
    told.iter().any(|(told, former)| has_key(told) || former.as_ref().is_some_and(has_key))
}

/// Alerts by source, customer and key.
type OpenByKey = BTreeMap<(SourceId, CustomerId, String), AlertId>;

/// Where what was told is taken in.
#[derive(Clone, Copy)]
pub(super) struct Taking<'a> {
    pub store: &'a dyn Store,
    pub org: &'a OrganizationId,
    pub lease: &'a Lease,
    pub companies: &'a Companies,
    pub now: Millis,
}

impl Taking<'_> {
    /// Takes in all that was told. Returns how much that was.
    pub async fn all(self) -> Result<u64, Failure> {
        let mut taken = 0_u64;
        loop {
            let mut tellings = self.store.alerts().list_tellings(self.org, BATCH).await?;
            if tellings.is_empty() {
                return Ok(taken);
            }
            taken = taken.saturating_add(tellings.len() as u64);
            // As it happened; what happened at one instant stays in the order in which it came.
            tellings.sort_by_key(|telling| instant_of(&telling.record.at).unwrap_or(self.now));
            self.batch(&tellings).await?;
        }
    }

    async fn batch(self, tellings: &[Telling]) -> Result<(), Failure> {
        let told: Vec<(Told, Option<Told>)> = tellings
            .iter()
            .map(|telling| (self.told(telling, &telling.record), self.given_up(telling)))
            .collect();
        let mut ids: Vec<AlertId> = Vec::new();
        for (told, former) in &told {
            ids.extend(self.candidates(told));
            ids.extend(self.watch(told));
            ids.extend(former.iter().flat_map(|former| self.candidates(former)));
        }
        let filter = AlertFilter { ids: Some(ids), ..AlertFilter::default() };
        let known = self.store.alerts().list_alerts(self.org, &filter).await?;
        let mut alerts: BTreeMap<AlertId, Alert> =
            known.into_iter().map(|alert| (alert.id.clone(), alert)).collect();
        let open = self.open_by_key(&told, &mut alerts).await?;
        let mut change = AlertChange::default();
        let mut touched: Vec<AlertId> = Vec::new();
        for ((told, former), telling) in told.iter().zip(tellings) {
            let id = (telling.source.clone(), telling.record.id.clone(), telling.version);
            change.seen.push(id);
            touched.extend(self.sign_of_life(told, &mut alerts));
            if told.kind == HEARTBEAT {
                continue;
            }
            if let Some(former) = former
                && let Some(id) = self.alert_of(former, &alerts, &open)
                && let Some(alert) = alerts.get_mut(&id)
            {
                let happening = alert.take(former);
                if happening != Happening::Nothing {
                    change.activity.push(log_of(alert, happening, former));
                }
                touched.push(id);
            }
            let candidates = self.candidates(told);
            let id = self.alert_of(told, &alerts, &open).or_else(|| candidates.first().cloned());
            let Some(id) = id else { continue };
            let happening = match alerts.get_mut(&id) {
                Some(alert) => alert.take(told),
                None => match Alert::first(id.clone(), told) {
                    Some(alert) => {
                        alerts.insert(id.clone(), alert);
                        Happening::Opened
                    }
                    None => {
                        alerts.insert(id.clone(), Alert::over_already(id.clone(), told));
                        Happening::Nothing
                    }
                },
            };
            if let Some(alert) = alerts.get(&id)
                && happening != Happening::Nothing
            {
                change.activity.push(log_of(alert, happening, told));
            }
            touched.push(id);
        }
        touched.sort();
        touched.dedup();
        change.save = touched.iter().filter_map(|id| alerts.get(id).cloned()).collect();
        Ok(self.store.alerts().save_alerts(self.org, self.lease, &change).await?)
    }

    /// Which of the known alerts is told of: one that lasts before one that is over, and one that this voice told of before
    /// one of others.
    fn alert_of(self, told: &Told, alerts: &BTreeMap<AlertId, Alert>, open: &OpenByKey) -> Option<AlertId> {
        let speaks = |alert: &Alert| {
            alert.voices.iter().any(|v| v.source == told.source && v.customer == told.customer)
        };
        let candidates = self.candidates(told);
        let find = |fits: &dyn Fn(&Alert) -> bool| {
            candidates.iter().find(|id| alerts.get(*id).is_some_and(fits)).cloned()
        };
        // Its customer may be another company by now: as long as it lasts it is the alert that it was, with its ticket.
        let elsewhere = || {
            let key = (told.source.clone(), told.customer.clone(), told.key.clone()?);
            open.get(&key).filter(|id| alerts.get(*id).is_some_and(Alert::is_open)).cloned()
        };
        find(&|alert| alert.is_open() && speaks(alert))
            .or_else(elsewhere)
            .or_else(|| find(&speaks))
            .or_else(|| find(&|_| true))
    }

    /// The alerts that last, by those who tell of them and the keys that they give.
    async fn open_by_key(
        self,
        told: &[(Told, Option<Told>)],
        alerts: &mut BTreeMap<AlertId, Alert>,
    ) -> Result<OpenByKey, Failure> {
        let mut open = OpenByKey::new();
        if !gives_keys(told) {
            return Ok(open);
        }
        for state in ["open", "acknowledged"] {
            let filter = AlertFilter { state: Some(state.to_owned()), ..AlertFilter::default() };
            for alert in self.store.alerts().list_alerts(self.org, &filter).await? {
                if !alert.shared {
                    continue;
                }
                for voice in &alert.voices {
                    let key = (voice.source.clone(), voice.customer.clone(), alert.key.clone());
                    open.insert(key, alert.id.clone());
                }
                alerts.entry(alert.id.clone()).or_insert(alert);
            }
        }
        Ok(open)
    }

    /// What a record told of until this version, where it tells of something else from now on: nobody tells of that any
    /// more.
    fn given_up(self, telling: &Telling) -> Option<Told> {
        let former = self.told(telling, telling.before.as_ref()?);
        let now = self.told(telling, &telling.record);
        let about = |told: &Told| {
            let about = (told.kind.clone(), told.subject.clone()); // a key stands for both
            (told.customer.clone(), told.key.clone(), told.key.is_none().then_some(about))
        };
        if former.kind == HEARTBEAT || about(&former) == about(&now) {
            return None;
        }
        let summary =
            format!("Alert {} of {} is about something else now.", telling.record.id, telling.source);
        Some(Told { state: ToldState::Closed, at: now.at, summary, ..former })
    }

    fn told(self, telling: &Telling, record: &feed::Alert) -> Told {
        Told {
            origin: Origin::Source,
            source: telling.source.clone(),
            customer: record.customer.clone(),
            kind: record.kind.clone(),
            subject: record.subject.clone().filter(|subject| !subject.trim().is_empty()),
            key: record.key.clone().filter(|key| !key.trim().is_empty()),
            severity: AlertSeverity::of_source(record.severity.as_deref()),
            state: ToldState::from_word(&record.state),
            at: instant_of(&record.at).unwrap_or(self.now),
            summary: record.summary.clone(),
            detail: record.detail.clone(),
        }
    }

    /// Under which names the alert may be known, the one under which it would be made first.
    fn candidates(self, told: &Told) -> Vec<AlertId> {
        let plain = trueup_domain::alert::Whose::Customer(&told.source, &told.customer);
        let about = (told.kind.as_str(), told.subject.as_deref());
        let own = alert_id(self.org, &plain, told.key.as_deref(), about);
        if told.key.is_none() {
            return vec![own];
        }
        let shared = whose(self.companies, &told.source, &told.customer);
        let mut all = vec![alert_id(self.org, &shared, told.key.as_deref(), about)];
        if !all.contains(&own) {
            all.push(own);
        }
        all
    }

    /// The name under which a device is watched.
    fn watch(self, told: &Told) -> Option<AlertId> {
        let plain = trueup_domain::alert::Whose::Customer(&told.source, &told.customer);
        let subject = told.subject.as_deref()?;
        Some(alert_id(self.org, &plain, None, (DEVICE_OFFLINE, Some(subject))))
    }

    /// Whatever is told of a device is a sign that it lives, save that it is offline. The first heartbeat begins the watch.
    fn sign_of_life(self, told: &Told, alerts: &mut BTreeMap<AlertId, Alert>) -> Option<AlertId> {
        if told.kind == DEVICE_OFFLINE {
            return None;
        }
        let id = self.watch(told)?;
        let alive = Told {
            origin: Origin::Silence,
            kind: DEVICE_OFFLINE.to_owned(),
            key: None,
            severity: AlertSeverity::Error,
            state: ToldState::Closed,
            summary: format!("{} was heard of.", told.subject.as_deref().unwrap_or_default()),
            detail: None,
            ..told.clone()
        };
        match alerts.get_mut(&id) {
            Some(alert) => {
                if told.kind == HEARTBEAT {
                    alert.origin = Origin::Silence;
                }
                alert.take(&alive);
            }
            None if told.kind == HEARTBEAT => {
                alerts.insert(id.clone(), Alert::watched(id.clone(), &alive));
            }
            None => return None,
        }
        Some(id)
    }
}

/// What the log says of something that was told.
pub(super) fn log_of(alert: &Alert, happening: Happening, told: &Told) -> Activity {
    Activity {
        at: told.at,
        kind: ActivityKind::Alert,
        action: happening.name().to_owned(),
        alert: Some(alert.id.clone()),
        rule_kind: Some(alert.kind.clone()),
        severity: Some(alert.severity),
        source: Some(told.source.to_string()).filter(|text| !text.is_empty()),
        customer: Some(told.customer.to_string()).filter(|text| !text.is_empty()),
        ticket: alert.thread.as_ref().map(|thread| thread.ticket.0),
        text: told.summary.clone(),
        why: None,
    }
}
