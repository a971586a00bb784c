//! Alerts that nobody told: trueup's own findings, and silence.

use super::book::{AlertChange, AlertFilter};
use super::run::Rules;
use super::take::log_of;
use super::{fed_sources, run::Request};
use crate::failure::Failure;
use crate::ports::{Lease, Store};
use crate::records::{FindingFilter, FindingState, Millis, StoredFinding};
use std::collections::BTreeMap;
use trueup_domain::alert::{
    About, Alert, AlertId, AlertSeverity, DEVICE_OFFLINE, Happening, MINUTE, Origin, SOURCE_SILENT, Told,
    ToldState, kinds_of_finding, tells_of_tickets,
};
use trueup_domain::finding::Severity;
use trueup_domain::ids::{CustomerId, SourceId};
use trueup_domain::plan::short_hash;

/// Where what nobody told is raised.
pub(super) struct Raising<'a> {
    pub store: &'a dyn Store,
    pub request: &'a Request<'a>,
    pub lease: &'a Lease,
    pub rules: &'a mut Rules,
    pub now: Millis,
}

impl Raising<'_> {
    /// Raises and clears.
    pub async fn all(&mut self) -> Result<(), Failure> {
        self.findings().await?;
        self.devices().await?;
        self.sources().await
    }

    /// A finding is an alert while it is open, where a rule makes tickets of its like.
    async fn findings(&mut self) -> Result<(), Failure> {
        let states = vec![FindingState::Open, FindingState::Recurred];
        let filter = FindingFilter { states, ..FindingFilter::default() };
        let open = self.store.list_findings(self.request.org, &filter).await?;
        let unsettled = AlertFilter { unsettled: true, ..AlertFilter::default() };
        let left: Vec<Alert> = self
            .store
            .alerts()
            .list_alerts(self.request.org, &unsettled)
            .await?
            .into_iter()
            .filter(|alert| matches!(alert.origin, Origin::Finding { .. }) && alert.is_open())
            .collect();
        let mut wanted: BTreeMap<AlertId, StoredFinding> = BTreeMap::new();
        for stored in open {
            if !tells_of_tickets(stored.finding.code) {
                wanted.insert(self.name("finding", &stored.id), stored);
            }
        }
        let ids: Vec<AlertId> = wanted.keys().cloned().collect();
        let filter = AlertFilter { ids: Some(ids), ..AlertFilter::default() };
        let known = self.store.alerts().list_alerts(self.request.org, &filter).await?;
        let mut known: BTreeMap<AlertId, Alert> = known.into_iter().map(|a| (a.id.clone(), a)).collect();
        let mut change = AlertChange::default();
        for (id, stored) in &wanted {
            let told = told_of(stored, ToldState::Open, self.now);
            match known.remove(id) {
                Some(alert) if alert.is_open() => {}
                Some(alert) => take(alert, &told, &mut change),
                None if self.makes_tickets(&told) => {
                    if let Some(alert) = Alert::first(id.clone(), &told) {
                        change.activity.push(log_of(&alert, Happening::Opened, &told));
                        change.save.push(alert);
                    }
                }
                None => {}
            }
        }
        for alert in left {
            if !wanted.contains_key(&alert.id) {
                let told = over(&alert, self.now, "The finding is resolved.");
                take(alert, &told, &mut change);
            }
        }
        self.save(change).await
    }

    fn makes_tickets(&mut self, told: &Told) -> bool {
        let about = About {
            kinds: kinds_of_finding(&told.kind).into_iter().map(str::to_owned).collect(),
            severity: told.severity,
            obeys_everything: false,
        };
        self.rules.find(&about).is_ok_and(|rule| rule.psa)
    }

    /// A device that is watched and was silent for too long is offline.
    async fn devices(&mut self) -> Result<(), Failure> {
        let filter = AlertFilter { kind: Some(DEVICE_OFFLINE.to_owned()), ..AlertFilter::default() };
        let watched = self.store.alerts().list_alerts(self.request.org, &filter).await?;
        let mut change = AlertChange::default();
        for alert in watched.into_iter().filter(|alert| alert.origin == Origin::Silence && !alert.is_open()) {
            let limit = self.rules.find(&About::of(&alert)).ok().and_then(|rule| rule.silent);
            let Some(limit) = limit.filter(|limit| self.now.saturating_sub(alert.last_at) > *limit) else {
                continue;
            };
            let summary = format!(
                "{} was not heard of for more than {} minutes.",
                alert.subject.as_deref().unwrap_or_default(),
                limit / MINUTE
            );
            let told = Told { state: ToldState::Open, summary, ..over(&alert, self.now, "") };
            take(alert, &told, &mut change);
        }
        self.save(change).await
    }

    /// A source that brought nothing for too long.
    async fn sources(&mut self) -> Result<(), Failure> {
        let about = About {
            kinds: vec![SOURCE_SILENT.to_owned()],
            severity: AlertSeverity::Error,
            obeys_everything: false,
        };
        let Some(limit) = self.rules.find(&about).ok().and_then(|rule| rule.silent) else { return Ok(()) };
        let sources = fed_sources(self.store, self.request.org).await?;
        let ids = sources.keys().map(|source| self.name(SOURCE_SILENT, source.as_str())).collect();
        let filter = AlertFilter { ids: Some(ids), ..AlertFilter::default() };
        let known = self.store.alerts().list_alerts(self.request.org, &filter).await?;
        let mut known: BTreeMap<AlertId, Alert> = known.into_iter().map(|a| (a.id.clone(), a)).collect();
        let mut change = AlertChange::default();
        for (source, last) in sources {
            let silent = self.now.saturating_sub(last) > limit;
            let id = self.name(SOURCE_SILENT, source.as_str());
            let told = Told {
                origin: Origin::Finding { finding: String::new() },
                source: source.clone(),
                customer: CustomerId::from(""),
                kind: SOURCE_SILENT.to_owned(),
                subject: Some(source.to_string()),
                key: None,
                severity: AlertSeverity::Error,
                state: if silent { ToldState::Open } else { ToldState::Closed },
                at: self.now,
                summary: match silent {
                    true => {
                        format!("Source {source} brought nothing for more than {} minutes.", limit / MINUTE)
                    }
                    false => format!("Source {source} brings something again."),
                },
                detail: None,
            };
            match (known.remove(&id), silent) {
                (Some(alert), silent) if alert.is_open() != silent => take(alert, &told, &mut change),
                (None, true) => {
                    // Silence is a matter of trueup's own, switched on by its name alone.
                    if let Some(mut alert) = Alert::first(id, &told) {
                        alert.origin = Origin::Silence;
                        change.activity.push(log_of(&alert, Happening::Opened, &told));
                        change.save.push(alert);
                    }
                }
                (Some(_), _) | (None, false) => {}
            }
        }
        self.save(change).await
    }

    fn name(&self, what: &str, id: &str) -> AlertId {
        AlertId::from(short_hash("al", &[self.request.org.as_str(), what, id], 16))
    }

    async fn save(&self, change: AlertChange) -> Result<(), Failure> {
        if change.save.is_empty() {
            return Ok(());
        }
        Ok(self.store.alerts().save_alerts(self.request.org, self.lease, &change).await?)
    }
}

