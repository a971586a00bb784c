//! Findings and what people decide about them.

use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::records::{FindingFilter, FindingState, NewAuditEntry, StoredFinding};
use jiff::civil::Date;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::{Code, Finding, Severity, Subject};
use trueup_domain::ids::{OrganizationId, TaskId};
use trueup_domain::task::{Task, TaskState};

/// What a person decides about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Quiet until the date.
    Mute(Date),
    /// Put aside, with a reason.
    Ignore(String),
    /// Open again.
    Reopen,
}

/// Records the findings of the tasks that were looked at, each under its task; what no longer holds becomes resolved.
/// Findings without a task go under `general`.
///
/// With `judged`, only these codes were looked for: open findings of other codes are carried on.
///
/// # Errors
/// The store's.
pub async fn record(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    scope: Scope<'_>,
    findings: &[Finding],
) -> Result<(), Failure> {
    let mut by_task: BTreeMap<TaskId, Vec<Finding>> = BTreeMap::new();
    let mut shared: BTreeMap<(Code, Subject), Finding> = BTreeMap::new();
    let mut others = Vec::new();
    for finding in findings {
        if let Some(of_many) = finding.shared() {
            match shared.entry((of_many.code, of_many.subject.clone())) {
                Entry::Vacant(entry) => drop(entry.insert(of_many)),
                Entry::Occupied(mut entry) => entry.get_mut().join(of_many),
            }
            continue;
        }
        match &finding.subject.task {
            Some(task) => by_task.entry(task.clone()).or_default().push(finding.clone()),
            None => others.push(finding.clone()),
        }
    }
    let mut known = Known::of(store, org).await?;
    let (now, today) = (clock.now(), clock.today());
    for finding in scope.gathered(shared, &known.shared) {
        let name = format!(
            "shared/{}/{}",
            finding.code,
            serde_json::to_string(&finding.subject).unwrap_or_default()
        );
        let open: &[Finding] = if finding.tasks.is_empty() { &[] } else { std::slice::from_ref(&finding) };
        store.record_findings(org, &name, now, today, open).await?;
    }
    let all: BTreeSet<TaskId> = scope.looked_at.iter().cloned().chain(by_task.keys().cloned()).collect();
    for task in all {
        let mut found = by_task.remove(&task).unwrap_or_default();
        let earlier = known.of_task.remove(&task).unwrap_or_default();
        let (judged, carried): (Vec<Finding>, Vec<Finding>) =
            earlier.into_iter().partition(|f| scope.judges(f.code));
        // A task without a finding, now and before, needs no write.
        if found.is_empty() && judged.is_empty() {
            continue;
        }
        found.extend(carried);
        store.record_findings(org, &format!("task/{task}"), now, today, &found).await?;
    }
    store.record_findings(org, scope.general, now, today, &others).await?;
    Ok(())
}

/// Leaves one of findings that say the same of the same: it is one finding, wherever it was met.
pub fn once_each(findings: &mut Vec<Finding>) {
    let mut said = BTreeSet::new();
    findings.retain(|finding| said.insert((finding.code, finding.subject.clone(), finding.message.clone())));
}

/// Codes that tell how a task was carried out: the amount is where it belongs once the task is done. A copy that lies beside
/// its line (TU3007) is told by every pull as long as it does.
const TOLD_BY_DONE: [Code; 4] = [Code::Tu3007, Code::Tu4002, Code::Tu5001, Code::Tu6006];

/// Codes that tell why something was not written: of a task that is done nothing was left.
const OF_WHAT_IS_NOT_WRITTEN: [Code; 24] = [
    Code::Tu1001,
    Code::Tu1002,
    Code::Tu1003,
    Code::Tu1004,
    Code::Tu1005,
    Code::Tu1006,
    Code::Tu1007,
    Code::Tu2001,
    Code::Tu2002,
    Code::Tu2003,
    Code::Tu2004,
    Code::Tu2005,
    Code::Tu2007,
    Code::Tu2008,
    Code::Tu3001,
    Code::Tu3002,
    Code::Tu3004,
    Code::Tu3005,
    Code::Tu3006,
    Code::Tu4001,
    Code::Tu4003,
    Code::Tu7001,
    Code::Tu7003,
    Code::Tu7004,
];

