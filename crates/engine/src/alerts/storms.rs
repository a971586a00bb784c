//! Many alerts of one company at once: one ticket, and theirs lie under it.

use super::book::{AlertChange, AlertFilter};
use super::carry::Carried;
use super::raise::over;
use super::run::Work;
use super::take::log_of;
use crate::failure::Failure;
use std::collections::BTreeSet;
use trueup_domain::alert::{Alert, AlertId, Happening, MINUTE, Origin, Rule, STORM, Storm, Told, ToldState};
use trueup_domain::ids::{CompanyId, CustomerId, SourceId};
use trueup_domain::plan::short_hash;
use trueup_domain::ticket::TicketId;

impl Work<'_> {
    /// A storm is over when nothing under its ticket lasts.
    pub(super) async fn end_storms(&mut self, alerts: &mut [Alert]) -> Result<(), Failure> {
        let under: BTreeSet<TicketId> = alerts
            .iter()
            .filter(|alert| alert.is_open())
            .filter_map(|alert| alert.thread.as_ref()?.parent)
            .collect();
        let mut change = AlertChange::default();
        for alert in alerts.iter_mut() {
            let storm = matches!(alert.origin, Origin::Storm { .. }) && alert.is_open();
            let ticket = alert.thread.as_ref().map(|thread| thread.ticket);
            if storm && ticket.is_some_and(|ticket| !under.contains(&ticket)) {
                let told = over(alert, self.now, "Nothing under this ticket lasts.");
                let happening = alert.take(&told);
                change.activity.push(log_of(alert, happening, &told));
                change.save.push(alert.clone());
            }
        }
        if change.save.is_empty() {
            return Ok(());
        }
        Ok(self.store.alerts().save_alerts(self.request.org, &self.lease, &change).await?)
    }

    /// The ticket of a storm is made by the rule of the kind that came first, whatever is said of storms.
    pub(super) fn for_storm(&self, alert: &Alert, mut rule: Rule) -> Rule {
        if matches!(alert.origin, Origin::Storm { .. }) {
            rule.psa = true;
        }
        rule
    }

    pub(super) async fn storm_of(&self, alert: &Alert, rule: &Rule) -> Result<Storm, Failure> {
        let company = rule.company.or_else(|| self.companies.of_alert(alert));
        let Some(company) = company.filter(|_| !matches!(alert.origin, Origin::Storm { .. })) else {
            return Ok(Storm::Calm);
        };
        let since = self.now.saturating_sub(rule.storm_within);
        let lately = self.made.get(&company).map_or(0, |made| made.iter().filter(|at| **at > since).count());
        let most = usize::try_from(rule.storm_tickets).unwrap_or(usize::MAX);
        if most == 0 || lately < most || alert.thread.is_some() {
            return Ok(Storm::Calm);
        }
        let filter = AlertFilter { ids: Some(vec![self.storm_name(company)]), ..AlertFilter::default() };
        let storm = self.store.alerts().list_alerts(self.request.org, &filter).await?.into_iter().next();
        let open = storm.filter(Alert::is_open).and_then(|storm| storm.thread);
        let parent = open.filter(|thread| thread.closed.is_none() && !thread.gone);
        Ok(Storm::Raging(parent.map(|thread| thread.ticket)))
    }

    fn storm_name(&self, company: CompanyId) -> AlertId {
        AlertId::from(short_hash("al", &[self.request.org.as_str(), STORM, &company.to_string()], 16))
    }

    /// Makes the ticket under which the others lie.
    pub(super) async fn raise_storm(&mut self, alert: &Alert, rule: &Rule) -> Result<Carried, Failure> {
        let Some(company) = rule.company.or_else(|| self.companies.of_alert(alert)) else {
            return Ok(Carried::On);
        };
        let id = self.storm_name(company);
        let filter = AlertFilter { ids: Some(vec![id.clone()]), ..AlertFilter::default() };
        let known = self.store.alerts().list_alerts(self.request.org, &filter).await?.into_iter().next();
        let told = Told {
            origin: Origin::Storm { like: alert.kind.clone() },
            source: alert.teller().map_or_else(|| SourceId::from(""), |voice| voice.source.clone()),
            customer: alert.teller().map_or_else(|| CustomerId::from(""), |voice| voice.customer.clone()),
            kind: STORM.to_owned(),
            subject: Some("many alerts at once".to_owned()),
            key: None,
            severity: alert.severity,
            state: ToldState::Open,
            at: known.as_ref().map_or(self.now, |storm| self.now.max(storm.last_at)),
            summary: format!(
                "More than {} alerts came up within {} minutes. Their tickets lie under this one.",
                rule.storm_tickets,
                rule.storm_within / MINUTE
            ),
            detail: None,
        };
        let (mut storm, happening) = match known {
            Some(mut storm) if storm.is_open() => {
                // Somebody closed it while it rages: the next one gets a ticket of its own again.
                if storm.thread.as_ref().is_some_and(|thread| thread.closed.is_some() || thread.gone) {
                    storm.take(&over(&storm.clone(), self.now, ""));
                    let happening = storm.take(&told);
                    (storm, happening)
                } else {
                    let happening = Happening::Nothing;
                    (storm, happening)
                }
            }
            Some(mut storm) => {
                let happening = storm.take(&told);
                (storm, happening)
            }
            None => match Alert::first(id, &told) {
                Some(storm) => (storm, Happening::Opened),
                None => return Ok(Carried::On),
            },
        };
        storm.origin = Origin::Storm { like: alert.kind.clone() };
        let mut change = AlertChange { save: vec![storm.clone()], ..AlertChange::default() };
        change.activity.push(log_of(&storm, happening, &told));
        self.store.alerts().save_alerts(self.request.org, &self.lease, &change).await?;
        Box::pin(self.one(&mut storm)).await
    }
}

/// The company whose storm it is stands in its ticket.
pub(super) fn storm_company(alert: &Alert) -> Option<CompanyId> {
    alert.thread.as_ref().map(|thread| thread.company)
}
