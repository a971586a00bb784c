//! Which addition is a line's: the one that is remembered, the one that somebody picked, or what is there.

use super::compare::Scene;
use super::config::Pick;
use super::line::LineKey;
use crate::ids::{AdditionId, AgreementId};
use crate::plan::{AdditionLink, Role};
use crate::psa::{AgreementStatus, ObservedAddition};
use std::collections::BTreeSet;

/// What was found.
#[derive(Debug)]
pub enum Found<'a> {
    /// The line's own addition.
    Own(&'a ObservedAddition),
    /// Somebody picked this one: it is taken over.
    Picked(&'a ObservedAddition),
    /// One open addition is there that trueup did not write: it may be the line's.
    Candidate(&'a ObservedAddition),
    /// Several are open: nobody can tell which.
    Several(Vec<AdditionId>),
    /// The line's addition was ended or removed, and not by trueup.
    Ended(AdditionId),
    /// There is none on the agreement, but an ended one of the same item, which trueup did not write.
    EndedBefore(AdditionId),
    /// The item is billed by an order's line.
    OfOrders(AdditionId),
    /// The item is billed by a line that carries trueup's key, and this organization did not write it.
    OfOthers(AdditionId),
    /// There is none here, and an open one of the item on another agreement of the company.
    Elsewhere(AgreementId, AdditionId),
    /// There is none here, and other agreements of the company were not read yet.
    Unread(BTreeSet<AgreementId>),
    /// There is none: it may be created.
    Missing,
}

/// The links of a line, living or not: how many there are tells a new line from the ones before it.
pub fn links_of<'a>(scene: &Scene<'a>, key: LineKey) -> impl Iterator<Item = &'a AdditionLink> {
    scene.links_by_line.get(&key).into_iter().flatten().copied()
}

/// Looks for the addition of a line.
pub fn find<'a>(scene: &Scene<'a>, key: LineKey, pick: Option<Pick>) -> Found<'a> {
    let (agreement, item) = key;
    let snapshot = scene.world.snapshot;
    let there: Vec<&ObservedAddition> =
        snapshot.additions_of(agreement).iter().filter(|a| a.state.catalog_item == item).collect();
    let links: Vec<&AdditionLink> = links_of(scene, key).collect();
    // Once somebody picked one, the ones before it are the line's no more.
    let since = match pick {
        Some(Pick::Addition(id)) => links.iter().position(|link| link.addition == id).unwrap_or_default(),
        Some(Pick::Create { .. }) | None => 0,
    };
    let links = links.get(since..).unwrap_or_default();
    let today = scene.world.today;
    // An end that a person dated ahead is not there yet: until then the line bills, and what is counted is what it bills.
    // One that a run gave a line of 0 is there already: what is counted again gets a line of its own.
    let is_ours = |there: &&&ObservedAddition| {
        links.iter().any(|link| {
            let bills = there.state.is_open()
                || (there.state.lasts(today) && !link.ended_by_us() && !link.is_settled());
            !link.deleted && link.addition == there.id && bills
        })
    };
    let ours: Vec<&ObservedAddition> = there.iter().filter(is_ours).copied().collect();
    let open: Vec<&ObservedAddition> = there.iter().filter(|a| a.state.is_open()).copied().collect();
    // What somebody said counts before what is remembered.
    if let Some(Pick::Addition(id)) = pick
        && let Some(picked) = there.iter().find(|a| a.id == id && a.state.lasts(today))
    {
        let is_own = ours.iter().any(|own| own.id == id);
        return if is_own { Found::Own(picked) } else { Found::Picked(picked) };
    }
    match ours.as_slice() {
        [one] => return Found::Own(one),
        [] => {}
        several => return Found::Several(several.iter().map(|a| a.id).collect()),
    }
    let (of_orders, free): (Vec<_>, Vec<_>) = open.into_iter().partition(|a| is_of_orders(scene, a.id));
    // Each would write its own quantity over the other's.
    let is_others = |a: &&ObservedAddition| {
        let key = a.marker.as_ref();
        key.is_some_and(|key| !scene.world.unlinked.contains(key))
            && !scene.links_by_addition.contains_key(&a.id)
    };
    let (others, free): (Vec<_>, Vec<_>) = free.into_iter().partition(is_others);
    let anew = matches!(pick, Some(Pick::Create { known }) if known == links.len());
    match free.as_slice() {
        [one] if !anew => return Found::Candidate(one),
        [_, _, ..] if !anew => return Found::Several(free.iter().map(|a| a.id).collect()),
        _ => {} // open set: lengths
    }
    if anew {
        return Found::Missing;
    }
    if let Some(one) = of_orders.first() {
        return Found::OfOrders(one.id);
    }
    if let Some(one) = others.first() {
        return Found::OfOthers(one.id);
    }
    // What trueup itself ended may come back; what a person ended or took back stays so until someone decides.
    let by_hand = links.iter().rev().find(|link| link.deleted || link.is_settled() || !link.ended_by_us());
    if let Some(link) = by_hand {
        return Found::Ended(link.addition);
    }
    if links.is_empty()
        && let Some(ended) = there.iter().rev().find(|a| !a.state.is_open())
    {
        return Found::EndedBefore(ended.id);
    }
    elsewhere(scene, key)
}

/// Other open additions of the line's item on its agreement, which no order wrote: they bill beside it.
pub fn beside<'a>(
    scene: &Scene<'a>,
    (agreement, item): LineKey,
    own: AdditionId,
) -> impl Iterator<Item = &'a ObservedAddition> {
    let there = scene.world.snapshot.additions_of(agreement).iter();
    there.filter(move |a| {
        a.id != own && a.state.catalog_item == item && a.state.is_open() && !is_of_orders(scene, a.id)
    })
}

fn is_of_orders(scene: &Scene<'_>, addition: AdditionId) -> bool {
    scene.links_by_addition.get(&addition).is_some_and(|link| link.role != Role::Quantity)
}

fn elsewhere<'a>(scene: &Scene<'a>, (agreement, item): LineKey) -> Found<'a> {
    let snapshot = scene.world.snapshot;
    let Some(company) = snapshot.agreements.get(&agreement).map(|found| found.company) else {
        return Found::Missing;
    };
    let others = scene.agreements_by_company.get(&company).into_iter().flatten().copied();
    let mut unread = BTreeSet::new();
    for other in others.filter(|other| other.id != agreement && other.status == AgreementStatus::Active) {
        match snapshot.additions.get(&other.id) {
            None => {
                unread.insert(other.id);
            }
            Some(additions) => {
                let open = |a: &&ObservedAddition| a.state.catalog_item == item && a.state.is_open();
                // A line of another customer, or of an order, is no sign that this one is billed there.
                let free = |a: &&ObservedAddition| !scene.links_by_addition.contains_key(&a.id);
                if let Some(found) = additions.iter().filter(open).find(free) {
                    return Found::Elsewhere(other.id, found.id);
                }
            }
        }
    }
    if unread.is_empty() { Found::Missing } else { Found::Unread(unread) }
}
