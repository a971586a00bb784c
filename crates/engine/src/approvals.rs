//! Asking people: which plans wait for a yes, who said what, and when a question is over.
//!
//! The policy (`approval.*`) decides here, in one place, for every way of applying. Brakes only hold a run over all
//! tasks; what they hold is asked here as well, and a plan that is applied by its id passes them.

use crate::failure::Failure;
use crate::ports::{Clock, Store, StoreError};
use crate::records::{
    ApprovalRow, ApprovalState, Millis, NewAuditEntry, PlanBody, PlanState, StoredPlan, TaskFilter,
};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::approval::{
    Answer, Limit, Need, Policy, Reason, Whose, Word, answer, counted, mark, needs,
};
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{OrganizationId, PlanId, TaskId};
use trueup_domain::plan::{DraftPlan, TaskOutcome};
use trueup_domain::task::TaskState;

/// Open questions that a run looks over.
const MOST_OPEN: u32 = 10_000;

/// The person who works at the command line: whoever reaches the installation's files. Two names of the machine are no
/// two people, since nothing there tells them apart.
pub const COMMAND_LINE: &str = "command line";

/// Somebody who answers.
#[derive(Clone, Copy, Debug)]
pub struct Voice<'a> {
    /// Who, as one and the same person everywhere.
    pub person: &'a str,
    /// The name in the audit.
    pub actor: &'a str,
}

/// Whether a plan may be carried out: none, or what it waits for. Where it waits, people are asked.
///
/// # Errors
/// The store's.
pub async fn gate(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: &Policy,
) -> Result<Option<Finding>, StoreError> {
    let Some(open) = standing(store, clock, org, stored, policy).await? else { return Ok(None) };
    Ok(Some(ask(store, clock, org, stored, policy, open).await?))
}

/// What of a plan is not answered with a yes; none where nothing is asked or enough people said so.
async fn standing(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: &Policy,
) -> Result<Option<Need>, StoreError> {
    let plan = stored.body.plan();
    let needs = needs(plan, policy);
    let mut whole = Need::default();
    for need in needs.values() {
        whole.join(need.clone());
    }
    if let Some(row) = store.find_approval(org, &id_of(stored)).await? {
        // What a brake held was asked of one person at least; what a person then said no to is not written either.
        match answer(&row.words, whole.persons, policy, &row.maker, clock.now()) {
            Answer::Given => return Ok(None),
            Answer::Refused(_) => {
                whole.persons = whole.persons.max(1);
                return Ok(Some(whole));
            }
            Answer::Missing(_) => {}
        }
    }
    let mut open = Need::default();
    for (whose, need) in needs {
        if !is_given(store, clock, org, stored, policy, &whose, need.persons).await? {
            open.join(need);
        }
    }
    Ok((open.persons > 0).then_some(whole))
}

/// Whether enough people said yes to what a plan does to one subscription.
async fn is_given(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: &Policy,
    whose: &Whose,
    persons: u8,
) -> Result<bool, StoreError> {
    let of = BTreeSet::from([whose.clone()]);
    let id = mark(&stored.connection, stored.body.plan(), Some(&of));
    let Some(row) = store.find_approval(org, &id).await? else { return Ok(false) };
    Ok(answer(&row.words, persons, policy, &row.maker, clock.now()) == Answer::Given)
}

/// Asks people about a plan, and says so in a finding.
///
/// # Errors
/// The store's.
pub async fn ask(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: &Policy,
    need: Need,
) -> Result<Finding, StoreError> {
    let row = question(store, clock, org, stored, need).await?;
    let finding = finding_of(&row, stored.body.plan(), policy, clock.now());
    let scope = scope_of(&row.id);
    store.record_findings(org, &scope, clock.now(), clock.today(), std::slice::from_ref(&finding)).await?;
    Ok(finding)
}

/// Asks people about a plan that brakes hold: their findings say so already.
///
/// # Errors
/// The store's.
pub async fn ask_for_brakes(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    brakes: &[Finding],
    policy: &Policy,
) -> Result<ApprovalRow, StoreError> {
    let mut need = trueup_domain::approval::need_of(stored.body.plan(), policy);
    let reason = |brake: &Finding| Reason { limit: Limit::Brake, message: brake.message.clone() };
    need.join(Need { persons: 1, reasons: brakes.iter().map(reason).collect() });
    question(store, clock, org, stored, need).await
}

