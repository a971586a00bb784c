//! Records that were refused. Whoever imports is told at once; a feed that comes by itself is watched by nobody, so that each
//! is remembered, and is a finding of every check, until the record comes in.

use super::Destination;
use crate::failure::Failure;
use crate::ports::{Refusal, Store};
use crate::records::{IncomingRecord, Millis};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::RecordKind;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{OrganizationId, SourceId};

/// So many are told one by one; of more the number is.
const MOST: usize = 100;

/// So many are remembered by what they are; of more nobody knows whether they came in.
const KEPT: usize = 10_000;

/// The longest id that is remembered, in characters: none that is longer is taken in.
const MAX_ID_CHARS: usize = 200;

/// So many characters of a reason and of a field's name are told.
const MAX_CHARS: usize = 1_000;

impl Refusal {
    /// The same, no longer than is worth keeping: what is refused may quote what it refuses.
    #[must_use]
    pub(super) fn bounded(mut self) -> Self {
        shorten(&mut self.reason);
        self.field.iter_mut().for_each(shorten);
        let is_id = |id: &str| id.len() <= MAX_ID_CHARS || id.chars().nth(MAX_ID_CHARS).is_none();
        self.record = self.record.filter(|record| is_id(&record.1));
        self
    }

    /// About how many bytes it takes.
    pub(super) fn length(&self) -> usize {
        let id = self.record.as_deref().map_or(0, |(_, id)| id.len());
        self.file.len() + self.reason.len() + self.field.as_ref().map_or(0, String::len) + id
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(end);
        text.push('…');
        // What was cut off is given back as well.
        text.shrink_to_fit();
    }
}

/// What was refused of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    /// By what a record is, such as `order SO-1`.
    named: BTreeMap<String, Known>,
    /// Of the last import: what cannot be told to be any record.
    nameless: Vec<Known>,
    /// How many more there were in the last import.
    more: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    file: String,
    line: u64,
    field: Option<String>,
    reason: String,
    at: Millis,
}

/// What a record is, in a word: `order SO-1`.
fn name_of(kind: RecordKind, id: &str) -> String {
    format!("{} {id}", kind.name())
}

/// The mark that holds what was refused of every source.
const MARK: &str = "refused";

type Sources = BTreeMap<SourceId, Refused>;

fn read(text: Option<&str>) -> Sources {
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// So often what others remembered meanwhile is read again.
const TRIES: usize = 20;

/// What an import refuses and takes in, beside what was refused before.
#[derive(Default)]
pub(super) struct Watch {
    /// What was refused before and did not come in so far, by name.
    before: BTreeSet<String>,
    /// What was refused before and came in.
    came_in: BTreeSet<String>,
    now: Refused,
}

impl Watch {
    /// What was refused of the source before; nothing where nothing is saved.
    pub(super) async fn load(to: Destination<'_>) -> Result<Self, Failure> {
        let text = match to.store {
            Some(store) => store.load_mark(to.org, MARK).await?,
            None => None,
        };
        let before = read(text.as_deref()).remove(to.source).unwrap_or_default();
        Ok(Self { before: before.named.into_keys().collect(), ..Self::default() })
    }

    /// A record came in: what was refused of it is corrected.
    pub(super) fn take_in(&mut self, record: &IncomingRecord) {
        if self.before.is_empty() && self.now.named.is_empty() {
            return;
        }
        let name = name_of(record.record.kind(), &record.id);
        self.now.named.remove(&name);
        if self.before.remove(&name) {
            self.came_in.insert(name);
        }
    }

    /// A record was refused.
    pub(super) fn refuse(&mut self, refusal: &Refusal, at: Millis) {
        if refusal.warning {
            return;
        }
        let known = Known {
            file: refusal.file.clone(),
            line: refusal.line,
            field: refusal.field.clone(),
            reason: refusal.reason.clone(),
            at,
        };
        let name = refusal.record.as_deref().map(|(kind, id)| name_of(*kind, id));
        match name {
            Some(name) if self.now.named.len() < KEPT || self.now.named.contains_key(&name) => {
                self.now.named.insert(name, known);
            }
            None if self.now.nameless.len() < MOST => self.now.nameless.push(known),
            Some(_) | None => self.now.more += 1,
        }
    }

    /// Remembers what is refused by now, beside what other imports remember meanwhile.
    pub(super) async fn save(self, to: Destination<'_>) -> Result<(), Failure> {
        let Some(store) = to.store else { return Ok(()) };
        for _ in 0..TRIES {
            let text = store.load_mark(to.org, MARK).await?;
            let mut known = read(text.as_deref());
            let before = known.remove(to.source).unwrap_or_default();
            let after = self.beside(before.clone());
            if after == before {
                return Ok(());
            }
            if after != Refused::default() {
                known.insert(to.source.clone(), after);
            }
            let new = serde_json::to_string(&known).unwrap_or_default();
            if store.change_mark(to.org, MARK, text.as_deref(), &new).await? {
                return Ok(());
            }
        }
        Err(Failure::wrong(
            "others imported each time what was refused was to be remembered",
            "Import again: what came in stays, and what was refused is told again.",
        ))
    }

    /// What is known of the source after this import.
    fn beside(&self, mut known: Refused) -> Refused {
        known.named.retain(|name, _| !self.came_in.contains(name));
        known.nameless.clone_from(&self.now.nameless);
        known.more = self.now.more;
        for (name, refused) in &self.now.named {
            if known.named.len() < KEPT || known.named.contains_key(name) {
                known.named.insert(name.clone(), refused.clone());
            } else {
                known.more += 1;
            }
        }
        known
    }
}

/// The records that were refused and did not come in since.
///
/// # Errors
/// The store's.
pub(crate) async fn told(store: &dyn Store, org: &OrganizationId) -> Result<Vec<Finding>, Failure> {
    let mut found = Vec::new();
    for (source, refused) in read(store.load_mark(org, MARK).await?.as_deref()) {
        let about = |detail: String| Subject {
            source: Some(source.clone()),
            detail: Some(detail),
            ..Subject::default()
        };
        for (name, known) in refused.named.iter().take(MOST) {
            let message = format!("Source {source} sent {name}, which was refused: {}.", known.why());
            found.push(Finding::new(Code::Tu8004, about(name.clone()), message).fix(
                "Correct it at the source and send it again. Where it is never to come, ignore this with a reason.",
            ));
        }
        let untold = refused.named.len().saturating_sub(MOST) as u64;
        let left = refused.nameless.len() as u64 + refused.more;
        if let Some(first) = refused.nameless.first() {
            let others = if left > 1 { format!(" {} more were.", left - 1) } else { String::new() };
            let message = format!(
                "Source {source} sent what cannot be told to be any record, and it was refused: {}.{others}",
                first.why()
            );
            found.push(
                Finding::new(Code::Tu8004, about("unreadable".to_owned()), message)
                    .fix("Correct it at the source and send it again."),
            );
        }
        let more = untold + if refused.nameless.is_empty() { refused.more } else { 0 };
        if more > 0 {
            let message = format!("Source {source} sent {more} records more that were refused.");
            found.push(Finding::new(Code::Tu8004, about("more".to_owned()), message).fix(
                "`trueup feed check` names each of them. Correct them at the source and send them again.",
            ));
        }
    }
    Ok(found)
}

impl Known {
    fn why(&self) -> String {
        let field = self.field.as_ref().map_or_else(String::new, |field| format!(", `{field}`"));
        format!("line {}{field}: {}", self.line, self.reason)
    }
}
