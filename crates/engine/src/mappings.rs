//! Mappings: saved under the rules of the organization, looked over, released with what hangs on them, made from what
//! ConnectWise has, and made together with what ConnectWise lacks.

pub(crate) mod by_rule;
pub mod choices;
pub mod create;
pub mod evidence;
pub mod import;
pub mod release;
pub(crate) mod review;

use crate::failure::Failure;
use crate::ports::{Clock, Store};
use crate::records::{Millis, NewAuditEntry, StoredRecord, TaskFilter};
use crate::settings::{self, Overlays};
use crate::tasks;
use jiff::civil::Date;
use std::collections::BTreeMap;
use trueup_domain::feed::{Order, Record, RecordKind};
use trueup_domain::ids::{OrderId, OrganizationId, SourceId, SubscriptionId};
use trueup_domain::mapping::{Mapping, MappingOrigin, Mappings};
use trueup_domain::mapping_rules::{
    Broken, Conflict, MappingKey, MappingRules, Use, conflicts, key_of, needs_uses, not_released,
    shared_by_cycles,
};
use trueup_domain::plan::AdditionLink;
use trueup_domain::psa::Snapshot;
use trueup_domain::task::Task;

/// Where a use case of mappings works.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The organization.
    pub org: &'a OrganizationId,
    /// Who acts.
    pub actor: &'a str,
    /// Settings over the stored ones.
    pub overlays: &'a Overlays,
}

impl Site<'_> {
    pub(crate) fn entry(
        &self,
        action: &str,
        object: impl Into<String>,
        detail: &serde_json::Value,
    ) -> NewAuditEntry {
        NewAuditEntry {
            at: self.clock.now(),
            actor: self.actor.to_owned(),
            action: action.to_owned(),
            object: object.into(),
            addition: None,
            detail: detail.to_string(),
        }
    }

    pub(crate) async fn quantity_policy(&self) -> Result<trueup_domain::quantity::Policy, Failure> {
        Ok(settings::load(self.store, self.org, self.overlays).await?.quantity)
    }

    pub(crate) async fn rules(&self) -> Result<MappingRules, Failure> {
        Ok(settings::load(self.store, self.org, self.overlays).await?.mapping)
    }
}

/// What became of mappings that were to be saved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// Those that stand now.
    pub saved: Vec<Mapping>,
    /// Those that would break a rule: nothing of them was saved.
    pub refused: Vec<(Mapping, Conflict)>,
    /// Rules that those which stand now break: what stands on them waits (TU2007).
    pub broken: Vec<Conflict>,
    /// What is to be thought over of those that stand now; nothing waits for it.
    pub remarks: Vec<Conflict>,
    /// Tasks that stand elsewhere now.
    pub moved: Vec<Task>,
}

impl Saved {
    /// What a person has to settle: rules that are broken, and what was not saved.
    pub fn unsettled(&self) -> impl Iterator<Item = &Conflict> {
        self.broken.iter().chain(self.refused.iter().map(|(_, conflict)| conflict))
    }
}

/// The document of a mapping in the audit.
pub fn document(mapping: &Mapping) -> serde_json::Value {
    serde_json::json!({
        "kind": mapping.kind.name(),
        "source": mapping.source,
        "source_id": mapping.source_id,
        "psa_id": mapping.psa_id,
        "scope": mapping.scope,
        "options": mapping.options,
        "origin": match mapping.origin {
            MappingOrigin::Person => "person",
            MappingOrigin::Automatic => "automatic",
            MappingOrigin::Adopted => "adopted",
        },
    })
}

/// What audits call a mapping.
pub fn object(mapping: &Mapping) -> String {
    format!("mapping/{}/{}", mapping.kind.name(), mapping.source_id)
}

/// What becomes of mappings that would break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judging {
    /// They are not saved.
    ByRules,
    /// They are saved, and what stands on them waits until a person settles it: a file says how things are, and its
    /// rows are often right one after the other only.
    ByForm,
}

