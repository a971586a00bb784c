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
    /// The few sources, so that a mapping's own is compared by its number.
    sources: Vec<SourceId>,
    /// One table a kind: there are many customers and few products, and those few stay near.
    abouts: [HashTable<About>; MappingKind::ALL.len()],
    of_kind: [usize; MappingKind::ALL.len()],
    hasher: DefaultHashBuilder,
}

/// The mappings of one kind, source and id: they lie beside each other, in the order of their scopes.
#[derive(Clone, Copy, Debug)]
struct About {
    hash: u64,
    source: usize,
    first: usize,
    end: usize,
}

impl Sorted {
    /// Of several with the same kind, source, id and scope the last counts.
    pub(super) fn new(mappings: impl IntoIterator<Item = Mapping>) -> Self {
        let by_key: BTreeMap<_, _> = mappings
            .into_iter()
            .map(|m| ((m.kind, m.source.clone(), m.source_id.clone(), m.scope.clone()), m))
            .collect();
        let mut sorted = Self { all: by_key.into_values().collect(), ..Self::default() };
        let mut first = 0;
        for about in
            sorted.all.chunk_by(|a, b| a.kind == b.kind && a.source == b.source && a.source_id == b.source_id)
        {
            let Some(one) = about.first() else { continue };
            let end = first + about.len();
            sorted.of_kind[one.kind as usize] += about.len();
            let known = sorted.sources.iter().position(|source| *source == one.source);
            let source = known.unwrap_or_else(|| {
                sorted.sources.push(one.source.clone());
                sorted.sources.len() - 1
            });
            let hash = sorted.hasher.hash_one((source, one.source_id.as_str()));
            sorted.abouts[one.kind as usize].insert_unique(
                hash,
                About { hash, source, first, end },
                |about| about.hash,
            );
            first = end;
        }
        sorted
    }

    /// All of them, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Mapping> {
        self.all.iter()
    }

    /// Whether there is any of a kind.
    pub(super) fn has(&self, kind: MappingKind) -> bool {
        self.of_kind[kind as usize] > 0
    }

    /// The mappings of a kind, source and id, in the order of their scopes.
    pub(super) fn about(&self, kind: MappingKind, source: &SourceId, source_id: &str) -> &[Mapping] {
        let number = self.sources.iter().position(|known| known == source);
        let Some(source) = number.filter(|_| self.has(kind)) else { return &[] };
        let hash = self.hasher.hash_one((source, source_id));
        let about = self.abouts[kind as usize].find(hash, |about| {
            let one = &self.all[about.first];
            about.hash == hash && about.source == source && one.source_id == source_id
        });
        about.map_or(&[], |about| &self.all[about.first..about.end])
    }

    /// The mapping with exactly this scope.
    pub(super) fn find(
        &self,
        kind: MappingKind,
        source: &SourceId,
        source_id: &str,
        scope: &str,
    ) -> Option<&Mapping> {
        self.about(kind, source, source_id).iter().find(|mapping| mapping.scope == scope)
    }
}
