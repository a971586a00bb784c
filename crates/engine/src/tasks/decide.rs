//! What people decide about tasks: leave out, take back in, try again.

use super::get;
use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::records::{NewAuditEntry, TaskFilter};
use trueup_domain::ids::{OrganizationId, TaskId};
use trueup_domain::task::{Task, TaskState};

/// What a person decides about a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Leave it out, with a reason.
    Ignore(String),
    /// Take it back in.
    Unignore,
    /// Try it again.
    Retry,
}

/// Carries out a decision about one task; it goes into the audit.
///
/// # Errors
/// [`Failure::Wrong`] for an unknown task or a state that does not allow it.
pub async fn decide(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    actor: &str,
    id: &TaskId,
    decision: &Decision,
) -> Result<Task, Failure> {
    let mut task = get(store, org, id).await?;
    let before = task.state;
    apply_decision(&mut task, actor, decision)?;
    store.save_tasks(org, clock.now(), std::slice::from_ref(&task)).await?;
    unblock(store, clock, org, &task).await?;
    let detail = serde_json::json!({
        "before": before.name(), "after": task.state.name(), "reason": task.reason,
    });
    let entry = NewAuditEntry {
        at: clock.now(),
        actor: actor.to_owned(),
        action: "task.decide".into(),
        object: format!("task/{id}"),
        addition: None,
        detail: detail.to_string(),
    };
    store.append_audit(org, &[entry]).await?;
    Ok(task)
}

fn apply_decision(task: &mut Task, actor: &str, decision: &Decision) -> Result<(), Failure> {
    let refuse = |what: &str, fix: &str| {
        Err(Failure::wrong(format!("task {} is {} and cannot be {what}", task.id, task.state.name()), fix))
    };
    let busy = matches!(task.state, TaskState::Applying | TaskState::InDoubt);
    match decision {
        Decision::Ignore(reason) if reason.trim().is_empty() => {
            return Err(Failure::wrong("a task is ignored for a reason, and none was given", "Say why."));
        }
        Decision::Ignore(_) if busy || task.state == TaskState::Done => {
            return refuse("ignored", in_the_way(task));
        }
        Decision::Ignore(reason) => {
            task.state = TaskState::Ignored;
            task.reason = Some(reason.clone());
            task.decided_by = Some(actor.to_owned());
        }
        Decision::Unignore if task.state != TaskState::Ignored => {
            return refuse("taken back in", "Only an ignored task can be.");
        }
        Decision::Unignore => back_to_ready(task),
        Decision::Retry if busy => {
            return refuse(
                "tried again",
                "Run `trueup apply --all`: it looks the operations in doubt up once the settle time is over.",
            );
        }
        Decision::Retry if task.state.is_final() => {
            return refuse("tried again", if_over(task));
        }
        Decision::Retry => back_to_ready(task),
    }
    Ok(())
}

fn back_to_ready(task: &mut Task) {
    task.state = TaskState::Ready;
    task.reason = None;
    task.decided_by = None;
}

/// Tasks that waited for this one wait no longer once it is out of the way.
async fn unblock(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    settled: &Task,
) -> Result<(), Failure> {
    if !settled.state.is_final() {
        return Ok(());
    }
    let filter = TaskFilter {
        states: vec![TaskState::Blocked],
        subscription: Some(settled.subscription.to_string()),
        source: Some(settled.source.clone()),
        ..TaskFilter::default()
    };
    let mut free: Vec<Task> = store.list_tasks(org, &filter).await?;
    free.retain(|t| t.reason.as_deref() == Some(settled.id.as_str()));
    for task in &mut free {
        task.state = TaskState::Ready;
        task.reason = None;
    }
    store.save_tasks(org, clock.now(), &free).await?;
    Ok(())
}

/// What to do about a task that cannot be put aside.
fn in_the_way(task: &Task) -> &'static str {
    if task.state == TaskState::Done {
        TAKE_BACK
    } else {
        "Let the next `trueup apply` finish what is under way."
    }
}

/// What to do about a task that is over and should be tried again.
fn if_over(task: &Task) -> &'static str {
    if task.state == TaskState::Done {
        TAKE_BACK
    } else {
        "`trueup task unignore` takes an ignored task back in."
    }
}

const TAKE_BACK: &str = "It is carried out; `trueup undo --task` takes back what it wrote, and `trueup task unignore` takes it in again.";