/// Saves mappings and judges the open tasks again.
///
/// Where two of them contradict each other under [`Judging::ByRules`], neither is saved: which of the two is meant only a
/// person knows. What stood in conflict before stays no obstacle.
///
/// # Errors
/// The store's.
pub async fn save(site: Site<'_>, mappings: &[Mapping], judging: Judging) -> Result<Saved, Failure> {
    for _ in 0..TRIES {
        let known = site.store.list_mappings(site.org).await?;
        let mut done = judge(site, mappings, judging, &known).await?;
        let entries: Vec<NewAuditEntry> =
            done.saved.iter().map(|m| site.entry("mapping.save", object(m), &document(m))).collect();
        let at = site.clock.now();
        // Two who accept at once must not both pass a rule that one of them breaks for the other.
        if !site.store.save_judged_mappings(site.org, at, &known, &done.saved, &entries).await? {
            continue;
        }
        done.moved = tasks::judge_again(site.store, site.clock, site.org, site.overlays).await?;
        review::tell_orphans(site).await?;
        return Ok(done);
    }
    Err(Failure::wrong(
        "others changed mappings each time these were judged",
        "Try again when they are done; nothing was saved.",
    ))
}

/// Mappings are judged anew at most so often, where others save or release some meanwhile.
const TRIES: usize = 5;

async fn judge(
    site: Site<'_>,
    mappings: &[Mapping],
    judging: Judging,
    known: &[Mapping],
) -> Result<Saved, Failure> {
    let rules = site.rules().await?;
    let today = site.clock.today();
    let mut done = Saved::default();
    let mut wanted = carried(mappings, known, today);
    wanted.retain(|mapping| {
        let stands = rules.in_the_way(mapping, known);
        done.refused.extend(stands.map(|stands| (mapping.clone(), not_released(mapping, stands))));
        stands.is_none()
    });
    let whole = Mappings::on(known.iter().chain(&wanted).cloned(), today);
    let before = Mappings::on(known.iter().cloned(), today);
    let uses = match needs_uses(&whole, rules) || needs_uses(&before, rules) {
        true => uses(site.store, site.org).await?,
        false => Vec::new(),
    };
    let stood = conflicts(&before, rules, &uses);
    // What is left out may be what made room for another one: look again until nothing new is broken.
    loop {
        let after = Mappings::on(known.iter().chain(&wanted).cloned(), today);
        let news: Vec<Conflict> = conflicts(&after, rules, &uses)
            .into_iter()
            .filter(|conflict| !stood.iter().any(|earlier| conflict.is_within(earlier)))
            .collect();
        if judging == Judging::ByForm {
            done.broken = news;
            break;
        }
        let of = |m: &Mapping| news.iter().find(|conflict| conflict.is_made_by(&key_of(m))).cloned();
        let count = wanted.len();
        let mut good = Vec::with_capacity(count);
        for mapping in wanted {
            match of(&mapping) {
                Some(conflict) => done.refused.push((mapping, conflict)),
                None => good.push(mapping),
            }
        }
        wanted = good;
        if wanted.len() == count {
            break;
        }
    }
    let after = Mappings::on(known.iter().chain(&wanted).cloned(), today);
    let shared = shared_by_cycles(&before);
    done.remarks = shared_by_cycles(&after)
        .into_iter()
        .filter(|new| !shared.iter().any(|old| new.is_within(old)))
        .collect();
    done.saved = wanted;
    Ok(done)
}

/// The mappings as they are saved: one that takes the place of a "do not bill" that is over bills from the day after
/// it. The days that somebody said are not billed are not billed later.
fn carried(mappings: &[Mapping], known: &[Mapping], today: Date) -> Vec<Mapping> {
    let over: BTreeMap<MappingKey, Date> = known
        .iter()
        .filter(|m| m.has_expired(today))
        .filter_map(|m| Some((key_of(m), m.billed_from()?)))
        .collect();
    let carry = |mapping: &Mapping| {
        let mut mapping = mapping.clone();
        let plain = mapping.psa_id.is_some() && mapping.billed_from().is_none();
        if let Some(from) = over.get(&key_of(&mapping)).filter(|_| plain) {
            mapping.options.insert("billed_from".into(), from.to_string());
        }
        mapping
    };
    mappings.iter().map(carry).collect()
}

