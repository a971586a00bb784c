//! A run: compare, and carry out what may be carried out by itself. What waits for a person becomes a question, with a
//! plan of its own that its yes carries out.

use super::asking::{Asked, approvals_given};
use super::gather::{Compared, Gathered};
use super::set;
use super::zone::InZone;
use crate::access::Account;
use crate::alerts::{Activity, ActivityKind};
use crate::apply::{ApplyError, ApplyOptions, ApplyReport, ChangeReport};
use crate::applying::{self, Approval, Resumed, RunError, WentOn};
use crate::approvals;
use crate::brakes;
use crate::failure::Failure;
use crate::findings;
use crate::footing;
use crate::observe::Trust;
use crate::observe::recent::Recent;
use crate::planning::checked;
use crate::ports::{Clock, Psa, Store};
use crate::records::{PlanBody, StoredPlan};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{AgreementId, CatalogItemId, CustomerId, OrganizationId, SourceId};
use trueup_domain::psa::Snapshot;
use trueup_domain::quantity::{Line, Planned, QuantityPlan, Verdict, quantity_task};
use trueup_domain::settings::Settings;

/// A run plans anew at most so often, where ConnectWise changed underneath.
const ROUNDS: usize = 3;

/// What a run is asked for.
#[derive(Clone)]
pub struct Request<'a> {
    /// Whose.
    pub org: &'a OrganizationId,
    /// Name of the connection.
    pub connection: &'a str,
    /// The tenant behind it ([`super::tenant_of`]).
    pub tenant: &'a str,
    /// Who asks.
    pub actor: &'a str,
    /// The settings that hold.
    pub settings: &'a Settings,
    /// Whether single additions that are there are taken over, whatever the setting says.
    pub adopt: bool,
    /// These customers alone; all where none is named.
    pub only: Option<BTreeSet<(SourceId, CustomerId)>>,
    /// Whether only agreements are written whose next invoice is near (`quantity.before_invoice_days`).
    pub due_only: bool,
    /// What of the local picture stands in for a read.
    pub trust: Trust,
}

impl Request<'_> {
    /// Refuses customers that nobody knows: nothing would be done for them, and nothing said.
    async fn knows_whom(&self, store: &dyn Store) -> Result<(), Failure> {
        for (source, customer) in self.only.iter().flatten() {
            set::known((store, self.org), source, customer).await?;
        }
        Ok(())
    }
}

/// What would be written, and why.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The lines.
    pub lines: Vec<Line>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// The plan of everything, what waits for a person included; none where nothing is to be done.
    pub plan: Option<StoredPlan>,
}

/// How a plan of a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The plan.
    pub stored: StoredPlan,
    /// What became of it.
    pub report: ApplyReport,
}

/// What a run did.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Plans of earlier runs that were gone on with.
    pub resumed: Vec<Resumed>,
    /// Why other plans of earlier runs were not gone on with.
    pub unread: Vec<Finding>,
    /// The lines, with what became of each.
    pub lines: Vec<Line>,
    /// What a person should know.
    pub findings: Vec<Finding>,
    /// What was carried out.
    pub outcomes: Vec<Outcome>,
    /// Plans that wait for people.
    pub waiting: Vec<StoredPlan>,
}

/// Compares and stores the plan of everything that would be written. Nothing is written to ConnectWise.
///
/// # Errors
/// The store's or ConnectWise's.
pub async fn preview(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &Request<'_>,
) -> Result<Preview, Failure> {
    let clock = &InZone::new(clock, &request.settings.quantity.zone);
    store.ensure_organization(request.org).await?;
    let account = Account { store, clock, org: request.org, connection: request.connection };
    account.told(preview_seen(store, psa, clock, request, account).await).await
}

async fn preview_seen(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &Request<'_>,
    account: Account<'_>,
) -> Result<Preview, Failure> {
    request.knows_whom(store).await?;
    account.sees_all(psa).await?;
    let recent = recent(store, psa, clock, request).await?;
    let gathered = Gathered::read(store, psa, clock, request).await?;
    let mut compared = gathered.compare(psa, clock, request, &recent).await?;
    set_aside_doubts(store, request.org, &mut compared.plan).await?;
    let site = Site { store, psa, clock, request, gathered: &gathered };
    let stored = site.made(&mut compared, &|_| true);
    if let Some(stored) = &stored {
        store.save_plan(request.org, stored).await?;
    }
    let mut findings = compared.plan.findings.clone();
    findings.extend(compared.plan.lines.iter().flat_map(|planned| planned.holds.iter().cloned()));
    findings::once_each(&mut findings);
    let lines = compared.plan.lines.into_iter().map(|planned| planned.line).collect();
    Ok(Preview { lines, findings, plan: stored })
}