/// Codes whose warnings about a finished task stay until a person has answered them: what was written is known to differ from
/// what the orders say, and no later look at the task would find it again.
const LEFT_TO_A_PERSON: [Code; 2] = [Code::Tu5001, Code::Tu6006];

/// Resolves what only told how finished tasks were written. What leaves money with a person to decide stays open.
///
/// # Errors
/// The store's.
pub async fn settle_done(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    tasks: &BTreeMap<TaskId, Task>,
) -> Result<(), Failure> {
    let done =
        tasks.values().filter(|task| task.state == TaskState::Done).map(|task| task.id.clone()).collect();
    let codes: Vec<Code> = TOLD_BY_DONE.iter().chain(&OF_WHAT_IS_NOT_WRITTEN).copied().collect();
    let scope = Scope { looked_at: &done, judged: Some(&codes), general: "done" };
    let left = of_tasks(store, org, |task, finding| {
        done.contains(task) && finding.severity > Severity::Info && LEFT_TO_A_PERSON.contains(&finding.code)
    });
    let left = left.await?;
    record(store, clock, org, scope, &left).await
}

/// Findings of single tasks that were known before and stand: recorded again with what a run found, they are left as they are.
///
/// # Errors
/// The store's.
pub async fn of_tasks(
    store: &dyn Store,
    org: &OrganizationId,
    is_meant: impl Fn(&TaskId, &Finding) -> bool,
) -> Result<Vec<Finding>, Failure> {
    let known = Known::of(store, org).await?.of_task.into_iter();
    let all = known.flat_map(|(task, findings)| findings.into_iter().map(move |one| (task.clone(), one)));
    Ok(all.filter(|(task, finding)| is_meant(task, finding)).map(|(_, finding)| finding).collect())
}

/// Resolves what told why these tasks were not written, for those of them that are done by now.
///
/// # Errors
/// The store's.
pub async fn settle_written(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    tasks: &[Task],
) -> Result<(), Failure> {
    let done: BTreeSet<TaskId> =
        tasks.iter().filter(|task| task.state == TaskState::Done).map(|task| task.id.clone()).collect();
    if done.is_empty() {
        return Ok(());
    }
    let scope = Scope { looked_at: &done, judged: Some(&OF_WHAT_IS_NOT_WRITTEN), general: "done" };
    record(store, clock, org, scope, &[]).await
}

/// What a run looked at.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The tasks.
    pub looked_at: &'a BTreeSet<TaskId>,
    /// The codes that could have been found; none means all.
    pub judged: Option<&'a [Code]>,
    /// The name under which findings without a task are kept.
    pub general: &'a str,
}

impl Scope<'_> {
    fn judges(&self, code: Code) -> bool {
        self.judged.is_none_or(|codes| codes.contains(&code))
    }

    /// The shared findings that are to be written: each with the tasks that it holds by now, and without any where it
    /// holds none any more.
    fn gathered(&self, mut found: BTreeMap<(Code, Subject), Finding>, known: &[Finding]) -> Vec<Finding> {
        let mut all = Vec::new();
        for known in known {
            let mut left = known.clone();
            if self.judges(known.code) {
                left.tasks.retain(|task| !self.looked_at.contains(task));
            }
            match found.remove(&(known.code, known.subject.clone())) {
                Some(mut again) => {
                    again.tasks.extend(left.tasks);
                    all.push(again);
                }
                None if left.tasks != known.tasks => all.push(left),
                None => {}
            }
        }
        all.extend(found.into_values());
        all
    }
}

/// The findings of tasks that were known before: those of one task alone, and those that tasks share.
#[derive(Default)]
struct Known {
    of_task: BTreeMap<TaskId, Vec<Finding>>,
    shared: Vec<Finding>,
}