/// The rules that the mappings in force break.
///
/// # Errors
/// The store's.
pub(crate) async fn broken(
    store: &dyn Store,
    org: &OrganizationId,
    in_force: &Mappings,
    rules: MappingRules,
) -> Result<Broken, Failure> {
    let uses = if needs_uses(in_force, rules) { uses(store, org).await? } else { Vec::new() };
    Ok(Broken::find(in_force, rules, &uses))
}

/// The subscriptions that can still be billed, as the rules look at them: with what is billed of them and what open tasks
/// bring.
pub(crate) async fn uses(store: &dyn Store, org: &OrganizationId) -> Result<Vec<Use>, Failure> {
    type Key = (SourceId, SubscriptionId);
    let mut links: BTreeMap<Key, Vec<AdditionLink>> = BTreeMap::new();
    for link in store.list_links(org).await? {
        links.entry((link.source.clone(), link.subscription.clone())).or_default().push(link);
    }
    let mut orders: BTreeMap<Key, Vec<Order>> = BTreeMap::new();
    for (source, order) in open_orders(store, org).await? {
        orders.entry((source, order.subscription.clone())).or_default().push(order);
    }
    let rows = store.list_records(org, None, RecordKind::Subscription).await?;
    Ok(rows
        .iter()
        .filter_map(|row| match &row.record {
            Record::Subscription(sold) => {
                let key = (row.source.clone(), sold.id.clone());
                let links = links.get(&key).map_or(&[][..], Vec::as_slice);
                Use::of(&row.source, sold, links, orders.get(&key).into_iter().flatten())
            }
            _ => None, // open set: only subscriptions were asked for
        })
        .collect())
}

/// So many orders are found one by one; for more of them, all are read.
const FEW: usize = 500;

/// The orders of open tasks, in the order in which they run.
async fn open_orders(store: &dyn Store, org: &OrganizationId) -> Result<Vec<(SourceId, Order)>, Failure> {
    let mut tasks = store.list_tasks(org, &TaskFilter::default()).await?;
    tasks.retain(|task| !task.state.is_final() && task.order_id.is_some());
    tasks.sort_by_key(|task| task.completed_us);
    let order_of = |row: StoredRecord| match row.record {
        Record::Order(order) => Some((row.source, order)),
        _ => None, // open set: only orders were asked for
    };
    let mut found = Vec::new();
    if tasks.len() <= FEW {
        for task in &tasks {
            let Some(id) = &task.order_id else { continue };
            let row = store.find_record(org, &task.source, RecordKind::Order, id.as_str()).await?;
            found.extend(row.and_then(order_of));
        }
        return Ok(found);
    }
    let all = store.list_records(org, None, RecordKind::Order).await?;
    let mut all: BTreeMap<(SourceId, OrderId), Order> = all
        .into_iter()
        .filter_map(order_of)
        .map(|(source, order)| ((source, order.id.clone()), order))
        .collect();
    for task in tasks {
        let Some(id) = task.order_id else { continue };
        found.extend(all.remove(&(task.source.clone(), id)).map(|order| (task.source, order)));
    }
    Ok(found)
}

/// What was last read of ConnectWise, over the nearest connection, and when.
pub(crate) async fn read(
    store: &dyn Store,
    org: &OrganizationId,
) -> Result<Option<(Millis, Snapshot)>, Failure> {
    match store.list_connections(org).await?.first() {
        Some(connection) => Ok(store.load_snapshot(org, &connection.name).await?),
        None => Ok(None),
    }
}

/// Companies, agreements and catalog items of it: what mappings lead to. The additions of a large tenant are most of what
/// its picture weighs.
pub(crate) async fn picture(store: &dyn Store, org: &OrganizationId) -> Result<Option<Snapshot>, Failure> {
    match store.list_connections(org).await?.first() {
        Some(connection) => Ok(store.load_picture_lists(org, &connection.name).await?),
        None => Ok(None),
    }
}
