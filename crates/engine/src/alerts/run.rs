//! A run: take in what was told, raise what nobody told, and bring every ticket to where its alert is.

use super::book::{AlertChange, AlertFilter};
use super::carry::Carried;
use super::raise::Raising;
use super::storms::storm_company;
use super::take::Taking;
use super::telling::lasting;
use super::{Activity, ActivityKind, Companies, CustomerNames, whose};
use crate::access::Account;
use crate::failure::Failure;
use crate::ports::{Clock, Lease, Psa, PsaError, Store};
use crate::records::Millis;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::alert::{
    About, Alert, AlertId, Around, Fact, Hold, Level, Names, Origin, Rule, RuleError, Seen, Storm, alert_id,
    decide, resolve,
};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{CompanyId, CustomerId, OrganizationId, SourceId};
use trueup_domain::ticket::{Board, BoardId, Desk, ObservedTicket, TicketId};

/// The lane of an organization's alerts.
pub(super) const LANE: &str = "alerts";
/// How long the lane is held without a sign of life.
const TTL_MS: i64 = 180_000;
/// How often it is said that this run lives.
const RENEW_MS: i64 = 30_000;
/// An alert's ticket is decided about so often in one run at most.
const ROUNDS: usize = 6;
/// Storms are counted over a day at most.
const STORM_WINDOW_MS: Millis = 24 * 60 * 60 * 1_000;

/// What a run is asked for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Whose.
    pub org: &'a OrganizationId,
    /// Name of the connection; none where there is none: then alerts are kept alone.
    pub connection: Option<&'a str>,
    /// The time of day by which rules count; none is now.
    pub at: Option<Millis>,
    /// The time zone where a rule names none.
    pub zone: &'a str,
    /// Under which name the lane is held.
    pub owner: &'a str,
    /// Whether tickets are made at all (`alerts`).
    pub on: bool,
    /// How long something in doubt waits before it is looked up, in milliseconds.
    pub settle_ms: i64,
}

/// A step that was carried out, or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoneStep {
    /// The alert.
    pub alert: AlertId,
    /// `made`, `noted`, `closed` or `reopened`.
    pub action: String,
    /// The ticket.
    pub ticket: Option<i64>,
    /// Why.
    pub why: String,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Whether another run is under way: this one did nothing.
    pub busy: bool,
    /// How much was told since the last run.
    pub taken: u64,
    /// Open alerts.
    pub open: usize,
    /// What was written.
    pub steps: Vec<DoneStep>,
    /// How many alerts wait, by reason.
    pub held: BTreeMap<&'static str, usize>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// Why ConnectWise could not be asked any further; the next run goes on.
    pub stopped: Option<PsaError>,
}

/// Rules, each resolved once.
pub(super) struct Rules {
    org: OrganizationId,
    levels: Vec<Level>,
    zone: String,
    known: BTreeMap<About, Result<Rule, RuleError>>,
}

impl Rules {
    pub async fn of(store: &dyn Store, org: &OrganizationId, zone: &str) -> Result<Self, Failure> {
        let levels = store.alerts().list_rules(org).await?;
        Ok(Self { org: org.clone(), levels, zone: zone.to_owned(), known: BTreeMap::new() })
    }

    pub fn find(&mut self, about: &About) -> Result<Rule, RuleError> {
        if let Some(known) = self.known.get(about) {
            return known.clone();
        }
        let made = Rule::of(&resolve(&self.org, &self.levels, about), &self.zone);
        self.known.insert(about.clone(), made.clone());
        made
    }

    /// The rule of an alert. Where its severity has changed to one of which no tickets are made, the rule by which its ticket
    /// was made follows that one to its end.
    pub fn of_alert(&mut self, alert: &Alert) -> Result<Rule, RuleError> {
        let about = About::of(alert);
        let rule = self.find(&about)?;
        let thread = alert.thread.as_ref().filter(|thread| !thread.gone && thread.closed.is_none());
        match thread.and_then(|thread| thread.severity).filter(|then| !rule.psa && *then != alert.severity) {
            Some(severity) => self.find(&About { severity, ..about }),
            None => Ok(rule),
        }
    }
}