async fn question(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    need: Need,
) -> Result<ApprovalRow, StoreError> {
    let question = ApprovalRow {
        id: id_of(stored),
        plan: stored.id.clone(),
        connection: stored.connection.clone(),
        persons: need.persons.max(1),
        reasons: need.reasons,
        maker: stored.actor.clone(),
        asked_at: clock.now(),
        state: ApprovalState::Open,
        closed_at: None,
        words: Vec::new(),
    };
    store.ask_approval(org, &question).await
}

fn scope_of(id: &str) -> String {
    format!("approval/{id}")
}

/// Reasons that a finding lists; the rest is a number.
const MOST_REASONS: usize = 5;

fn finding_of(row: &ApprovalRow, plan: &DraftPlan, policy: &Policy, now: Millis) -> Finding {
    let whose: BTreeSet<_> = plan
        .changes
        .iter()
        .filter(|c| c.writes())
        .map(|c| (&c.source, &c.subscription, &c.customer))
        .collect();
    let mut subject = Subject { detail: Some(format!("approval {}", row.id)), ..Subject::default() };
    if let [(source, subscription, customer)] = whose.iter().collect::<Vec<_>>().as_slice() {
        subject.source = Some((*source).clone());
        subject.subscription = Some((*subscription).clone());
        subject.customer = Some((*customer).clone());
    }
    let mut message: Vec<String> =
        row.reasons.iter().take(MOST_REASONS).map(|reason| reason.message.clone()).collect();
    if let Some(more) = row.reasons.len().checked_sub(MOST_REASONS).filter(|more| *more > 0) {
        message.push(format!("And {more} reasons more."));
    }
    let people =
        if row.persons == 1 { "One person approves".to_owned() } else { "Two people approve".to_owned() };
    let said = match answer(&row.words, row.persons, policy, &row.maker, now) {
        Answer::Refused(word) => {
            let why = word.reason.as_deref().unwrap_or("no reason was given");
            format!("{} refused it: {why}. It stays so until somebody approves it.", word.actor)
        }
        Answer::Given => format!("{people} it, and did."),
        Answer::Missing(_) => {
            let yes = counted(&row.words, policy, &row.maker, now);
            let yes: Vec<&str> = yes.iter().map(|word| word.actor.as_str()).collect();
            let yes =
                if yes.is_empty() { "nobody did yet".to_owned() } else { format!("{} did", yes.join(", ")) };
            format!("{people} it; {yes}.")
        }
    };
    message.push(said);
    let fix = format!(
        "Look at plan {}; then approve or refuse {} (`trueup approval`, or under Approvals in the API). `trueup apply \
         {}` is the word of the person at the command line, and carries it out where that is enough.",
        row.plan, row.id, row.plan
    );
    Finding::new(Code::Tu7007, subject, message.join(" ")).fix(fix)
}

/// Whether people said yes to the whole plan, as they do to one that a brake held.
///
/// # Errors
/// The store's.
pub async fn is_approved(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: &Policy,
) -> Result<bool, StoreError> {
    let id = id_of(stored);
    let Some(row) = store.find_approval(org, &id).await? else { return Ok(false) };
    Ok(answer(&row.words, row.persons, policy, &row.maker, clock.now()) == Answer::Given)
}

/// The question about the whole plan, where somebody said no to it and nobody yes since.
///
/// # Errors
/// The store's.
pub async fn refused(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: &Policy,
) -> Result<Option<(String, Finding)>, StoreError> {
    let id = id_of(stored);
    let Some(row) = store.find_approval(org, &id).await? else { return Ok(None) };
    if !matches!(answer(&row.words, row.persons, policy, &row.maker, clock.now()), Answer::Refused(_)) {
        return Ok(None);
    }
    let need = Need { persons: row.persons, reasons: row.reasons };
    Ok(Some((id, ask(store, clock, org, stored, policy, need).await?)))
}

/// The subscriptions of a plan that wait for people, each with what it needs.
///
/// # Errors
/// The store's.
pub async fn waiting(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: &Policy,
) -> Result<BTreeMap<Whose, Need>, StoreError> {
    if standing(store, clock, org, stored, policy).await?.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut waiting = needs(stored.body.plan(), policy);
    let mut given = Vec::new();
    for (whose, need) in &waiting {
        if is_given(store, clock, org, stored, policy, whose, need.persons).await? {
            given.push(whose.clone());
        }
    }
    for whose in given {
        waiting.remove(&whose);
    }
    Ok(waiting)
}

/// The id of the question about a whole plan.
pub fn id_of(stored: &StoredPlan) -> String {
    mark(&stored.connection, stored.body.plan(), None)
}

