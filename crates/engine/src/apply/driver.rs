//! Runs the core: leases, journal, calls and outcomes, several agreements at a time.

use super::core::{Core, Entry, Quirks, Rules, State};
use super::effects::{Held, Ports, failure};
use super::layout::Layout;
use super::record::Recorder;
use super::run::Run;
use super::{ApplyError, ApplyOptions, ApplyReport, FreshReads};
use crate::footing;
use crate::observe::recent;
use crate::ports::{Clock, Psa, Store};
use crate::quantity;
use crate::records::{OperationRow, PlanBody, PlanState, StoredPlan};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AdditionId, AgreementId, OrganizationId, PlanId};
use trueup_domain::mapping::Mappings;
use trueup_domain::plan::{AdditionLink, Change, DraftPlan};
use trueup_domain::psa::AdditionState;

/// Carries a stored plan out, or goes on with one that was begun.
///
/// # Errors
/// [`ApplyError`]: in every case nothing was sent that the journal does not know of.
pub async fn apply_plan(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    options: &ApplyOptions<'_>,
) -> Result<ApplyReport, ApplyError> {
    let PlanBody::Checked(checked) = &stored.body else { return Err(ApplyError::NotChecked) };
    let ports = Ports { store, psa, clock, org, told: options.boundary };
    let plan = checked.plan();
    let layout = Layout::of(plan);
    let calls_before = psa.calls();
    let first = entries_of(&layout, plan, &store.list_operations(org, &stored.id).await?);
    if matches!(stored.state, PlanState::Stale | PlanState::Refused) && first.iter().all(|e| !e.unresolved())
    {
        return Ok(refused_before(stored, plan, &layout, first));
    }
    let mut leases = BTreeMap::new();
    let taken = take_lanes(ports, &layout, &first, options, &mut leases).await;
    let result = match taken {
        Ok(()) => run_leased(ports, stored, plan, &layout, &mut leases, options).await,
        Err(error) => Err(error),
    };
    for held in leases.values() {
        // A lease that cannot be given back runs out by itself.
        let _ = store.release_lease(org, &held.lease).await;
    }
    let mut report = result?;
    report.summary.calls = psa.calls().saturating_sub(calls_before);
    Ok(report)
}

/// Goes on with every plan that has operations in doubt: looks them up, sends again what certainly was not carried
/// out, and then the changes that waited for them. With `options.wait` it waits for the settle time to be over;
/// without, it does what can be done now.
///
/// # Errors
/// [`ApplyError`] of the first plan that could not be gone on with; the others are still done.
pub async fn resolve_in_doubt(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    options: &ApplyOptions<'_>,
) -> Result<Vec<(PlanId, ApplyReport)>, ApplyError> {
    let resolved = resolve_each(store, psa, clock, org, options).await?;
    resolved.into_iter().map(|(id, report)| Ok((id, report?))).collect()
}

/// As [`resolve_in_doubt`], with what kept each plan from being gone on with: it says nothing of the others.
///
/// # Errors
/// The store's.
pub(crate) async fn resolve_each(
    store: &dyn Store,
    psa: &dyn Psa,
    clock: &dyn Clock,
    org: &OrganizationId,
    options: &ApplyOptions<'_>,
) -> Result<BTreeMap<PlanId, Result<ApplyReport, ApplyError>>, ApplyError> {
    let mut resolved: BTreeMap<PlanId, Result<ApplyReport, ApplyError>> = BTreeMap::new();
    // First without waiting, so that the waits of several plans run side by side.
    let passes: &[bool] = if options.wait { &[false, true] } else { &[false] };
    for wait in passes {
        let unresolved = store.list_unresolved_operations(org).await?;
        let due = |row: &OperationRow| {
            let from = row.absent_at.or(row.sent_at).unwrap_or(0);
            from.saturating_add(options.settle_ms) <= clock.now()
        };
        let plans: BTreeSet<PlanId> =
            unresolved.iter().filter(|row| *wait || due(row)).map(|row| row.plan.clone()).collect();
        for id in plans {
            let Some(stored) = store.find_plan(org, &id).await? else { continue };
            if options.connection.as_ref().is_some_and(|name| *name != stored.connection) {
                continue;
            }
            let options = ApplyOptions { wait: *wait, fresh_reads: None, ..options.clone() };
            let done = apply_plan(store, psa, clock, org, &stored, &options).await;
            // Another worker is at it: it will be found done, or still open, the next time. What the first pass did stays told.
            let was_done = matches!(resolved.get(&id), Some(Ok(_)));
            if matches!(done, Err(ApplyError::Busy(_))) && (!*wait || was_done) {
                continue;
            }
            let before = match resolved.get(&id) {
                Some(Ok(report)) => report.summary.calls,
                Some(Err(_)) | None => 0,
            };
            resolved.insert(
                id,
                done.map(|mut report| {
                    report.summary.calls += before;
                    report
                }),
            );
        }
    }
    Ok(resolved)
}

