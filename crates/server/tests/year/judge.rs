//! What must hold: after every run, and in the end.

use super::alerts::{KINDS, Key};
use super::counts::{ITEMS, LATE};
use super::desk::{CUSTOMERS, FOREIGN, TWO_AGREEMENTS, agreement};
use super::nights::Year;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::alert::{Alert, Hold};
use trueup_domain::plan::Role;
use trueup_domain::quantity::Verdict;
use trueup_engine::alerts::{AlertBook, AlertFilter};
use trueup_engine::ports::Store;
use trueup_engine::quantity::RunReport;

/// Looks at every call that was carried out since people did something last, and forgets them.
pub fn calls(year: &mut Year) -> Result<(), String> {
    if let Some(what) = year.desk.net.trouble.lock().unwrap().take() {
        return Err(what);
    }
    let control = year.desk.sandbox.control();
    let journal = control.journal();
    control.clear_journal();
    for call in journal.as_array().into_iter().flatten() {
        let (method, path) = (call["method"].as_str().unwrap(), call["path"].as_str().unwrap());
        let done = call["executed"] == true && (200..300).contains(&call["status"].as_i64().unwrap_or(0));
        // A write whose answer was lost has no status.
        let done = done || (call["executed"] == true && call["status"] == 0);
        if method == "GET" || !done || path.contains("/service/") || path.ends_with("/invoice") {
            continue;
        }
        one_call(year, method, path, call["body"].as_str().unwrap_or_default())
            .map_err(|what| format!("{what}: {method} {path} {}", call["body"]))?;
    }
    Ok(())
}

fn one_call(year: &Year, method: &str, path: &str, body: &str) -> Result<(), String> {
    let Some((_, below)) = path.split_once("/finance/agreements/") else {
        return Err("a write where nothing is to be written".to_owned());
    };
    let agreement: i64 = below.split('/').next().unwrap().parse().unwrap();
    let sent: Value = serde_json::from_str(body).unwrap_or_default();
    match method {
        "DELETE" => {
            let id: i64 = below.rsplit('/').next().unwrap().parse().unwrap();
            let people = year.desk.net.people.lock().unwrap();
            return if people.contains_key(&id) { Ok(()) } else { Err("something is deleted".to_owned()) };
        }
        "POST" if sent["product"]["id"].as_i64() == Some(FOREIGN) => return Ok(()),
        "POST" => {
            for field in ["unitPrice", "unitCost", "description", "invoiceDescription"] {
                if !sent[field].is_null() {
                    return Err(format!("a new line names its {field}"));
                }
            }
        }
        _ => {
            for change in sent.as_array().into_iter().flatten() {
                let field = change["path"].as_str().unwrap_or_default().trim_start_matches('/');
                if field != "quantity" && field != "cancelledDate" {
                    return Err(format!("{field} is changed"));
                }
            }
        }
    }
    if year.people.cancelled.contains(&agreement) {
        return Err("the agreement is cancelled".to_owned());
    }
    let of = |customer: usize, id: i64| {
        id == agreement_of(customer) || (customer < TWO_AGREEMENTS && id == agreement_of(customer) + 100)
    };
    let customer = (0..CUSTOMERS).find(|customer| of(*customer, agreement)).unwrap();
    if year.people.off.contains(&customer) {
        return Err("the customer is switched off".to_owned());
    }
    if year.home(customer) != agreement {
        return Err("the customer is billed on another agreement".to_owned());
    }
    Ok(())
}

fn agreement_of(customer: usize) -> i64 {
    agreement(customer)
}

fn number(value: &Value) -> Option<Decimal> {
    value.to_string().parse().ok()
}

/// The report of a run says what ConnectWise holds, and that is what the source counts.
pub async fn lines(year: &mut Year, report: &RunReport) -> Result<(), String> {
    let mut there: BTreeMap<i64, Value> = BTreeMap::new();
    for id in year.desk.agreements() {
        for row in year.desk.additions(id).await {
            there.insert(row["id"].as_i64().unwrap(), row);
        }
    }
    let mut right = 0;
    for line in &report.lines {
        let customer: usize = line.customer.as_str().trim_start_matches("c-").parse().unwrap();
        let told = || format!("{line:?}");
        let Some(chain) = &line.chain else { continue };
        if chain.quantity.decimal() >= Decimal::from(LATE) {
            let billed = !matches!(line.verdict, Verdict::Refused);
            if billed {
                return Err(format!("late news are billed: {}", told()));
            }
        }
        if !matches!(line.verdict, Verdict::Equal | Verdict::Update | Verdict::Create | Verdict::Adopt) {
            continue;
        }
        let wanted = chain.quantity.decimal();
        if let Some(should) = year.counts.wanted(customer, line.item.0)
            && Decimal::from(should) != wanted
        {
            return Err(format!("{should} are to be billed: {}", told()));
        }
        let Some(addition) = line.addition else {
            if wanted.is_zero() {
                continue;
            }
            return Err(format!("no addition is named: {}", told()));
        };
        let row = there.get(&addition.0).ok_or_else(|| format!("it is not there: {}", told()))?;
        if number(&row["quantity"]) != Some(wanted) {
            return Err(format!("ConnectWise has {}: {}", row["quantity"], told()));
        }
        right += 1;
    }
    *year.tally.entry("lines that were right").or_default() += right;
    Ok(())
}