/// Compares, and writes what may be written.
///
/// # Errors
/// [`RunError`]; nothing was sent that the journal does not know of.
pub async fn run(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    request: &Request<'_>,
    approval: Approval,
    options: &ApplyOptions<'_>,
) -> Result<RunReport, RunError> {
    let clock = &InZone::new(clock, &request.settings.quantity.zone);
    store.ensure_organization(request.org).await?;
    let account = Account { store, clock, org: request.org, connection: request.connection };
    request.knows_whom(store).await?;
    account.told(account.sees_all(psa).await).await?;
    let WentOn { resumed, unread } = applying::resume(store, psa, clock, request.org, options).await?;
    let mut report = RunReport { resumed, unread, ..RunReport::default() };
    // What did not fit is read afresh once it is compared again.
    let mut afresh: BTreeSet<AgreementId> = BTreeSet::new();
    for round in 1.. {
        report.findings.clear();
        report.waiting.clear();
        let recent = recent(store, psa, clock, request).await?.but(&afresh);
        let gathered = Gathered::read(store, psa, clock, request).await?;
        let mut compared = gathered.compare(psa, clock, request, &recent).await?;
        set_aside_doubts(store, request.org, &mut compared.plan).await?;
        let site = Site { store, psa, clock, request, gathered: &gathered };
        let stale = site.carry_out(&mut compared, approval, options, &mut report).await?;
        if !stale || round >= ROUNDS {
            break;
        }
        let plans = report.outcomes.iter().map(|outcome| outcome.stored.body.plan());
        afresh.extend(plans.flat_map(|plan| plan.changes.iter().map(|change| change.agreement)));
    }
    store
        .alerts()
        .log(request.org, &[went_on(clock.now(), request, &report)])
        .await
        .map_err(Failure::from)?;
    Ok(report)
}

/// Where the additions of a comparison come from.
async fn recent<'a>(
    store: &'a dyn Store,
    psa: &'a dyn Psa,
    clock: &'a dyn Clock,
    request: &'a Request<'_>,
) -> Result<Recent<'a>, Failure> {
    Recent::before_links((psa, store, clock), (request.org, request.connection), request.trust).await
}

/// What the log says of a run.
fn went_on(at: crate::records::Millis, request: &Request<'_>, report: &RunReport) -> Activity {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &report.lines {
        *counts.entry(line.verdict.name()).or_default() += 1;
    }
    let counted: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let lines = if counted.is_empty() { "no line".to_owned() } else { counted.join(", ") };
    Activity {
        at,
        kind: ActivityKind::Quantity,
        action: "run".to_owned(),
        alert: None,
        rule_kind: None,
        severity: None,
        source: None,
        customer: None,
        ticket: None,
        text: format!("Quantities were compared: {lines}; {} plans wait for people.", report.waiting.len()),
        why: Some(format!("{} asked for it", request.actor)),
    }
}

/// A line on an agreement with an operation whose outcome is not known waits for it: nothing is built on a guess.
async fn set_aside_doubts(
    store: &dyn Store,
    org: &OrganizationId,
    plan: &mut QuantityPlan,
) -> Result<(), Failure> {
    let busy: BTreeSet<AgreementId> = store
        .list_unresolved_operations(org)
        .await?
        .into_iter()
        .map(|operation| operation.agreement)
        .collect();
    for planned in
        plan.lines.iter_mut().filter(|planned| planned.acts() && busy.contains(&planned.line.agreement))
    {
        let message = format!(
            "An operation on agreement {} has no clear outcome yet; the line waits for it.",
            planned.line.agreement
        );
        let finding = Finding::new(Code::Tu7006, subject_of(&planned.line), message);
        refuse(planned, &finding);
        plan.findings.push(finding);
    }
    Ok(())
}