fn entries_of(layout: &Layout, plan: &DraftPlan, rows: &[OperationRow]) -> Vec<Entry> {
    let by_change: BTreeMap<_, _> = rows.iter().map(|row| (&row.change, row)).collect();
    let entry = |index: usize| {
        let row = plan.changes.get(index).and_then(|c| by_change.get(&c.id))?;
        Some(Entry {
            saved: true,
            state: row.state,
            addition: row.addition,
            attempts: row.attempts,
            sent_at: row.sent_at,
            absent_at: row.absent_at,
            calls: row.calls,
            error: row.error.clone().map(Box::new),
        })
    };
    layout.steps.iter().map(|step| entry(step.change).unwrap_or_default()).collect()
}

/// A plan that was refused stays refused: planning again is the way on.
fn refused_before(
    stored: &StoredPlan,
    plan: &DraftPlan,
    layout: &Layout,
    entries: Vec<Entry>,
) -> ApplyReport {
    let why = "it no longer fitted what ConnectWise held when it was to be applied; plan again";
    let subject = Subject { detail: Some(stored.id.to_string()), ..Subject::default() };
    let finding = Finding::new(Code::Tu7001, subject, format!("The plan was refused before: {why}."));
    let mut entries = entries;
    for entry in entries.iter_mut().filter(|e| e.state == State::Intent) {
        entry.state = State::Skipped;
        entry.error = Some(Box::new(failure(Code::Tu7001, why)));
    }
    let written = BTreeMap::new();
    let core = Core::new(plan, layout, Rules::default(), entries, &written);
    let mut report = core.report();
    report.findings.push(finding);
    report.stale = true;
    report
}

/// Claims the lane of every agreement with open steps, all or none.
async fn take_lanes(
    ports: Ports<'_>,
    layout: &Layout,
    entries: &[Entry],
    options: &ApplyOptions<'_>,
    leases: &mut BTreeMap<usize, Held>,
) -> Result<(), ApplyError> {
    let ttl_ms = options.lease_ttl_ms.max(1_000);
    // Always in the order of the agreements, so that two runs cannot each hold what the other waits for.
    let mut lanes: Vec<_> = layout.lanes.iter().enumerate().collect();
    lanes.sort_by_key(|(_, lane)| lane.agreement);
    for (number, lane) in lanes {
        let open = lane.steps.iter().filter_map(|n| entries.get(*n)).any(|e| !e.over());
        if !open {
            continue;
        }
        let name = format!("agreement/{}", lane.agreement);
        let patience = ports.clock.now().saturating_add(ttl_ms);
        loop {
            let now = ports.clock.now();
            let claimed = ports.store.acquire_lease(ports.org, &name, &options.owner, now, ttl_ms).await?;
            if let Some(lease) = claimed {
                leases.insert(number, Held { lease, until: now.saturating_add(ttl_ms), ttl_ms });
                break;
            }
            // The holder may be a process that died: its lease runs out within this time.
            if now > patience || !options.wait {
                return Err(ApplyError::Busy(lane.agreement));
            }
            ports.clock.sleep_until(now.saturating_add((ttl_ms / 8).max(250))).await;
        }
    }
    Ok(())
}

