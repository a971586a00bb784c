//! Mappings in their order, found by a hash of what they are about: the planner asks for a dozen of every order, so that
//! no text is copied to ask with.

use super::{Mapping, MappingKind};
use crate::ids::SourceId;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// Mappings, one a kind, source, id and scope, in the order of these.
#[derive(Clone, Debug, Default)]
pub(super) struct Sorted {
    all: Vec<Mapping>,
    /// The first mapping of each kind, source and id, by the hash of them; those of other scopes follow it.
    firsts: HashTable<(u64, usize)>,
    of_kind: [usize; MappingKind::ALL.len()],
    hasher: DefaultHashBuilder,
}

impl Sorted {
    /// Of several with the same kind, source, id and scope the last counts.
    pub(super) fn new(mappings: impl IntoIterator<Item = Mapping>) -> Self {
        let by_key: BTreeMap<_, _> = mappings
            .into_iter()
            .map(|m| ((m.kind, m.source.clone(), m.source_id.clone(), m.scope.clone()), m))
            .collect();
        let mut sorted = Self { all: by_key.into_values().collect(), ..Self::default() };
        for (place, mapping) in sorted.all.iter().enumerate() {
            sorted.of_kind[mapping.kind as usize] += 1;
            let before = place.checked_sub(1).map(|before| &sorted.all[before]);
            if before.is_none_or(|before| !before.is_about(mapping.kind, &mapping.source, &mapping.source_id))
            {
                let hash = sorted.hash(mapping.kind, &mapping.source, &mapping.source_id);
                sorted.firsts.insert_unique(hash, (hash, place), |(hash, _)| *hash);
            }
        }
        sorted
    }

    fn hash(&self, kind: MappingKind, source: &SourceId, source_id: &str) -> u64 {
        self.hasher.hash_one((kind, source, source_id))
    }

    /// All of them, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.all.iter()
    }

    /// Whether there is any of a kind.
    pub(super) fn has(&self, kind: MappingKind) -> bool {
        self.of_kind[kind as usize] > 0
    }

    /// The mapping with exactly this scope.
    pub(super) fn find(
        &self,
        kind: MappingKind,
        source: &SourceId,
        source_id: &str,
        scope: &str,
    ) -> Option<&Mapping> {
        if !self.has(kind) {
            return None;
        }
        let hash = self.hash(kind, source, source_id);
        let is_it = |(other, place): &(u64, usize)| {
            *other == hash && self.all[*place].is_about(kind, source, source_id)
        };
        let (_, first) = self.firsts.find(hash, is_it)?;
        let others = self.all[*first..].iter().take_while(|m| m.scope.as_str() <= scope);
        others.take_while(|m| m.is_about(kind, source, source_id)).find(|m| m.scope == scope)
    }
}

impl Mapping {
    fn is_about(&self, kind: MappingKind, source: &SourceId, source_id: &str) -> bool {
        self.kind == kind && self.source_id == source_id && &self.source == source
    }
}