/// The question about what a plan does to some subscriptions, where it is asked already and its own plan can still be
/// carried out.
///
/// # Errors
/// The store's.
pub async fn still_asked(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    of: &BTreeSet<&Whose>,
    policy: &Policy,
) -> Result<Option<(String, Finding)>, StoreError> {
    let of: BTreeSet<Whose> = of.iter().map(|whose| (*whose).clone()).collect();
    let id = mark(&stored.connection, stored.body.plan(), Some(&of));
    let Some(row) = store.find_approval(org, &id).await?.filter(|row| row.state == ApprovalState::Open)
    else {
        return Ok(None);
    };
    let Some(own) = store.find_plan(org, &row.plan).await?.filter(|own| own.state == PlanState::Proposed)
    else {
        return Ok(None);
    };
    let finding = finding_of(&row, own.body.plan(), policy, clock.now());
    let found = std::slice::from_ref(&finding);
    store.record_findings(org, &scope_of(&id), clock.now(), clock.today(), found).await?;
    Ok(Some((id, finding)))
}

/// The tasks of a plan that ask for something of a subscription.
pub fn tasks_of<'t>(
    tasks: impl IntoIterator<Item = &'t trueup_domain::task::Task>,
    of: &BTreeSet<&Whose>,
) -> BTreeSet<TaskId> {
    tasks
        .into_iter()
        .filter(|task| of.contains(&&(task.source.clone(), task.subscription.clone())))
        .map(|task| task.id.clone())
        .collect()
}