async fn run_leased(
    ports: Ports<'_>,
    stored: &StoredPlan,
    plan: &DraftPlan,
    layout: &Layout,
    leases: &mut BTreeMap<usize, Held>,
    options: &ApplyOptions<'_>,
) -> Result<ApplyReport, ApplyError> {
    // Read under the leases: before them another worker could still have moved it.
    let rows = ports.store.list_operations(ports.org, &stored.id).await?;
    let links: BTreeMap<AdditionId, AdditionLink> =
        ports.store.list_links(ports.org).await?.into_iter().map(|l| (l.addition, l)).collect();
    let written: BTreeMap<AdditionId, AdditionState> =
        links.iter().filter(|(_, l)| !l.deleted).map(|(id, l)| (*id, l.written.clone())).collect();
    let rules = Rules {
        settle_ms: options.settle_ms,
        in_flight: options.in_flight.max(1),
        wait: options.wait,
        keyed: options.keyed,
        said: options.said,
        max_read_age_ms: options.max_read_age_ms,
        quirks: Quirks::default(),
        ..Rules::default()
    };
    let keys: BTreeMap<_, _> = rows.iter().map(|row| (&row.change, row.key.clone())).collect();
    let keys = layout
        .steps
        .iter()
        .map(|step| {
            plan.changes
                .get(step.change)
                .map(|c| keys.get(&c.id).cloned().unwrap_or_else(|| c.key.0.clone()))
                .unwrap_or_default()
        })
        .collect();
    let overtaken = match options.fresh_reads {
        Some(reads) => {
            overtaken(reads, &links, &ports.store.list_unresolved_operations(ports.org).await?, &stored.id)
        }
        None => BTreeSet::new(),
    };
    let mut known: BTreeMap<AgreementId, BTreeSet<AdditionId>> = BTreeMap::new();
    for link in links.values().filter(|l| !l.deleted) {
        known.entry(link.agreement).or_default().insert(link.addition);
    }
    let left = left_since(ports, plan, &rows, options).await?;
    let core = Core::new(plan, layout, rules, entries_of(layout, plan, &rows), &written);
    let named = named_by_persons(ports, plan, &rows).await?;
    let core = core.knowing(known).naming(named).leaving(&left);
    let recorder =
        Recorder { plan, plan_id: &stored.id, actor: &options.actor, links: &links, left: BTreeMap::new() };
    let mut run = Run {
        ports,
        stored,
        plan,
        layout,
        options,
        recorder,
        core,
        leases,
        keys,
        used_reads: BTreeSet::new(),
        overtaken,
        looks: VecDeque::new(),
        looking: 0,
        store_error: None,
    };
    run.go().await?;
    run.close().await
}

/// The additions that persons named as the line of a change whose call had no answer.
async fn named_by_persons(
    ports: Ports<'_>,
    plan: &DraftPlan,
    rows: &[OperationRow],
) -> Result<BTreeMap<usize, Vec<AdditionId>>, ApplyError> {
    let is_open = |row: &&OperationRow| matches!(row.state, State::Sending | State::InDoubt);
    let open: BTreeSet<_> = rows.iter().filter(is_open).map(|row| &row.change).collect();
    if open.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mappings = Mappings::on(ports.store.list_mappings(ports.org).await?, ports.clock.today());
    let named = plan.changes.iter().enumerate().filter(|(_, change)| open.contains(&change.id));
    let named = named.map(|(place, change)| {
        (place, mappings.adopted_additions(&change.source, &change.subscription, &change.product))
    });
    Ok(named.collect())
}

/// The agreements of which the source or a person said otherwise since a plan was begun: what was sent is looked up, and
/// nothing more is sent for them. A task that was put aside, an order that was corrected or withdrawn, or a customer who
/// was switched off after a run was killed is not billed by the one that goes on with it.
async fn left_since(
    ports: Ports<'_>,
    plan: &DraftPlan,
    rows: &[OperationRow],
    options: &ApplyOptions<'_>,
) -> Result<BTreeSet<AgreementId>, ApplyError> {
    let Some(settings) = options.settings.filter(|_| !rows.is_empty()) else { return Ok(BTreeSet::new()) };
    let Some(footing) = &plan.stands_on else { return Ok(BTreeSet::new()) };
    let Ports { store, clock, org, .. } = ports;
    let counted = quantity::others_since(store, clock, org, settings, &footing.counted).await?;
    let mut left: BTreeSet<AgreementId> = counted.into_iter().map(|line| line.agreement).collect();
    for moved in footing::under_tasks(store, clock, org, footing, settings).await? {
        let of_it = |change: &&Change| moved.task.as_ref().is_none_or(|task| change.task == *task);
        let writes = plan.changes.iter().map(AsRef::as_ref).filter(|change| change.writes());
        left.extend(writes.filter(of_it).map(|change| change.agreement));
    }
    Ok(left)
}

/// The agreements whose read for planning no longer is the last word: it was made before the lease was held, and what the
/// journal knows under the lease is not in it.
fn overtaken(
    reads: &FreshReads,
    links: &BTreeMap<AdditionId, AdditionLink>,
    unresolved: &[OperationRow],
    own: &PlanId,
) -> BTreeSet<AgreementId> {
    let mut found = recent::overtaken(reads, links.values());
    found.extend(unresolved.iter().filter(|row| row.plan != *own).map(|row| row.agreement));
    found
}