fn subject_of(line: &Line) -> trueup_domain::finding::Subject {
    trueup_domain::finding::Subject {
        task: Some(quantity_task(&line.source, &line.customer)),
        source: Some(line.source.clone()),
        customer: Some(line.customer.clone()),
        product: line.services.first().cloned(),
        agreement: Some(line.agreement),
        addition: line.addition,
        ..trueup_domain::finding::Subject::default()
    }
}

fn refuse(planned: &mut Planned, finding: &Finding) {
    planned.change = None;
    planned.adoption = None;
    planned.holds.clear();
    planned.line.verdict = Verdict::Refused;
    planned.line.code = Some(finding.code);
    planned.line.why.clone_from(&finding.message);
}

/// Where a run takes place, and what it stands on.
pub(super) struct Site<'a> {
    pub store: &'a dyn Store,
    pub psa: &'a dyn Psa,
    pub clock: &'a dyn Clock,
    pub request: &'a Request<'a>,
    pub gathered: &'a Gathered,
}

impl Site<'_> {
    /// The checked plan of some of the lines; none where nothing is to be done for them. A line that does not pass the
    /// check is taken out with what the check says, and the others go on.
    fn made(&self, compared: &mut Compared, of: &dyn Fn(&Planned) -> bool) -> Option<StoredPlan> {
        let world = self.gathered.world(self.request, self.clock, self.request.settings, &compared.snapshot);
        loop {
            let mut draft = compared.plan.draft(&world, |planned| planned.acts() && of(planned));
            if draft.changes.is_empty() && draft.adoptions.is_empty() {
                return None;
            }
            draft.note_invoicers(&compared.snapshot);
            let acting = compared.plan.lines.iter().filter(|planned| planned.acts() && of(planned));
            let counted = acting.filter_map(|planned| compared.footings.get(&planned.line.key()).cloned());
            draft.stands_on = Some(footing::of_counted(counted.collect(), self.request.settings));
            let stored = checked(draft, &world, self.clock, self.request.connection, self.request.actor);
            let PlanBody::Draft(refused) = &stored.body else { return Some(stored) };
            let wrong: Vec<Finding> = refused
                .findings
                .iter()
                .filter(|finding| finding.subject.agreement.is_some())
                .cloned()
                .collect();
            let mut taken_out = false;
            for finding in wrong {
                let at = finding.subject.agreement;
                let lines = compared.plan.lines.iter_mut();
                for planned in lines.filter(|p| p.acts() && of(p) && Some(p.line.agreement) == at) {
                    refuse(planned, &finding);
                    taken_out = true;
                }
                compared.plan.findings.push(finding);
            }
            if !taken_out {
                compared.plan.findings.extend(refused.findings.iter().cloned());
                return Some(stored);
            }
        }
    }

    /// Carries out what may be carried out. Returns whether something was out of date, so that it has to be planned anew.
    async fn carry_out(
        &self,
        compared: &mut Compared,
        approval: Approval,
        options: &ApplyOptions<'_>,
        report: &mut RunReport,
    ) -> Result<bool, RunError> {
        let given = approval == Approval::Given;
        let mut waiting: Vec<Asked> = Vec::new();
        let mut stale = false;
        let free = |planned: &Planned| given || planned.holds.is_empty();
        let mut done: BTreeMap<(AgreementId, CatalogItemId), ChangeReport> = BTreeMap::new();
        if let Some(whole) = self.made(compared, &free) {
            let apart = self.to_be_approved(&whole).await?;
            let goes = |planned: &Planned| {
                free(planned)
                    && !apart.contains(&(planned.line.source.clone(), planned.line.customer.clone()))
            };
            let stored = if apart.is_empty() { Some(whole) } else { self.made(compared, &goes) };
            if let Some(stored) = stored {
                let held = if given { Vec::new() } else { self.brakes(&stored, &compared.snapshot).await? };
                if held.is_empty() || approvals_given(self, &stored).await? {
                    stale |= self.apply((stored, compared), options, report, &mut done).await?;
                } else {
                    hold(compared, &goes, &held);
                    waiting.push(Asked { stored, holds: held });
                }
            }
            for key in &apart {
                let of = |planned: &Planned| {
                    free(planned) && planned.line.source == key.0 && planned.line.customer == key.1
                };
                if let Some(stored) = self.made(compared, &of) {
                    waiting.push(Asked { stored, holds: Vec::new() });
                }
            }
        }
        let held: BTreeSet<(SourceId, CustomerId)> = compared
            .plan
            .lines
            .iter()
            .filter(|planned| planned.acts() && !planned.holds.is_empty() && !given)
            .map(|planned| (planned.line.source.clone(), planned.line.customer.clone()))
            .collect();
        for key in &held {
            let of = |planned: &Planned| {
                !planned.holds.is_empty() && planned.line.source == key.0 && planned.line.customer == key.1
            };
            let holds: Vec<Finding> = compared
                .plan
                .lines
                .iter()
                .filter(|planned| of(planned))
                .flat_map(|planned| planned.holds.iter().cloned())
                .collect();
            let already = waiting.iter().any(|asked| asked.holds_lines_of(key));
            if let Some(stored) = self.made(compared, &of).filter(|_| !already) {
                if approvals_given(self, &stored).await? {
                    stale |= self.apply((stored, compared), options, report, &mut done).await?;
                } else {
                    waiting.push(Asked { stored, holds });
                }
            }
        }
        let current = self.ask(waiting, report).await?;
        self.withdraw_others(&current, &compared.plan.not_due).await?;
        self.keep(compared, &done, report).await?;
        Ok(stale)
    }

    /// The customers of whose changes the policy (`approval.*`) asks people first.
    async fn to_be_approved(
        &self,
        stored: &StoredPlan,
    ) -> Result<BTreeSet<(SourceId, CustomerId)>, RunError> {
        let policy = &self.request.settings.approval;
        if approvals::refused(self.store, self.clock, self.request.org, stored, policy).await?.is_some() {
            let all = stored
                .body
                .plan()
                .changes
                .iter()
                .map(|change| (change.source.clone(), change.customer.clone()));
            return Ok(all.collect());
        }
        let waiting = approvals::waiting(self.store, self.clock, self.request.org, stored, policy).await?;
        Ok(waiting
            .into_keys()
            .filter_map(|(source, subscription)| {
                let customer = subscription.as_str().strip_prefix("quantity:")?;
                Some((source, CustomerId::from(customer)))
            })
            .collect())
    }

    /// Why a whole run that nobody looks at should hold.
    async fn brakes(&self, stored: &StoredPlan, fresh: &Snapshot) -> Result<Vec<Finding>, RunError> {
        let place = (self.request.org, self.request.connection);
        let (held, _) =
            brakes::weigh(self.store, place, stored.body.plan(), fresh, self.request.settings).await?;
        Ok(held)
    }

    async fn apply(
        &self,
        (stored, compared): (StoredPlan, &Compared),
        options: &ApplyOptions<'_>,
        report: &mut RunReport,
        done: &mut BTreeMap<(AgreementId, CatalogItemId), ChangeReport>,
    ) -> Result<bool, RunError> {
        self.store.save_plan(self.request.org, &stored).await?;
        let reads = compared.reads_of(stored.body.plan());
        // It was made of what is told at this moment: what it stands on need not be looked at again.
        let options = &ApplyOptions { fresh_reads: Some(&reads), settings: None, ..options.clone() };
        let applied =
            applying::apply(self.store, self.psa, self.clock, self.request.org, &stored, options).await;
        let applied = match applied {
            Ok(applied) => applied,
            // The policy says so although the whole was looked at: what it waits for is a finding.
            Err(ApplyError::Waits(finding)) => {
                report.findings.push(*finding);
                report.waiting.push(stored);
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let plan = stored.body.plan();
        for change in &plan.changes {
            if let Some(told) = applied.changes.iter().find(|told| told.change_id == change.id) {
                done.insert((change.agreement, change.catalog_item), told.clone());
            }
        }
        let stale = applied.stale;
        report.findings.extend(applied.findings.iter().cloned());
        let stored = self.store.find_plan(self.request.org, &stored.id).await?.unwrap_or(stored);
        report.outcomes.push(Outcome { stored, report: applied });
        Ok(stale)
    }
}

fn hold(compared: &mut Compared, of: &dyn Fn(&Planned) -> bool, why: &[Finding]) {
    for planned in compared.plan.lines.iter_mut().filter(|planned| planned.acts() && of(planned)) {
        planned.line.verdict = Verdict::Held;
        planned.line.code = why.first().map(|finding| finding.code);
    }
}