/// A run under way.
pub(super) struct Work<'a> {
    pub store: &'a dyn Store,
    pub psa: &'a dyn Psa,
    pub clock: &'a dyn Clock,
    pub request: Request<'a>,
    pub lease: Lease,
    pub now: Millis,
    pub rules: Rules,
    pub companies: Companies,
    pub names: CustomerNames,
    pub boards: BTreeMap<BoardId, Option<Board>>,
    pub desk: Option<Desk>,
    /// Tickets as they were read.
    pub tickets: BTreeMap<TicketId, ObservedTicket>,
    /// The alerts that last, by their ticket: several share one that people merged.
    pub lasting: BTreeMap<TicketId, BTreeSet<AlertId>>,
    /// Tickets that were made lately, by company.
    pub made: BTreeMap<CompanyId, Vec<Millis>>,
    pub renewed_at: Millis,
    /// Whether something was kept of the alert at hand since it was read.
    pub kept: bool,
    pub report: RunReport,
}

/// Takes in, raises, decides and writes.
///
/// # Errors
/// The store's. What ConnectWise answers is in the report.
pub async fn run(
    store: &dyn Store,
    psa: Option<&dyn Psa>,
    clock: &dyn Clock,
    request: Request<'_>,
) -> Result<RunReport, Failure> {
    store.ensure_organization(request.org).await?;
    let taken_at = clock.now();
    let Some(lease) = store.acquire_lease(request.org, LANE, request.owner, taken_at, TTL_MS).await? else {
        return Ok(RunReport { busy: true, ..RunReport::default() });
    };
    let done = held(store, psa, clock, request, lease.clone()).await;
    let released = store.release_lease(request.org, &lease).await;
    let report = done?;
    released?;
    Ok(report)
}

async fn held(
    store: &dyn Store,
    psa: Option<&dyn Psa>,
    clock: &dyn Clock,
    request: Request<'_>,
    lease: Lease,
) -> Result<RunReport, Failure> {
    let now = request.at.unwrap_or_else(|| clock.now());
    let companies = Companies::of(store, request.org).await?;
    let taking = Taking { store, org: request.org, lease: &lease, companies: &companies, now };
    let mut report = RunReport { taken: taking.all().await?, ..RunReport::default() };
    let mut rules = Rules::of(store, request.org, request.zone).await?;
    let raising = Raising { store, request: &request, lease: &lease, rules: &mut rules, now };
    { raising }.all().await?;
    let filter = AlertFilter { unsettled: true, ..AlertFilter::default() };
    let mut alerts = store.alerts().list_alerts(request.org, &filter).await?;
    report.open = alerts.iter().filter(|alert| alert.is_open()).count();
    let (Some(psa), true) = (psa, request.on) else { return Ok(report) };
    let since = now.saturating_sub(STORM_WINDOW_MS);
    let lately = AlertFilter { made_since: Some(since), ..AlertFilter::default() };
    let lately = store.alerts().list_alerts(request.org, &lately).await?;
    let mut work = Work {
        store,
        psa,
        clock,
        request,
        lease,
        now,
        rules,
        companies,
        names: CustomerNames::default(),
        boards: BTreeMap::new(),
        desk: None,
        tickets: BTreeMap::new(),
        lasting: BTreeMap::new(),
        made: BTreeMap::new(),
        renewed_at: clock.now(),
        kept: false,
        report,
    };
    for alert in lately.iter().filter(|alert| !matches!(alert.origin, Origin::Storm { .. })) {
        work.count(alert);
    }
    // The oldest first, as they came up.
    alerts.sort_by(|a, b| (a.opened_at, &a.id).cmp(&(b.opened_at, &b.id)));
    work.all(alerts).await?;
    Ok(work.report)
}