/// What somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Yes.
    Approve(Option<&'a str>),
    /// No, for a reason.
    Refuse(&'a str),
}

/// Takes an answer. Nobody approves twice, and who made the plan only where `approval.self` lets them.
///
/// # Errors
/// [`Failure::Wrong`] where there is no such open question, or the answer does not count.
pub async fn decide(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    (voice, is_maker): (Voice<'_>, bool),
    id: &str,
    verdict: Verdict<'_>,
    policy: &Policy,
) -> Result<ApprovalRow, Failure> {
    let row = store.find_approval(org, id).await?.ok_or_else(|| {
        Failure::wrong(format!("there is no approval `{id}`"), "`trueup approval list` shows what waits.")
    })?;
    let (approves, reason) = match verdict {
        Verdict::Approve(reason) => (true, reason.map(str::trim).filter(|text| !text.is_empty())),
        Verdict::Refuse(reason) if reason.trim().is_empty() => {
            return Err(Failure::wrong("a plan is refused for a reason, and none was given", "Say why."));
        }
        Verdict::Refuse(reason) => (false, Some(reason.trim())),
    };
    if row.state != ApprovalState::Open {
        return Err(over(&row));
    }
    if approves {
        if is_maker && !policy.by_maker {
            return Err(Failure::wrong(
                "who made the plan may not approve it (approval.self)",
                "Ask another person.",
            ));
        }
        let now = clock.now();
        if counted(&row.words, policy, "", now).iter().any(|word| word.person == voice.person) {
            return Err(Failure::wrong(
                "you approved this already, and nobody counts twice",
                "Ask another person.",
            ));
        }
    }
    let word = Word {
        person: voice.person.to_owned(),
        actor: voice.actor.to_owned(),
        approves,
        reason: reason.map(str::to_owned),
        at: clock.now(),
    };
    let detail = serde_json::json!({
        "plan": row.plan, "reason": word.reason, "persons": row.persons, "why": row.reasons,
    });
    let entry = NewAuditEntry {
        at: word.at,
        actor: word.actor.clone(),
        action: if approves { "approval.approve" } else { "approval.refuse" }.to_owned(),
        object: format!("approval/{id}"),
        addition: None,
        detail: detail.to_string(),
    };
    let row = store.answer_approval(org, id, &word, &entry).await?.ok_or_else(|| over(&row))?;
    let of_brakes = row.reasons.iter().any(|reason| reason.limit == Limit::Brake);
    if !of_brakes && let Some(stored) = store.find_plan(org, &row.plan).await? {
        let finding = finding_of(&row, stored.body.plan(), policy, clock.now());
        let scope = scope_of(id);
        store.record_findings(org, &scope, clock.now(), clock.today(), &[finding]).await?;
    }
    Ok(row)
}

fn over(row: &ApprovalRow) -> Failure {
    let what = match row.state {
        ApprovalState::Applied => "what it asks about was carried out",
        ApprovalState::Stale => "its plan is out of date: ConnectWise changed since",
        ApprovalState::Open | ApprovalState::Withdrawn => "what would be written is something else by now",
    };
    Failure::wrong(format!("approval {} is closed: {what}", row.id), "Look at what waits now.")
}

/// Whether people said yes.
pub fn is_given_to(row: &ApprovalRow, policy: &Policy, now: Millis) -> bool {
    answer(&row.words, row.persons, policy, &row.maker, now) == Answer::Given
}

/// Takes the word of whoever applies a plan by its id at the command line: the plan was seen there. Where the plan waits
/// for nobody, or this person's word does not count (again), nothing happens.
///
/// # Errors
/// The store's.
pub async fn say_yes(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    voice: Voice<'_>,
    stored: &StoredPlan,
    policy: &Policy,
) -> Result<(), Failure> {
    if stored.state != PlanState::Proposed || !matches!(stored.body, PlanBody::Checked(_)) {
        return Ok(());
    }
    let Some(need) = standing(store, clock, org, stored, policy).await? else { return Ok(()) };
    ask(store, clock, org, stored, policy, need).await?;
    let id = id_of(stored);
    let is_maker = stored.actor == voice.actor;
    match decide(store, clock, org, (voice, is_maker), &id, Verdict::Approve(None), policy).await {
        // The gate says what is missing.
        Ok(_) | Err(Failure::Wrong { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Closes the questions about what was carried out, or was refused as out of date.
///
/// # Errors
/// The store's.
pub async fn settle(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    policy: Option<&Policy>,
    state: ApprovalState,
) -> Result<(), StoreError> {
    let plan = stored.body.plan();
    let mut ids = BTreeSet::from([id_of(stored)]);
    for whose in policy.map(|policy| needs(plan, policy)).unwrap_or_default().into_keys() {
        ids.insert(mark(&stored.connection, plan, Some(&BTreeSet::from([whose]))));
    }
    // What was approved may have been asked about with another plan that says the same.
    let carried_out = (state == ApprovalState::Applied).then_some(&stored.id);
    for id in ids {
        close(store, clock, org, &id, (state, carried_out)).await?;
    }
    Ok(())
}

async fn close(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    id: &str,
    (state, carried_out): (ApprovalState, Option<&PlanId>),
) -> Result<(), StoreError> {
    if store.close_approval(org, id, state, carried_out, clock.now()).await? {
        store.record_findings(org, &scope_of(id), clock.now(), clock.today(), &[]).await?;
    }
    Ok(())
}

/// Takes back one question: what it asks about would not be written any more.
///
/// # Errors
/// The store's.
pub async fn withdraw(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    id: &str,
) -> Result<(), StoreError> {
    close(store, clock, org, id, (ApprovalState::Withdrawn, None)).await
}

/// Takes back the questions about what would not be written any more: after a run over all tasks these are `current`.
/// What it did not plan anew is asked on.
///
/// # Errors
/// The store's.
pub async fn withdraw_others(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    connection: &str,
    current: &BTreeSet<String>,
) -> Result<(), StoreError> {
    for row in store.list_approvals(org, true, None, MOST_OPEN).await? {
        if row.connection == connection && !current.contains(&row.id) && !is_planned(store, org, &row).await?
        {
            close(store, clock, org, &row.id, (ApprovalState::Withdrawn, None)).await?;
        }
    }
    Ok(())
}

/// Whether the plan of a question is still the one that answers its tasks, and they wait for it.
async fn is_planned(store: &dyn Store, org: &OrganizationId, row: &ApprovalRow) -> Result<bool, StoreError> {
    let Some(stored) = store.find_plan(org, &row.plan).await?.filter(|p| p.state == PlanState::Proposed)
    else {
        return Ok(false);
    };
    let plan = stored.body.plan();
    // An undo moves its tasks only once it is carried out; quantities have none, and their own runs take them back.
    if !plan.undoes.is_empty() || crate::quantity::is_of_quantities(plan) {
        return Ok(true);
    }
    let planned = plan.outcomes.iter().filter(|(_, outcome)| **outcome == TaskOutcome::Planned);
    let ids: Vec<TaskId> = planned.map(|(id, _)| id.clone()).collect();
    if ids.is_empty() {
        return Ok(false);
    }
    for task in store.list_tasks(org, &TaskFilter { ids, ..TaskFilter::default() }).await? {
        // A reconciliation is planned by a person, and stands in no list of tasks to plan.
        if task.state != TaskState::Planned
            || store.find_plan_of_task(org, &task.id).await? != Some(row.plan.clone())
        {
            return Ok(false);
        }
    }
    Ok(true)
}
