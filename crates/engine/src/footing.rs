//! What a plan stands on beside ConnectWise: its orders, the mappings that they were planned by, and the settings that
//! decide what is written. A plan that was looked at and is carried out later is out of date where one of them moved.

use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::quantity;
use crate::records::{StoredPlan, TaskFilter};
use std::collections::BTreeMap;
use trueup_domain::feed::{Record, RecordKind, Subscription};
use trueup_domain::ids::{OrganizationId, ProductId, SourceId, SubscriptionId, TaskId};
use trueup_domain::mapping::{Mapping, MappingKind, MappingOrigin, Mappings};
use trueup_domain::plan::{CountedFooting, DraftPlan, Footing, TaskFooting, TaskOutcome, short_hash};
use trueup_domain::settings::Settings;
use trueup_domain::task::{Demand, Task, TaskState};

/// What the plan's tasks stand on as they are now. Only of tasks that it writes for.
pub(crate) fn of(
    draft: &DraftPlan,
    tasks: &BTreeMap<TaskId, Task>,
    demands: &BTreeMap<TaskId, Demand>,
    mappings: &Mappings,
    subscriptions: &BTreeMap<(SourceId, SubscriptionId), Subscription>,
    settings: &Settings,
) -> Footing {
    let planned = draft.outcomes.iter().filter(|(_, outcome)| **outcome == TaskOutcome::Planned);
    let footing = planned.filter_map(|(id, _)| {
        let (task, demand) = (tasks.get(id)?, demands.get(id)?);
        let subscription = subscriptions.get(&(task.source.clone(), task.subscription.clone()));
        Some((id.clone(), of_task(task, demand, mappings, subscription)))
    });
    Footing { settings: of_settings(settings), tasks: footing.collect(), counted: Vec::new() }
}

/// What a plan of what is only counted stands on.
pub(crate) fn of_counted(counted: Vec<CountedFooting>, settings: &Settings) -> Footing {
    Footing { settings: of_settings(settings), tasks: BTreeMap::new(), counted }
}

fn of_task(
    task: &Task,
    demand: &Demand,
    mappings: &Mappings,
    subscription: Option<&Subscription>,
) -> TaskFooting {
    let order = match demand {
        Demand::Order(order) => hash(&serde_json::to_string(order).unwrap_or_default()),
        // What it asks for is what the subscription is when it is planned.
        Demand::Reconcile { .. } => String::new(),
    };
    let cycle = subscription.map(|s| s.billing_cycle);
    // What a plan remembers of its own choices is no change of it.
    let by_person = |mapping: &&Mapping| mapping.origin == MappingOrigin::Person;
    let agreement = mappings.agreement_mapping(&task.source, &task.subscription, &task.customer);
    let agreement = agreement.filter(by_person);
    let mut said = format!(
        "{:?} {:?} {:?}",
        mappings.customer(&task.source, &task.customer),
        agreement,
        mappings.fee_item(&task.source, "cancellation"),
    );
    for product in demand.orders().flat_map(|order| &order.lines).map(|line| &line.product) {
        said.push_str(&format!(
            " {:?} {:?}",
            mappings.product_mapping(&task.source, product, &task.customer, cycle),
            mappings.find(MappingKind::Addition, &task.source, &line_of(task, product), "").filter(by_person),
        ));
    }
    TaskFooting { order, mappings: hash(&said) }
}

/// How a mapping of kind `addition` names a product's line.
fn line_of(task: &Task, product: &ProductId) -> String {
    format!("subscription:{}/{product}", task.subscription)
}

/// What decides about lines; what only warns, or asks people, does not.
fn of_settings(settings: &Settings) -> String {
    hash(&format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        settings.price_source,
        settings.rounding_place,
        settings.day_count,
        settings.proration_by,
        settings.line_mode,
        settings.rounding_mode,
        settings.change_day,
        settings.credits,
        settings.quantity_change,
        settings.cancelled_date,
        settings.marker,
        settings.trim_descriptions,
        settings.go_live,
    ))
}

fn hash(text: &str) -> String {
    short_hash("st", &[text], 26)
}

/// Something that moved under a plan.
pub(crate) struct Moved {
    /// Of which task; none where it is of all of them.
    pub(crate) task: Option<TaskId>,
    /// What, in words.
    pub(crate) why: String,
}

/// What moved under a plan since it was made, in words; nothing where it stands as it did. Plans that keep nothing of what
/// they stand on, such as those that take something back, always stand.
///
/// # Errors
/// The store's.
pub(crate) async fn moved(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    stored: &StoredPlan,
    settings: &Settings,
) -> Result<Option<String>, Failure> {
    let Some(footing) = &stored.body.plan().stands_on else { return Ok(None) };
    if let Some(why) = quantity::moved(store, clock, org, settings, &footing.counted).await? {
        return Ok(Some(why));
    }
    Ok(under_tasks(store, clock, org, footing, settings).await?.into_iter().next().map(|moved| moved.why))
}

/// What moved under the tasks of a plan: all of it.
///
/// # Errors
/// The store's.
pub(crate) async fn under_tasks(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    footing: &Footing,
    settings: &Settings,
) -> Result<Vec<Moved>, Failure> {
    if footing.settings != of_settings(settings) {
        let why = "a setting that decides what is written was changed".to_owned();
        return Ok(vec![Moved { task: None, why }]);
    }
    if footing.tasks.is_empty() {
        return Ok(Vec::new());
    }
    let filter = TaskFilter { ids: footing.tasks.keys().cloned().collect(), ..TaskFilter::default() };
    let mappings = Mappings::on(store.list_mappings(org).await?, clock.today());
    let mut all = Vec::new();
    for task in store.list_tasks(org, &filter).await? {
        let Some(then) = footing.tasks.get(&task.id) else { continue };
        let moved = under_task(store, org, &task, then, &mappings).await?;
        all.extend(moved.map(|why| Moved { task: Some(task.id), why }));
    }
    Ok(all)
}

async fn under_task(
    store: &dyn Store,
    org: &OrganizationId,
    task: &Task,
    then: &TaskFooting,
    mappings: &Mappings,
) -> Result<Option<String>, Failure> {
    if task.state == TaskState::Ignored {
        let why = task.reason.as_deref().unwrap_or("by a person");
        return Ok(Some(format!("task {} was put aside ({why})", task.id)));
    }
    let Some(id) = task.order_id.as_ref().filter(|_| !then.order.is_empty()) else { return Ok(None) };
    let record = store.find_record(org, &task.source, RecordKind::Order, id.as_str()).await?;
    let Some(Record::Order(order)) = record.map(|row| row.record) else {
        return Ok(Some(format!("order {id} is not in the feed any more")));
    };
    if !order.is_completed() {
        return Ok(Some(format!("order {id} is {} at the source", order.status)));
    }
    let subscription = store
        .find_record(org, &task.source, RecordKind::Subscription, task.subscription.as_str())
        .await?
        .map(|row| row.record);
    let subscription = match &subscription {
        Some(Record::Subscription(subscription)) => Some(subscription),
        Some(_) | None => None, // open set: kept as a subscription, and none
    };
    let now = of_task(task, &Demand::Order(Box::new(order)), mappings, subscription);
    if now.order != then.order {
        return Ok(Some(format!("order {id} is another one at the source")));
    }
    if now.mappings != then.mappings {
        return Ok(Some(format!("a mapping that order {id} was planned by was changed")));
    }
    Ok(None)
}