impl Work<'_> {
    async fn all(&mut self, alerts: Vec<Alert>) -> Result<(), Failure> {
        let mut alerts = self.united(alerts).await?;
        self.end_storms(&mut alerts).await?;
        if let Err(error) = self.read_tickets(&alerts).await {
            return self.stop(error).await;
        }
        for alert in alerts.iter().filter(|alert| alert.is_open()) {
            let Some(thread) = &alert.thread else { continue };
            let merged = self.tickets.get(&thread.ticket).and_then(|ticket| ticket.merged_into);
            self.lasting.entry(merged.unwrap_or(thread.ticket)).or_default().insert(alert.id.clone());
        }
        for alert in &mut alerts {
            self.renew().await?;
            match self.one(alert).await? {
                Carried::On => {}
                Carried::Stopped(error) => return self.stop(error).await,
            }
        }
        self.account().answered(None).await?;
        for alert in &alerts {
            if let Some(hold) = &alert.hold {
                *self.report.held.entry(hold.name()).or_insert(0) += 1;
            }
        }
        self.tell(&alerts).await
    }

    fn account(&self) -> Account<'_> {
        Account {
            store: self.store,
            clock: self.clock,
            org: self.request.org,
            connection: self.request.connection.unwrap_or_default(),
        }
    }

    /// ConnectWise does not answer: everything is kept, and the next run goes on where this one stopped.
    async fn stop(&mut self, error: PsaError) -> Result<(), Failure> {
        self.account().answered(Some(&error)).await?;
        self.report.stopped = Some(error);
        Ok(())
    }

    async fn renew(&mut self) -> Result<(), Failure> {
        let now = self.clock.now();
        if now.saturating_sub(self.renewed_at) < RENEW_MS {
            return Ok(());
        }
        self.renewed_at = now;
        let (org, owner) = (self.request.org, self.request.owner);
        match self.store.acquire_lease(org, LANE, owner, now, TTL_MS).await? {
            Some(lease) if lease.fencing == self.lease.fencing => Ok(()),
            Some(_) | None => Err(crate::ports::StoreError::Fenced.into()),
        }
    }

    fn count(&mut self, alert: &Alert) {
        if let Some(thread) = &alert.thread {
            self.made.entry(thread.company).or_default().push(thread.made_at);
        }
    }

    /// Alerts of which several sources told before anybody said that they are of one company become one.
    async fn united(&mut self, alerts: Vec<Alert>) -> Result<Vec<Alert>, Failure> {
        let (moving, mut all): (Vec<Alert>, Vec<Alert>) = alerts.into_iter().partition(|alert| {
            let named = self.shared_name(alert);
            named.is_some_and(|id| id != alert.id) && alert.thread.is_none() && alert.pending.is_none()
        });
        if moving.is_empty() {
            return Ok(all);
        }
        let ids = moving.iter().filter_map(|alert| self.shared_name(alert)).collect();
        let filter = AlertFilter { ids: Some(ids), ..AlertFilter::default() };
        for known in self.store.alerts().list_alerts(self.request.org, &filter).await? {
            if !all.iter().any(|alert| alert.id == known.id) {
                all.push(known);
            }
        }
        let mut change = AlertChange::default();
        let mut touched = BTreeSet::new();
        for mut alert in moving {
            let Some(id) = self.shared_name(&alert) else { continue };
            change.remove.push(alert.id.clone());
            touched.insert(id.clone());
            match all.iter_mut().find(|known| known.id == id) {
                Some(known) => known.join(&alert),
                None => {
                    alert.id = id;
                    all.push(alert);
                }
            }
        }
        change.save = all.iter().filter(|alert| touched.contains(&alert.id)).cloned().collect();
        self.store.alerts().save_alerts(self.request.org, &self.lease, &change).await?;
        Ok(all)
    }

    fn shared_name(&self, alert: &Alert) -> Option<AlertId> {
        let voice = alert.teller().filter(|_| alert.shared)?;
        let whose = whose(&self.companies, &voice.source, &voice.customer);
        Some(alert_id(
            self.request.org,
            &whose,
            Some(&alert.key),
            (alert.kind.as_str(), alert.subject.as_deref()),
        ))
    }

    /// Reads back the tickets about which something is left to say.
    async fn read_tickets(&mut self, alerts: &[Alert]) -> Result<(), PsaError> {
        let mut ids = BTreeSet::new();
        for alert in alerts {
            let sends = self.rules.of_alert(alert).is_ok_and(|rule| rule.psa);
            if let Some(thread) = alert.thread.as_ref().filter(|thread| sends && !thread.gone) {
                ids.insert(thread.ticket);
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<TicketId> = ids.into_iter().collect();
        self.tickets = self.psa.list_tickets(&ids).await?.into_iter().map(|t| (t.id, t)).collect();
        // That a list lacks one says little: only ConnectWise's own word on it does.
        for id in ids {
            if !self.tickets.contains_key(&id)
                && let Some(ticket) = self.psa.find_ticket(id).await?
            {
                self.tickets.insert(id, ticket);
            }
        }
        Ok(())
    }

    /// Brings the ticket of one alert to where the alert is.
    pub(super) async fn one(&mut self, alert: &mut Alert) -> Result<Carried, Failure> {
        let before = alert.clone();
        self.kept = false;
        let carried = self.followed(alert).await?;
        // An intent that came to nothing must not stay.
        if self.kept || *alert != before {
            let change = AlertChange { save: vec![alert.clone()], ..AlertChange::default() };
            self.store.alerts().save_alerts(self.request.org, &self.lease, &change).await?;
        }
        Ok(carried)
    }

    async fn followed(&mut self, alert: &mut Alert) -> Result<Carried, Failure> {
        let rule = match self.rules.of_alert(alert) {
            Ok(rule) => self.for_storm(alert, rule),
            Err(error) => {
                alert.hold = Some(Hold::Refused { code: Code::Tu9501, words: error.to_string() });
                return Ok(Carried::On);
            }
        };
        if alert.pending.is_some() {
            match self.resolve_doubt(alert).await? {
                Carried::On if alert.pending.is_some() => return Ok(Carried::On),
                Carried::On => {}
                stopped @ Carried::Stopped(_) => return Ok(stopped),
            }
        }
        for _ in 0..ROUNDS {
            let seen = self.seen(alert);
            let around = self.around(alert, &rule).await?;
            let decision = decide(alert, &seen, &rule, &around, self.now);
            for fact in &decision.facts {
                alert.learn(fact, rule.closed_by_person, self.now);
                self.log_fact(alert, fact).await?;
            }
            alert.settled = decision.settled;
            if decision.hold == Some(Hold::Storm) {
                match self.raise_storm(alert, &rule).await? {
                    Carried::On => {}
                    stopped @ Carried::Stopped(_) => return Ok(stopped),
                }
                if self.storm_of(alert, &rule).await? == Storm::Raging(None) {
                    alert.hold = decision.hold;
                    return Ok(Carried::On);
                }
                continue;
            }
            alert.hold = decision.hold;
            if decision.closed_while_lasting {
                self.report.findings.push(lasting(alert));
            }
            if decision.steps.is_empty() {
                return Ok(Carried::On);
            }
            for planned in decision.steps {
                match self.carry(alert, &rule, planned).await? {
                    Carried::On => {}
                    stopped @ Carried::Stopped(_) => return Ok(stopped),
                }
                // Refused or in doubt: what comes after would build on it.
                if alert.pending.is_some() || matches!(alert.hold, Some(Hold::Refused { .. })) {
                    return Ok(Carried::On);
                }
            }
        }
        Ok(Carried::On)
    }

    fn seen(&self, alert: &Alert) -> Seen {
        match &alert.thread {
            None => Seen::NotRead,
            Some(thread) => match self.tickets.get(&thread.ticket) {
                Some(ticket) => Seen::Ticket(Box::new(ticket.clone())),
                None if thread.gone => Seen::Gone,
                None if self.report.steps.iter().any(|step| step.ticket == Some(thread.ticket.0)) => {
                    Seen::NotRead
                }
                None => Seen::Gone,
            },
        }
    }

    async fn around(&mut self, alert: &Alert, rule: &Rule) -> Result<Around, Failure> {
        let company = self.companies.of_alert(alert);
        let nobody = (SourceId::from(""), CustomerId::from(""));
        let (source, customer) =
            alert.teller().map_or(nobody, |voice| (voice.source.clone(), voice.customer.clone()));
        let customer = self.names.of(self.store, self.request.org, &source, &customer).await?;
        let fix = Code::from_name(&alert.kind).map(|code| code.row().fix.to_owned()).unwrap_or_default();
        let names = Names { customer, organization: self.request.org.to_string(), fix };
        let storm = self.storm_of(alert, rule).await?;
        let on_it = alert.thread.as_ref().and_then(|thread| self.lasting.get(&thread.ticket));
        let shared = on_it.is_some_and(|alerts| alerts.iter().any(|id| *id != alert.id));
        Ok(Around { company: company.or_else(|| storm_company(alert)), names, storm, shared })
    }

    async fn log_fact(&self, alert: &Alert, fact: &Fact) -> Result<(), Failure> {
        let (action, text) = match fact {
            Fact::Closed { by } => ("closed_by_person", format!("The ticket was closed by {by}.")),
            Fact::Reopened => ("reopened_by_person", "Somebody opened the ticket again.".to_owned()),
            Fact::Gone => ("deleted", "Somebody deleted the ticket.".to_owned()),
            Fact::Merged { into } => ("merged", format!("The ticket was merged into {into}.")),
            Fact::Calm => return Ok(()),
        };
        Ok(self.store.alerts().log(self.request.org, &[self.activity(alert, action, text, None)]).await?)
    }

    pub(super) fn activity(
        &self,
        alert: &Alert,
        action: &str,
        text: String,
        why: Option<String>,
    ) -> Activity {
        let voice = alert.teller();
        let of = |text: String| Some(text).filter(|text| !text.is_empty());
        Activity {
            at: self.now,
            kind: ActivityKind::Ticket,
            action: action.to_owned(),
            alert: Some(alert.id.clone()),
            rule_kind: Some(alert.kind.clone()),
            severity: Some(alert.severity),
            source: voice.and_then(|voice| of(voice.source.to_string())),
            customer: voice.and_then(|voice| of(voice.customer.to_string())),
            ticket: alert.thread.as_ref().map(|thread| thread.ticket.0),
            text,
            why,
        }
    }
}
