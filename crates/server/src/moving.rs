//! Moving an organization in the tree, for the API and the command line: what that would change, and the move of exactly
//! that.
//!
//! Nothing in ConnectWise changes by a move. What is written by schedule in organizations that inherit otherwise afterwards
//! waits until a person lets it go on.

use crate::serve::scheduler;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{OrganizationId, SourceId};
use trueup_engine::alerts::AlertBook as _;
use trueup_engine::failure::Failure;
use trueup_engine::feed::placed_by;
use trueup_engine::organizations::{self, ChangedCompany, Foreseen, Tree};
use trueup_engine::ports::{Clock, Store};
use trueup_engine::records::NewAuditEntry;
use trueup_engine::schedule::ScheduleKind;
use trueup_engine::settings::{EffectiveSetting, Overlays};
use trueup_store::{Move, Moved, SqlStore};
use utoipa::ToSchema;

/// So many organizations are named; all of them are counted.
const NAMED: usize = 50;

/// Several organizations.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SeveralDoc {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub first: Vec<String>,
}

impl SeveralDoc {
    /// Of these.
    pub fn of(all: &[OrganizationId]) -> Self {
        Self { count: all.len(), first: all.iter().take(NAMED).map(ToString::to_string).collect() }
    }
}

/// A value with the level that it comes from.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ValueFromDoc {
    /// The value.
    value: String,
    /// `default`, `file`, `organization:SLUG` (`organization:above` where the caller does not see it), `environment` or `flag`.
    from: String,
}

/// A setting that has another value afterwards.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MovedSettingDoc {
    /// The key.
    key: &'static str,
    /// As it holds.
    before: ValueFromDoc,
    /// As it would hold.
    after: ValueFromDoc,
    /// Where.
    organizations: SeveralDoc,
}

/// An organization whose ConnectWise is another one afterwards.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MovedCompanyDoc {
    /// Which.
    organization: String,
    /// The login company; none without a connection.
    before: Option<String>,
    /// The one afterwards.
    after: Option<String>,
    /// Its mappings to the former one, which stand in the way.
    mappings: usize,
    /// Its lines in the former one, which stand in the way.
    lines: usize,
}

/// How many are lost by a move, and how many come.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct ExchangeDoc {
    /// Lost.
    lost: usize,
    /// Gained.
    gained: usize,
}

impl ExchangeDoc {
    fn of<T: PartialEq>(before: &[T], after: &[T]) -> Self {
        let missing = |from: &[T], to: &[T]| from.iter().filter(|one| !to.contains(one)).count();
        Self { lost: missing(before, after), gained: missing(after, before) }
    }

    fn is_none(self) -> bool {
        self.lost == 0 && self.gained == 0
    }
}

/// An import that placed customers in an organization and reaches it no more.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CutImportDoc {
    /// Who imports.
    importer: String,
    /// Which source.
    source: String,
    /// Whose customers these are.
    organizations: SeveralDoc,
}

/// A schedule that waits after the move until somebody lets it go on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PausedDoc {
    /// Whose.
    organization: String,
    /// Its kind.
    schedule: String,
}

/// What a move would change.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct MoveDoc {
    /// The organization.
    id: String,
    /// The level above now, as far as the caller knows it.
    former: Option<String>,
    /// The level above afterwards; none at the top.
    parent: Option<String>,
    /// What moves: the organization and all below it.
    organizations: SeveralDoc,
    /// Settings with another value, in the order of their table.
    settings: Vec<MovedSettingDoc>,
    /// Whose ConnectWise is another one.
    companies: Vec<MovedCompanyDoc>,
    /// What is inherited about quantities: assignments, rules.
    quantities: ExchangeDoc,
    /// Rules about alerts that are inherited.
    alert_rules: ExchangeDoc,
    /// People who see the organization because of a level above.
    people: ExchangeDoc,
    /// Imports of levels above that placed customers here.
    imports: Vec<CutImportDoc>,
    /// What waits afterwards until somebody lets it go on, because something that it writes by is inherited otherwise.
    pauses: Vec<PausedDoc>,
    /// Why it cannot be moved, in words; empty where it can.
    obstacles: Vec<String>,
    /// Moves exactly so, and not otherwise.
    token: String,
}

