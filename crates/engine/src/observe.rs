//! Reading ConnectWise: complete, or an error. A list that did not arrive whole never becomes a snapshot.

mod drifting;
pub(crate) mod grounds;
mod pulling;
pub(crate) mod recent;
mod reversals;

pub use drifting::{Told, tell_drift};
pub use pulling::{OVERLAP_MS, Pulled, Reach, pull, pull_telling};
pub use recent::Trust;

use crate::failure::Failure;
use crate::ports::{AgreementsOf, Psa, PsaError};
use crate::records::Millis;
use recent::{Recent, Unread};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::finding::Code;
use trueup_domain::ids::{AgreementId, CatalogItemId, CompanyId};
use trueup_domain::mapping::{MappingKind, Mappings};
use trueup_domain::plan::AdditionLink;
use trueup_domain::planner::{TaskInput, World, agreements_of_interest};
use trueup_domain::psa::Snapshot;
use trueup_domain::task::TaskKind;

/// Reads what the plan of these tasks needs, with as few calls as possible: the mapped companies, their agreements and the
/// mapped catalog items afresh, and the additions of the agreements of interest alone, as far as they are not known from
/// just before. Returns with it when the additions of each agreement were read, and which could not be understood: what
/// stands on one of those must not be planned.
///
/// `world.snapshot` is not looked at.
///
/// # Errors
/// The PSA's.
pub(crate) async fn observe_for(
    psa: &dyn Psa,
    world: &World<'_>,
    tasks: &[TaskInput<'_>],
    recent: &Recent<'_>,
) -> Result<(Snapshot, BTreeMap<AgreementId, Millis>, Unread), Failure> {
    let (mut snapshot, mut unread) = (Snapshot::default(), Unread::default());
    let companies = companies_of(world, tasks);
    if !companies.is_empty() {
        let ids: Vec<CompanyId> = companies.into_iter().collect();
        snapshot.companies = psa.list_companies(Some(&ids)).await?.into_iter().map(|c| (c.id, c)).collect();
        let listed = psa.list_agreements_each(AgreementsOf::Companies(&ids)).await?;
        snapshot.agreements = listed.read.into_iter().map(|a| (a.id, a)).collect();
        unread.note(listed.unreadable)?;
    }
    add_agreements_of_links(psa, world, tasks, &mut snapshot, &mut unread).await?;
    // Which agreement a subscription is billed on can be told only where its items are known to be usable.
    let items: Vec<CatalogItemId> = catalog_items_of(world, tasks).into_iter().collect();
    if !items.is_empty() {
        snapshot.catalog =
            psa.list_catalog_items(Some(&items)).await?.into_iter().map(|c| (c.id, c)).collect();
    }
    let wanted: Vec<AgreementId> = {
        let partial = World { snapshot: &snapshot, ..*world };
        agreements_of_interest(&partial, tasks)
            .into_iter()
            .filter(|id| snapshot.agreements.contains_key(id))
            .collect()
    };
    let mut read_at = BTreeMap::new();
    if !wanted.is_empty() {
        let (reads, others) = recent.additions_of(&wanted, world.links).await?;
        recent::put(reads, &mut snapshot, &mut read_at);
        unread.agreements.extend(others);
        // One that went away in between must not pass for one without lines.
        let stays =
            |id: &AgreementId| snapshot.additions.contains_key(id) || unread.agreements.contains_key(id);
        let gone: Vec<AgreementId> = wanted.into_iter().filter(|id| !stays(id)).collect();
        gone.iter().for_each(|id| drop(snapshot.agreements.remove(id)));
    }
    Ok((snapshot, read_at, unread))
}

/// The companies that tasks are about.
pub(crate) fn companies_of(world: &World<'_>, tasks: &[TaskInput<'_>]) -> BTreeSet<CompanyId> {
    let of_task =
        tasks.iter().filter_map(|input| world.mappings.company_of(&input.task.source, &input.task.customer));
    // A transfer ends what the former customer has, whom the subscription's record may name still.
    let transfers = tasks.iter().filter(|input| input.task.kind == TaskKind::Transfer);
    let former = transfers.filter_map(|input| {
        let task = input.task;
        let sold = world.subscriptions.get(&(task.source.clone(), task.subscription.clone()))?;
        world.mappings.company_of(&task.source, &sold.customer)
    });
    of_task.chain(former).collect()
}

/// A subscription may still have lines on an agreement of another company, after its customer was mapped anew.
async fn add_agreements_of_links(
    psa: &dyn Psa,
    world: &World<'_>,
    tasks: &[TaskInput<'_>],
    snapshot: &mut Snapshot,
    unread: &mut Unread,
) -> Result<(), Failure> {
    let subscriptions: BTreeSet<_> = tasks.iter().map(|i| (&i.task.source, &i.task.subscription)).collect();
    let missing: BTreeSet<AgreementId> = world
        .links
        .iter()
        .filter(|l| is_alive(l) && subscriptions.contains(&(&l.source, &l.subscription)))
        .map(|l| l.agreement)
        .filter(|id| !snapshot.agreements.contains_key(id) && !unread.agreements.contains_key(id))
        .collect();
    for id in missing {
        match psa.find_agreement(id).await {
            Ok(Some(agreement)) => drop(snapshot.agreements.insert(id, agreement)),
            Ok(None) => {}
            Err(error @ PsaError { code: Code::Tu1007, .. }) => drop(unread.agreements.insert(id, error)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn is_alive(link: &AdditionLink) -> bool {
    !link.deleted
}

/// The catalog items that the lines of these tasks can be billed as, under any scope of their mappings.
fn catalog_items_of(world: &World<'_>, tasks: &[TaskInput<'_>]) -> BTreeSet<CatalogItemId> {
    let mut products: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for input in tasks {
        let of_source = products.entry(input.task.source.as_str()).or_default();
        for order in input.demand.orders() {
            of_source.extend(order.lines.iter().map(|l| l.product.as_str()));
        }
        let key = (input.task.source.clone(), input.task.subscription.clone());
        if let Some(subscription) = world.subscriptions.get(&key) {
            of_source.extend(subscription.items.iter().map(|i| i.product.as_str()));
            of_source.extend(subscription.plan.iter().map(|p| p.product.as_str()));
        }
        of_source.extend(
            world
                .links
                .iter()
                .filter(|l| l.source == key.0 && l.subscription == key.1)
                .map(|l| l.product.as_str()),
        );
    }
    mapped_items(world.mappings, &products)
}

fn mapped_items(mappings: &Mappings, products: &BTreeMap<&str, BTreeSet<&str>>) -> BTreeSet<CatalogItemId> {
    mappings
        .iter()
        .filter(|m| match (products.get(m.source.as_str()), m.kind) {
            (Some(of_source), MappingKind::Product) => of_source.contains(m.source_id.as_str()),
            (Some(_), MappingKind::Fee) => true,
            (Some(_), MappingKind::Customer | MappingKind::Agreement | MappingKind::Addition) | (None, _) => {
                false
            }
        })
        .filter_map(|m| m.psa_id)
        .map(CatalogItemId)
        .collect()
}