fn take(mut alert: Alert, told: &Told, change: &mut AlertChange) {
    let happening = alert.take(told);
    if happening != Happening::Nothing {
        change.activity.push(log_of(&alert, happening, told));
    }
    change.save.push(alert);
}

/// What its own voice would say: that it is over.
pub(super) fn over(alert: &Alert, now: Millis, summary: &str) -> Told {
    let voice = alert.teller();
    Told {
        origin: alert.origin.clone(),
        source: voice.map_or_else(|| SourceId::from(""), |voice| voice.source.clone()),
        customer: voice.map_or_else(|| CustomerId::from(""), |voice| voice.customer.clone()),
        kind: alert.kind.clone(),
        subject: alert.subject.clone(),
        key: None,
        severity: alert.severity,
        state: ToldState::Closed,
        // What was told last may be of a later instant than the clock that looks.
        at: now.max(alert.last_at),
        summary: summary.to_owned(),
        detail: None,
    }
}

fn told_of(stored: &StoredFinding, state: ToldState, now: Millis) -> Told {
    let (finding, subject) = (&stored.finding, &stored.finding.subject);
    let about = [
        subject.subscription.as_ref().map(|id| format!("subscription {id}")),
        subject.product.as_ref().map(|id| format!("product {id}")),
        subject.agreement.map(|id| format!("agreement {id}")),
        subject.addition.map(|id| format!("addition {id}")),
        subject.detail.clone(),
    ];
    let about: Vec<String> = about.into_iter().flatten().collect();
    Told {
        origin: Origin::Finding { finding: stored.id.clone() },
        source: subject.source.clone().unwrap_or_else(|| SourceId::from("")),
        customer: subject.customer.clone().unwrap_or_else(|| CustomerId::from("")),
        kind: finding.code.row().name.to_owned(),
        subject: Some(match about.is_empty() {
            true => finding.code.row().title.to_owned(),
            false => format!("{}, {}", finding.code.row().title, about.join(", ")),
        }),
        key: None,
        severity: match finding.severity {
            Severity::Info => AlertSeverity::Info,
            Severity::Warning => AlertSeverity::Warning,
            Severity::Error => AlertSeverity::Error,
        },
        state,
        at: now,
        summary: finding.message.clone(),
        detail: finding.their_words.clone(),
    }
}