impl MoveDoc {
    /// Whether nothing stands in the way.
    pub fn is_possible(&self) -> bool {
        self.obstacles.is_empty()
    }

    /// Moves exactly so.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// In words, a line for each change.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} organization(s) move.", self.organizations.count)];
        lines.extend(self.settings.iter().map(|one| {
            let (before, after) = (&one.before, &one.after);
            format!(
                "{}: {} ({}) becomes {} ({}) in {} organization(s)",
                one.key, before.value, before.from, after.value, after.from, one.organizations.count
            )
        }));
        let company = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
        lines.extend(self.companies.iter().map(|one| {
            format!(
                "{}: ConnectWise {} becomes {}",
                one.organization,
                company(&one.before),
                company(&one.after)
            )
        }));
        let exchanges =
            [("quantity rules", self.quantities), ("alert rules", self.alert_rules), ("people", self.people)];
        for (what, of) in exchanges.into_iter().filter(|(_, of)| !of.is_none()) {
            lines.push(format!("{what} from above: {} lost, {} gained", of.lost, of.gained));
        }
        lines.extend(self.imports.iter().map(|one| {
            let (importer, source) = (&one.importer, &one.source);
            format!("imports of {source} in {importer} place no customers here any more")
        }));
        lines.extend(self.pauses.iter().map(|one| {
            format!("{}: schedule {} waits until somebody lets it go on", one.organization, one.schedule)
        }));
        lines.extend(self.obstacles.iter().map(|obstacle| format!("In the way: {obstacle}")));
        lines
    }

    /// Without the names of levels that a caller does not see.
    pub fn seen_by(mut self, seen: &BTreeSet<OrganizationId>) -> Self {
        let hidden = |from: &str| {
            from.strip_prefix("organization:").is_some_and(|id| !seen.contains(&OrganizationId::from(id)))
        };
        let values = self.settings.iter_mut().flat_map(|one| [&mut one.before, &mut one.after]);
        for value in values.filter(|value| hidden(&value.from)) {
            "organization:above".clone_into(&mut value.from);
        }
        self.former = self.former.filter(|id| seen.contains(&OrganizationId::from(id.as_str())));
        self
    }
}

/// Who moves, and by what.
pub struct Mover<'a> {
    /// The store.
    pub store: &'a SqlStore,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Settings over the stored ones.
    pub overlays: &'a Overlays,
    /// Who acts.
    pub actor: &'a str,
}

/// A move that was thought through.
struct Thought {
    foreseen: Foreseen,
    pauses: Vec<(OrganizationId, String)>,
    document: MoveDoc,
}

