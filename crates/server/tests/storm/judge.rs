//! What must hold in the end, whatever happened on the way. Nothing of the planner or of apply is used here.

use super::wire::Net;
use super::world::{Line, World, counted};
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::ids::OrganizationId;
use trueup_domain::task::TaskState;
use trueup_engine::ports::Store;
use trueup_engine::records::{OperationState, TaskFilter};

/// The additions of a sandbox, with their agreement.
pub fn additions(state: &Value) -> Vec<(i64, Value)> {
    let by_agreement = state["resources"]["finance/agreements/{id}/additions"].as_object();
    let lists = by_agreement.into_iter().flatten();
    lists
        .flat_map(|(agreement, list)| {
            let agreement: i64 = agreement.parse().unwrap();
            list.as_array().unwrap().iter().map(move |row| (agreement, row.clone()))
        })
        .collect()
}

/// A number in hundredths, if it has no more places than that.
fn hundredths(value: &Value) -> Option<i64> {
    let number: Decimal = value.to_string().parse().ok()?;
    let whole = number * Decimal::from(100);
    (whole == whole.trunc()).then(|| i64::try_from(whole.trunc()).ok())?
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(|text| text.chars().take(10).collect())
}

fn line(agreement: i64, row: &Value) -> Result<Line, String> {
    let of = |name: &str| hundredths(&row[name]).ok_or_else(|| format!("{name} of {row} is no whole cent"));
    let quantity = of("quantity")?;
    let item = row["product"]["id"].as_i64().unwrap_or(0);
    let from = text_of(&row["effectiveDate"]).unwrap_or_default();
    let to = text_of(&row["cancelledDate"]);
    Ok((agreement, item, quantity / 100, of("unitPrice")?, of("unitCost")?, from, to))
}

fn key_of(row: &Value) -> Option<String> {
    row["serialNumber"].as_str().filter(|key| !key.is_empty()).map(str::to_owned)
}

/// Everything that must hold.
#[allow(clippy::too_many_arguments, reason = "everything that an end is judged by")]
pub async fn judge(
    world: &World,
    net: &Net,
    before: &Value,
    after: &Value,
    journal: &Value,
    store: &dyn Store,
    org: &OrganizationId,
    canary: usize,
) -> Result<(), String> {
    if let Some(what) = net.trouble.lock().unwrap().take() {
        return Err(what);
    }
    if canary > 0 {
        return Err(format!("{canary} connections to a host that an answer named"));
    }
    let there = additions(after);
    let ours: Vec<&(i64, Value)> = there.iter().filter(|(_, row)| key_of(row).is_some()).collect();
    no_key_twice(&ours)?;
    let mut lines = Vec::new();
    for (agreement, row) in &ours {
        lines.push(line(*agreement, row)?);
    }
    let (found, wanted) = (counted(lines), counted(world.expected.iter().cloned()));
    if found != wanted {
        return Err(difference(&found, &wanted));
    }
    others_are_untouched(net, before, after)?;
    the_journal_knows_every_call(journal, store, org).await?;
    the_links_are_true(&ours, store, org).await?;
    the_tasks_are_done(world, store, org).await?;
    match store.verify_audit(org).await {
        Ok(None) => Ok(()),
        other => Err(format!("the audit does not verify: {other:?}")),
    }
}

fn difference(found: &BTreeMap<Line, usize>, wanted: &BTreeMap<Line, usize>) -> String {
    let mut text = String::from("the additions differ:");
    let all: BTreeSet<&Line> = found.keys().chain(wanted.keys()).collect();
    for line in all {
        let (is, should) = (found.get(line).copied().unwrap_or(0), wanted.get(line).copied().unwrap_or(0));
        if is != should {
            text.push_str(&format!("\n  {is} x {line:?}, should be {should}"));
        }
    }
    text
}

fn no_key_twice(ours: &[&(i64, Value)]) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    for (_, row) in ours {
        if !keys.insert(key_of(row)) {
            return Err(format!("doubled: {row}"));
        }
    }
    Ok(())
}