/// In the end every quantity is what its source counts, in one line.
pub async fn quantities(year: &mut Year) -> Result<(), String> {
    let links = year.desk.store.list_links(&year.desk.org).await.unwrap();
    let ours: BTreeSet<i64> = links
        .iter()
        .filter(|link| link.role == Role::Quantity && !link.deleted)
        .map(|link| link.addition.0)
        .collect();
    for customer in 0..CUSTOMERS {
        let rows = year.desk.additions(year.home(customer)).await;
        for (item, name, _, _) in ITEMS {
            let open: Vec<&Value> = rows
                .iter()
                .filter(|row| row["product"]["id"].as_i64() == Some(item) && row["cancelledDate"].is_null())
                .collect();
            let own: Vec<&&Value> =
                open.iter().filter(|row| ours.contains(&row["id"].as_i64().unwrap())).collect();
            let made = open.iter().filter(|row| row["serialNumber"].is_string()).count();
            let billed: Vec<Option<Decimal>> = own.iter().map(|row| number(&row["quantity"])).collect();
            let should = year.counts.wanted(customer, item).map(Decimal::from);
            let right = match should {
                Some(should) if !should.is_zero() => billed == [Some(should)],
                _ => billed.iter().all(|billed| billed.is_some_and(|billed| billed.is_zero())),
            };
            if !right || made > 1 {
                return Err(format!(
                    "{name} of customer {customer}: {should:?} should be billed, and {billed:?} are: {open:?}"
                ));
            }
            *year.tally.entry("quantities that are right in the end").or_default() += 1;
        }
    }
    Ok(())
}

/// What the store knows of an alert.
async fn known_alerts(year: &Year) -> BTreeMap<Key, Alert> {
    let all = year.desk.store.list_alerts(&year.desk.org, &AlertFilter::default()).await.unwrap();
    all.into_iter()
        .filter_map(|alert| {
            let customer = alert.teller()?.customer.as_str().trim_start_matches("c-").parse().ok()?;
            let kind = KINDS.iter().find(|kind| **kind == alert.kind)?;
            Some(((customer, *kind, alert.subject.clone()?), alert))
        })
        .collect()
}

/// The tickets by the alert that they are of, in the order of their making.
async fn tickets_by_alert(year: &Year) -> Result<BTreeMap<String, Vec<Value>>, String> {
    let mut by_alert: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for row in year.desk.list("service/tickets").await {
        let Some(key) = row["externalXRef"].as_str() else { return Err(format!("whose is it? {row}")) };
        if !keys.insert(key.to_owned()) {
            return Err(format!("a second ticket {key}"));
        }
        let alert = key.split(':').nth(1).unwrap_or_default().to_owned();
        by_alert.entry(alert).or_default().push(row);
    }
    Ok(by_alert)
}