impl Known {
    async fn of(store: &dyn Store, org: &OrganizationId) -> Result<Self, Failure> {
        let filter = FindingFilter {
            states: vec![
                FindingState::Open,
                FindingState::Recurred,
                FindingState::Muted,
                FindingState::Ignored,
            ],
            ..FindingFilter::default()
        };
        let mut known = Self::default();
        for stored in store.list_findings(org, &filter).await? {
            if !stored.finding.tasks.is_empty() {
                known.shared.push(stored.finding);
            } else if let Some(task) = stored.finding.subject.task.clone() {
                known.of_task.entry(task).or_default().push(stored.finding);
            }
        }
        Ok(known)
    }
}

/// The findings that fit, the gravest first, then the ones seen last.
///
/// # Errors
/// The store's.
pub async fn list(
    store: &dyn Store,
    org: &OrganizationId,
    filter: &FindingFilter,
) -> Result<Vec<StoredFinding>, Failure> {
    let mut found = store.list_findings(org, filter).await?;
    found.sort_by(|a, b| {
        b.finding
            .severity
            .cmp(&a.finding.severity)
            .then(b.last_seen_at.cmp(&a.last_seen_at))
            .then(a.id.cmp(&b.id))
    });
    Ok(found)
}

/// Findings about which somebody decided: they are muted, or put aside for a reason.
#[derive(Clone, Debug, Default)]
pub struct Decided(BTreeSet<(Code, Subject)>);

impl Decided {
    /// Those of an organization.
    ///
    /// # Errors
    /// The store's.
    pub async fn of(store: &dyn Store, org: &OrganizationId) -> Result<Self, Failure> {
        let states = vec![FindingState::Muted, FindingState::Ignored];
        let filter = FindingFilter { states, ..FindingFilter::default() };
        let known = store.list_findings(org, &filter).await?;
        Ok(Self(known.into_iter().map(|known| (known.finding.code, known.finding.identity())).collect()))
    }

    /// Whether somebody decided about this one: then it needs nobody.
    pub fn has(&self, finding: &Finding) -> bool {
        !self.0.is_empty() && self.0.contains(&(finding.code, finding.identity()))
    }

    /// Whether a finding of severity error is among these about which nobody decided.
    pub fn leaves_an_error<'a>(&self, found: impl IntoIterator<Item = &'a Finding>) -> bool {
        found.into_iter().any(|finding| finding.severity == Severity::Error && !self.has(finding))
    }
}

/// One finding.
///
/// # Errors
/// [`Failure::Wrong`] where there is none with this id.
pub async fn get(store: &dyn Store, org: &OrganizationId, id: &str) -> Result<StoredFinding, Failure> {
    let all = store.list_findings(org, &FindingFilter::default()).await?;
    all.into_iter().find(|f| f.id == id).ok_or_else(|| no_finding(id))
}

/// Mutes, ignores or re-opens a finding; the decision goes into the audit.
///
/// # Errors
/// [`Failure::Wrong`] for an unknown id, a mute that is over already, or an empty reason.
pub async fn decide(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    actor: &str,
    id: &str,
    decision: &Decision,
) -> Result<(), Failure> {
    let (state, until, reason) = match decision {
        Decision::Mute(until) if *until <= clock.today() => {
            return Err(Failure::wrong(
                format!("a mute until {until} would be over already: today is {}", clock.today()),
                "Name a later day.",
            ));
        }
        Decision::Mute(until) => (FindingState::Muted, Some(*until), None),
        Decision::Ignore(reason) if reason.trim().is_empty() => {
            return Err(Failure::wrong("a finding is ignored for a reason, and none was given", "Say why."));
        }
        Decision::Ignore(reason) => (FindingState::Ignored, None, Some(reason.as_str())),
        Decision::Reopen => (FindingState::Open, None, None),
    };
    if !store.decide_finding(org, id, state, until, reason, actor).await? {
        return Err(no_finding(id));
    }
    let detail = serde_json::json!({ "state": state, "until": until, "reason": reason });
    let entry = NewAuditEntry {
        at: clock.now(),
        actor: actor.to_owned(),
        action: "finding.decide".into(),
        object: format!("finding/{id}"),
        addition: None,
        detail: detail.to_string(),
    };
    store.append_audit(org, &[entry]).await?;
    Ok(())
}

fn no_finding(id: &str) -> Failure {
    Failure::wrong(format!("there is no finding `{id}`"), "`trueup finding list` shows them all.")
}