/// Everything that trueup did not make is as it was, but for what people did.
fn others_are_untouched(net: &Net, before: &Value, after: &Value) -> Result<(), String> {
    let people = net.people.lock().unwrap();
    let plain = |state: &Value| -> BTreeMap<i64, Value> {
        additions(state)
            .into_iter()
            .filter(|(_, row)| key_of(row).is_none())
            .filter_map(|(_, row)| Some((row["id"].as_i64()?, row)))
            .filter(|(id, _)| !people.contains_key(id))
            .collect()
    };
    if plain(before) != plain(after) {
        return Err("additions that are not trueup's were changed".to_owned());
    }
    for name in ["company/companies", "procurement/catalog", "finance/agreements"] {
        if before["resources"][name] != after["resources"][name] {
            return Err(format!("{name} was changed"));
        }
    }
    let there: BTreeSet<i64> = additions(after).iter().filter_map(|(_, row)| row["id"].as_i64()).collect();
    match people.iter().find(|(id, made)| **made != there.contains(id)) {
        Some((id, made)) => Err(format!("what people did to {id} (made: {made}) was undone")),
        None => Ok(()),
    }
}

/// Each write that the server carried out is an operation of the journal, and each operation has an outcome.
async fn the_journal_knows_every_call(
    journal: &Value,
    store: &dyn Store,
    org: &OrganizationId,
) -> Result<(), String> {
    let open = store.list_unresolved_operations(org).await.map_err(|e| e.to_string())?;
    if let Some(open) = open.first() {
        return Err(format!("still open: {open:?}"));
    }
    let mut operations = Vec::new();
    for plan in store.list_plans(org, 1_000).await.map_err(|e| e.to_string())? {
        operations.extend(store.list_operations(org, &plan.id).await.map_err(|e| e.to_string())?);
    }
    let mut created: BTreeMap<String, usize> = BTreeMap::new();
    for call in journal.as_array().into_iter().flatten() {
        let done = call["executed"] == Value::Bool(true)
            && (200..300).contains(&call["status"].as_i64().unwrap_or(0));
        if !done || call["method"] != "POST" {
            continue;
        }
        let body: Value = serde_json::from_str(call["body"].as_str().unwrap_or_default()).unwrap_or_default();
        if let Some(key) = key_of(&body) {
            *created.entry(key).or_default() += 1;
        }
    }
    for (key, times) in created {
        if times > 1 {
            return Err(format!("{key} was created {times} times"));
        }
        let rows: Vec<_> = operations.iter().filter(|row| row.key == key).collect();
        if rows.iter().filter(|row| row.state == OperationState::Done).count() != 1 {
            return Err(format!("{key} is in ConnectWise, and the journal has {rows:?}"));
        }
    }
    Ok(())
}

async fn the_links_are_true(
    ours: &[&(i64, Value)],
    store: &dyn Store,
    org: &OrganizationId,
) -> Result<(), String> {
    let links = store.list_links(org).await.map_err(|e| e.to_string())?;
    let mut linked = BTreeMap::new();
    for link in links.iter().filter(|l| !l.deleted) {
        linked.insert(link.addition.0, link);
    }
    for (agreement, row) in ours {
        let id = row["id"].as_i64().unwrap_or(0);
        let Some(link) = linked.remove(&id) else { return Err(format!("no link to {row}")) };
        let there = line(*agreement, row)?;
        let number = |text: String| text.parse::<Decimal>().ok().map(|n| n * Decimal::from(100));
        let written = &link.written;
        let same = link.agreement.0 == there.0
            && written.catalog_item.0 == there.1
            && number(written.quantity.decimal().to_string()) == Some(Decimal::from(there.2 * 100))
            && number(written.unit_price.decimal().to_string()) == Some(Decimal::from(there.3))
            && number(written.unit_cost.decimal().to_string()) == Some(Decimal::from(there.4))
            && written.effective.to_string() == there.5
            && written.cancelled.map(|d| d.to_string()) == there.6
            && link.key.as_ref().map(|k| k.0.clone()) == key_of(row);
        if !same {
            return Err(format!("the link {link:?} is not true to {row}"));
        }
    }
    match linked.values().next() {
        Some(link) => Err(format!("a link to nothing: {link:?}")),
        None => Ok(()),
    }
}

async fn the_tasks_are_done(world: &World, store: &dyn Store, org: &OrganizationId) -> Result<(), String> {
    let tasks = store.list_tasks(org, &TaskFilter::default()).await.map_err(|e| e.to_string())?;
    let state = |order: &str| {
        let of_order =
            |t: &&trueup_domain::task::Task| t.order_id.as_ref().is_some_and(|id| id.as_str() == order);
        tasks.iter().find(of_order).map(|t| (t.state, t.reason.clone()))
    };
    for order in &world.orders {
        match state(order) {
            Some((TaskState::Done, _)) => {}
            other => return Err(format!("order {order} is not done: {other:?}")),
        }
    }
    for order in &world.waiting {
        match state(order) {
            None | Some((TaskState::Done, _)) => {
                return Err(format!("order {order} should wait for a person: {:?}", state(order)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
