//! Copies that people made of the subscription's lines: told, and left alone.

use super::builder::Builder;
use crate::desired::Originals;
use crate::finding::Subject;
use crate::ids::AgreementId;
use std::collections::BTreeSet;

/// Tells the copies on the agreements that hold or held lines of the subscription.
pub fn tell(builder: &mut Builder<'_, '_>) {
    let links = builder.own_links();
    let originals = Originals::new(links.iter().copied());
    let homes: BTreeSet<AgreementId> = links.iter().map(|link| link.agreement).collect();
    let (world, register) = (builder.context.world, &builder.context.index.register);
    let there = homes.iter().flat_map(|home| world.snapshot.additions_of(*home));
    let strangers = there.filter(|addition| register.link_of(addition.id).is_none());
    let about = builder.context.subject();
    let found: Vec<_> = strangers
        .filter_map(|addition| originals.told_of(addition, world.snapshot, world.today))
        .map(|mut finding| {
            finding.subject =
                Subject { task: about.task.clone(), customer: about.customer.clone(), ..finding.subject };
            finding
        })
        .collect();
    found.into_iter().for_each(|finding| builder.find(finding));
}