/// After a run that came to its end: whatever is open has its ticket, or waits for a reason that is true.
pub async fn open_alerts(year: &mut Year) -> Result<(), String> {
    if !year.rng.chance(60) {
        return Ok(());
    }
    let known = known_alerts(year).await;
    let tickets = tickets_by_alert(year).await?;
    for (key, state) in year.alerts.0.clone() {
        let Some(alert) = known.get(&key) else {
            return Err(format!("{key:?} is not known: {state:?}"));
        };
        if alert.is_open() != state.open {
            return Err(format!("{key:?} is {state:?} at its source: {alert:?}"));
        }
        if !state.open {
            continue;
        }
        let true_hold = match &alert.hold {
            None => false,
            Some(Hold::NoCompany) => key.0 == CUSTOMERS - 1 && year.people.linked_since.is_none(),
            Some(Hold::Refused { .. }) => {
                year.people.may_not_close || (key.1 == "sync_conflict" && year.people.board_is_gone)
            }
            Some(Hold::Quiet { .. }) => key.1 == "quota_reached",
            Some(Hold::Flapping | Hold::InDoubt | Hold::Storm) => true,
            Some(Hold::NoRule | Hold::NoBoard) => false,
        };
        if alert.hold.is_some() != true_hold {
            return Err(format!("{key:?} waits, and why? {alert:?}"));
        }
        if alert.hold.is_some() {
            continue;
        }
        let own = tickets.get(alert.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        has_its_ticket(year, &key, alert, own)?;
        year.alerts.0.get_mut(&key).unwrap().owed = true;
        year.note("open alerts with their ticket");
    }
    Ok(())
}

/// An open alert has a ticket that is open, unless a person closed or deleted it.
fn has_its_ticket(year: &Year, key: &Key, alert: &Alert, own: &[Value]) -> Result<(), String> {
    let deleted = year.people.deleted_tickets.iter().any(|at| at.contains(alert.id.as_str()));
    match own.last() {
        Some(ticket) if ticket["closedFlag"] != true => Ok(()),
        Some(ticket) if year.people.closed.contains(&ticket["id"].as_i64().unwrap()) => Ok(()),
        // It lies in another ticket.
        Some(ticket) if !ticket["mergedParentTicket"].is_null() => on_the_other(year, key, alert, ticket),
        _ if deleted => Ok(()),
        other => Err(format!("{key:?} is open, and its ticket is {other:?}: {alert:?}")),
    }
}

/// The ticket into which people merged an open alert's is the one it has, and is open as well.
fn on_the_other(year: &Year, key: &Key, alert: &Alert, merged: &Value) -> Result<(), String> {
    let thread = alert.thread.as_ref().ok_or_else(|| format!("{key:?} has no ticket: {alert:?}"))?;
    let state = year.desk.sandbox.control().state();
    let rows = state["resources"]["service/tickets"].as_array().cloned().unwrap_or_default();
    let mut at = merged["id"].as_i64().unwrap();
    let mut row = merged.clone();
    while let Some(into) = row["mergedParentTicket"]["id"].as_i64().or(row["mergedParentTicket"].as_i64()) {
        at = into;
        row = rows.iter().find(|row| row["id"].as_i64() == Some(into)).cloned().unwrap_or_default();
    }
    let by_people = row.is_null() || year.people.closed.contains(&at);
    if by_people
        || (thread.ticket.0 == at && row["closedFlag"] != true)
        || thread.closed.is_none() && row["closedFlag"] != true
    {
        return Ok(());
    }
    Err(format!("{key:?} is open, and its ticket was merged into {at}, which is {row}: {alert:?}"))
}

/// In the end every alert has exactly one ticket, which is where the alert is.
pub async fn tickets(year: &mut Year) -> Result<(), String> {
    let known = known_alerts(year).await;
    let tickets = tickets_by_alert(year).await?;
    for (key, state) in year.alerts.0.clone() {
        let alert = known.get(&key).ok_or_else(|| format!("{key:?} is not known: {state:?}"))?;
        if alert.is_open() != state.open || alert.pending.is_some() || alert.hold.is_some() {
            return Err(format!("{key:?} is {state:?}: {alert:?}"));
        }
        let own = tickets.get(alert.id.as_str()).cloned().unwrap_or_default();
        let deleted = year.people.deleted_tickets.iter().filter(|at| at.contains(alert.id.as_str())).count();
        if own.len() + deleted > state.most + deleted {
            return Err(format!("{key:?} came up {state:?} and has {} tickets: {own:?}", own.len()));
        }
        if state.owed && own.is_empty() && deleted == 0 {
            return Err(format!("{key:?} has no ticket: {alert:?}"));
        }
        let by_people = |row: &Value| {
            let id = row["id"].as_i64().unwrap();
            year.people.reopened.contains(&id) || year.people.merged.contains(&id)
        };
        let open: Vec<&Value> =
            own.iter().filter(|row| row["closedFlag"] != true && !by_people(row)).collect();
        if open.len() > 1 {
            return Err(format!("{key:?} has several open tickets: {open:?}"));
        }
        if state.open {
            has_its_ticket(year, &key, alert, &own)?;
        } else if !open.is_empty() && key.1 != "disk_usage" {
            return Err(format!("{key:?} is over since {:?}, and a ticket is open: {open:?}", state.over));
        }
        year.note("alerts with one ticket in the end");
    }
    Ok(())
}