impl Mover<'_> {
    /// What a move would change.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where it makes no tree, or the store's.
    pub async fn foresee(
        &self,
        org: &OrganizationId,
        parent: Option<&OrganizationId>,
    ) -> Result<MoveDoc, Failure> {
        // It concerns organizations that are not above each other.
        Ok(trueup_store::everywhere(self.think(org, parent)).await?.document)
    }

    /// Moves as [`Self::foresee`] told under this token.
    ///
    /// # Errors
    /// [`Failure::Wrong`] where something stands in the way, where things are otherwise than they were shown or while a
    /// run goes on; else the store's.
    pub async fn carry_out(
        &self,
        org: &OrganizationId,
        parent: Option<&OrganizationId>,
        token: &str,
    ) -> Result<MoveDoc, Failure> {
        trueup_store::everywhere(self.carry_out_everywhere(org, parent, token)).await
    }

    async fn carry_out_everywhere(
        &self,
        org: &OrganizationId,
        parent: Option<&OrganizationId>,
        token: &str,
    ) -> Result<MoveDoc, Failure> {
        let Thought { foreseen, pauses, document } = self.think(org, parent).await?;
        if let Some(obstacle) = document.obstacles.first() {
            return Err(Failure::wrong(
                obstacle.clone(),
                "Give the organization a connection of its own first, or release its mappings.",
            ));
        }
        if document.token != token {
            return Err(otherwise());
        }
        let detail = serde_json::json!({
            "before": foreseen.former, "after": parent, "settings": document.settings, "pauses": document.pauses,
        });
        let entry = NewAuditEntry {
            at: self.clock.now(),
            actor: self.actor.to_owned(),
            action: "organization.move".to_owned(),
            object: format!("organization/{org}"),
            addition: None,
            detail: detail.to_string(),
        };
        // Those that it leaves and comes below read it in their audit as well.
        let concerned = [Some(org), foreseen.former.as_ref(), parent].into_iter().flatten();
        let entries: BTreeMap<OrganizationId, NewAuditEntry> =
            concerned.map(|one| (one.clone(), entry.clone())).collect();
        let wanted = Move {
            org,
            former: foreseen.former.as_ref(),
            parent,
            organizations: &foreseen.organizations,
            pauses: &pauses,
            at: self.clock.now(),
            actor: self.actor,
        };
        match self.store.move_organization(&wanted, &entries).await? {
            Moved::Done => Ok(document),
            Moved::Otherwise => Err(otherwise()),
            Moved::Busy(busy) => Err(Failure::wrong(
                format!("a run of organization {busy} goes on"),
                "Wait for its end, then move.",
            )),
        }
    }

    async fn think(&self, org: &OrganizationId, parent: Option<&OrganizationId>) -> Result<Thought, Failure> {
        let tree = self.store.load_tree().await?;
        let foreseen = organizations::foresee(&tree, org, parent, self.overlays)?;
        let companies = self.companies(&foreseen.companies).await?;
        let obstacles = companies.iter().filter_map(obstacle).collect();
        let quantities = self.quantities(&foreseen, org, parent).await?;
        let alert_rules = self.alert_rules(&foreseen, org, parent).await?;
        let is_all = !(quantities.is_none() && alert_rules.is_none());
        let pauses = self.pauses(&tree, &foreseen, parent, is_all).await?;
        let mut document = MoveDoc {
            id: org.to_string(),
            former: foreseen.former.as_ref().map(ToString::to_string),
            parent: parent.map(ToString::to_string),
            organizations: SeveralDoc::of(&foreseen.organizations),
            settings: foreseen
                .settings
                .iter()
                .map(|one| MovedSettingDoc {
                    key: one.before.key,
                    before: told(&one.before),
                    after: told(&one.after),
                    organizations: SeveralDoc::of(&one.organizations),
                })
                .collect(),
            companies,
            quantities,
            alert_rules,
            people: ExchangeDoc {
                lost: self.people(&foreseen.left).await?,
                gained: self.people(&foreseen.joined).await?,
            },
            imports: self.imports(&foreseen).await?,
            pauses: pauses
                .iter()
                .map(|(org, kind)| PausedDoc { organization: org.to_string(), schedule: kind.clone() })
                .collect(),
            obstacles,
            token: String::new(),
        };
        document.token = token(&document);
        Ok(Thought { foreseen, pauses, document })
    }

    async fn companies(&self, changed: &[ChangedCompany]) -> Result<Vec<MovedCompanyDoc>, Failure> {
        let mut found = Vec::new();
        for one in changed {
            let org = &one.organization;
            let (mut mappings, mut lines) = (0, 0);
            if one.before.is_some() {
                let all = self.store.list_mappings(org).await?;
                mappings = all.iter().filter(|mapping| mapping.psa_id.is_some()).count();
                lines = self.store.list_links(org).await?.iter().filter(|link| !link.deleted).count();
            }
            found.push(MovedCompanyDoc {
                organization: org.to_string(),
                before: one.before.clone(),
                after: one.after.clone(),
                mappings,
                lines,
            });
        }
        Ok(found)
    }

    async fn quantities(
        &self,
        foreseen: &Foreseen,
        org: &OrganizationId,
        parent: Option<&OrganizationId>,
    ) -> Result<ExchangeDoc, Failure> {
        let mut before = self.store.list_quantity_entries(org).await?;
        before.retain(|level| !foreseen.organizations.contains(&level.from));
        let after = match parent {
            Some(parent) => self.store.list_quantity_entries(parent).await?,
            None => Vec::new(),
        };
        Ok(ExchangeDoc::of(&before, &after))
    }

    async fn alert_rules(
        &self,
        foreseen: &Foreseen,
        org: &OrganizationId,
        parent: Option<&OrganizationId>,
    ) -> Result<ExchangeDoc, Failure> {
        let mut before = self.store.list_rules(org).await?;
        before.retain(|level| !foreseen.organizations.contains(&level.from));
        let after = match parent {
            Some(parent) => self.store.list_rules(parent).await?,
            None => Vec::new(),
        };
        Ok(ExchangeDoc::of(&before, &after))
    }

    async fn people(&self, levels: &[OrganizationId]) -> Result<usize, Failure> {
        let mut count = 0;
        for level in levels {
            count += self.store.list_people(Some(level)).await?.len();
        }
        Ok(count)
    }

    async fn imports(&self, foreseen: &Foreseen) -> Result<Vec<CutImportDoc>, Failure> {
        let mut found = Vec::new();
        for importer in &foreseen.left {
            let sources: BTreeSet<SourceId> =
                self.store.count_records(importer, RecordKind::Product).await?.into_keys().collect();
            let more = self.store.count_records(importer, RecordKind::Customer).await?.into_keys();
            for source in sources.into_iter().chain(more).collect::<BTreeSet<_>>() {
                let placed = placed_by(self.store, importer, &source).await?;
                let cut: Vec<OrganizationId> =
                    foreseen.organizations.iter().filter(|one| placed.contains(*one)).cloned().collect();
                if !cut.is_empty() {
                    found.push(CutImportDoc {
                        importer: importer.to_string(),
                        source: source.to_string(),
                        organizations: SeveralDoc::of(&cut),
                    });
                }
            }
        }
        Ok(found)
    }

    /// What writes by schedule where something is inherited otherwise afterwards, in `is_all` of them.
    async fn pauses(
        &self,
        tree: &Tree,
        foreseen: &Foreseen,
        parent: Option<&OrganizationId>,
        is_all: bool,
    ) -> Result<Vec<(OrganizationId, String)>, Failure> {
        let inputs = self.store.load_schedule_inputs().await?;
        let touched = foreseen.touched();
        let mut found = Vec::new();
        for org in foreseen.organizations.iter().filter(|org| is_all || touched.contains(*org)) {
            let after =
                organizations::values_after(tree, org, &foreseen.organizations, parent, self.overlays)?;
            for kind in ScheduleKind::ALL.into_iter().filter(|kind| kind.writes()) {
                let is_off = after.iter().any(|one| one.key == kind.setting() && one.value == "off");
                let stored = inputs.stored.get(&(org.clone(), kind.name().to_owned()));
                let waits = stored.is_some_and(|schedule| schedule.paused_at.is_some());
                if !is_off && !waits && scheduler::runs_here(&inputs, org, kind) {
                    found.push((org.clone(), kind.name().to_owned()));
                }
            }
        }
        Ok(found)
    }
}

fn told(setting: &EffectiveSetting) -> ValueFromDoc {
    ValueFromDoc { value: setting.value.clone(), from: setting.level.describe() }
}

/// What is mapped and written are numbers of one ConnectWise company: in another one they would mean something else.
fn obstacle(one: &MovedCompanyDoc) -> Option<String> {
    let before = one.before.as_ref()?;
    if one.mappings == 0 && one.lines == 0 {
        return None;
    }
    let after = one.after.as_ref().map_or_else(|| "none".to_owned(), |after| format!("that of {after}"));
    Some(format!(
        "organization {} has {} mappings and {} lines in the ConnectWise of {before}, and its connection would be {after}",
        one.organization, one.mappings, one.lines
    ))
}

fn otherwise() -> Failure {
    Failure::wrong(
        "what the move would change is not what was shown: organizations or settings changed meanwhile",
        "Look at what it changes now, and move with the token shown there.",
    )
}

fn token(document: &MoveDoc) -> String {
    let text = serde_json::to_string(document).unwrap_or_default();
    Sha256::digest(text.as_bytes()).iter().take(16).fold(String::new(), |mut token, byte| {
        let _ = write!(token, "{byte:02x}");
        token
    })
}
