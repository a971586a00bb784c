//! What people set about alerts. A target is checked against the board before it is saved.

use crate::failure::Failure;
use crate::mappings::Site;
use crate::ports::Psa;
use serde_json::json;
use std::collections::BTreeMap;
use trueup_domain::alert::{
    About, AlertSeverity, EVERY_KIND, Entry, Field, FieldKind, Level, Resolved, Rule, Value,
    kinds_of_finding, resolve,
};
use trueup_domain::finding::Code;
use trueup_domain::ticket::{Board, BoardId, Desk, StatusId, TicketTarget};

/// What a rule is to say of one thing: a value, or nothing, so that the level above counts again.
pub type Setting = (Field, Option<String>);

/// Which rule is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The kind; `*` for every kind.
    pub kind: String,
    /// The severity; none for every one.
    pub severity: Option<AlertSeverity>,
}

impl Wish {
    /// Of what the rule is, as it is resolved.
    pub fn about(&self) -> About {
        let own = Code::from_name(&self.kind).is_some();
        let kinds = match self.kind.as_str() {
            EVERY_KIND => Vec::new(),
            kind if own => kinds_of_finding(kind).into_iter().map(str::to_owned).collect(),
            kind => vec![kind.to_owned()],
        };
        let named_alone =
            own || trueup_domain::alert::KINDS.iter().any(|row| row.name == self.kind && row.named_alone);
        About {
            kinds,
            severity: self.severity.unwrap_or(AlertSeverity::Warning),
            obeys_everything: !named_alone,
        }
    }
}

/// The values that hold for a kind and severity, each with the level that it comes from.
///
/// # Errors
/// The store's.
pub async fn rule_values(site: Site<'_>, wish: &Wish) -> Result<Resolved, Failure> {
    let levels = site.store.alerts().list_rules(site.org).await?;
    Ok(resolve(site.org, &levels, &wish.about()))
}

/// What the organization itself set for a kind and severity.
///
/// # Errors
/// The store's.
pub async fn entry_of(site: Site<'_>, wish: &Wish) -> Result<Entry, Failure> {
    let levels = site.store.alerts().list_rules(site.org).await?;
    let own = levels.into_iter().find(|level| {
        &level.from == site.org && level.entry.kind == wish.kind && level.entry.severity == wish.severity
    });
    Ok(own.map_or_else(
        || Entry { kind: wish.kind.clone(), severity: wish.severity, values: BTreeMap::new() },
        |level| level.entry,
    ))
}

/// Sets values of a rule. What names something in ConnectWise may be its id or its exact name, and is checked against the
/// board that holds then.
///
/// # Errors
/// [`Failure::Wrong`] for a value that is not allowed or does not fit (TU9501); the store's or ConnectWise's.
pub async fn set(
    site: Site<'_>,
    psa: Option<&dyn Psa>,
    wish: &Wish,
    settings: &[Setting],
) -> Result<Entry, Failure> {
    if wish.kind.trim().is_empty() || wish.kind.len() > 100 || wish.kind.chars().any(char::is_control) {
        return Err(Failure::wrong(
            "a rule is about a kind of at most 100 characters, or about every one",
            "Name the kind, or `*`.",
        ));
    }
    let mut levels = site.store.alerts().list_rules(site.org).await?;
    let mut entry = entry_of(site, wish).await?;
    let picks = |field: &Field| field.row().kind == FieldKind::Pick;
    for (field, text) in settings.iter().filter(|(field, _)| !picks(field)) {
        match text {
            None => drop(entry.values.remove(field)),
            Some(text) => {
                field
                    .row()
                    .check(text)
                    .map_err(|error| Failure::wrong(error.to_string(), "Correct the value."))?;
                entry.values.insert(*field, Value { text: text.clone(), label: None });
            }
        }
    }
    let mut touches = false;
    let mut named = Vec::new();
    for (field, text) in settings.iter().filter(|(field, _)| picks(field)) {
        touches = true;
        match text.as_deref().map(str::trim) {
            None => drop(entry.values.remove(field)),
            // Nothing is a value as well: it takes away what the level above names.
            Some("") => drop(entry.values.insert(*field, Value { text: String::new(), label: None })),
            Some(text) => named.push((*field, text.to_owned())),
        }
    }
    if !named.is_empty() {
        let psa = psa.ok_or_else(|| {
            Failure::wrong(
                format!("organization {} has no connection to check the rule against", site.org),
                "Store one with `trueup connection add`.",
            )
        })?;
        pick(site, psa, wish, &mut levels, &mut entry, named).await?;
    } else if touches && let Some(psa) = psa {
        fits(site, psa, wish, &levels, &entry).await?;
    }
    let detail = json!({ "kind": entry.kind, "severity": entry.severity, "values": entry.values });
    let severity = wish.severity.map(|severity| format!("/{}", severity.name())).unwrap_or_default();
    let audit = site.entry("alert.rule", format!("alert-rule/{}{severity}", wish.kind), &detail);
    site.store.alerts().save_rule(site.org, &entry, &audit).await?;
    Ok(entry)
}

/// Removes everything that the organization itself set for a kind and severity. Returns whether there was anything.
///
/// # Errors
/// The store's.
pub async fn unset(site: Site<'_>, wish: &Wish) -> Result<bool, Failure> {
    let entry = entry_of(site, wish).await?;
    if entry.values.is_empty() {
        return Ok(false);
    }
    let severity = wish.severity.map(|severity| format!("/{}", severity.name())).unwrap_or_default();
    let object = format!("alert-rule/{}{severity}", wish.kind);
    let audit = site.entry("alert.rule.unset", object, &json!({ "values": entry.values }));
    let entry = Entry { values: BTreeMap::new(), ..entry };
    site.store.alerts().save_rule(site.org, &entry, &audit).await?;
    Ok(true)
}

/// The values that would hold with this entry.
fn with(site: Site<'_>, wish: &Wish, levels: &[Level], entry: &Entry) -> Resolved {
    let mut levels: Vec<Level> = levels
        .iter()
        .filter(|level| {
            &level.from != site.org
                || level.entry.kind != entry.kind
                || level.entry.severity != entry.severity
        })
        .cloned()
        .collect();
    levels.insert(0, Level { from: site.org.clone(), entry: entry.clone() });
    resolve(site.org, &levels, &wish.about())
}

fn wrong_target(message: impl std::fmt::Display) -> Failure {
    Failure::wrong(format!("{message} (TU9501)"), Code::Tu9501.row().fix)
}

/// Looks up what is named, the board first, since everything else belongs to it.
async fn pick(
    site: Site<'_>,
    psa: &dyn Psa,
    wish: &Wish,
    levels: &mut [Level],
    entry: &mut Entry,
    mut named: Vec<(Field, String)>,
) -> Result<(), Failure> {
    let desk = psa.load_desk().await?;
    named.sort_by_key(|(field, _)| *field != Field::Board);
    let mut board: Option<Board> = None;
    for (field, text) in named {
        if !matches!(field, Field::Board | Field::Priority | Field::Source | Field::Owner | Field::Company)
            && board.is_none()
        {
            board = Some(board_of(site, psa, wish, levels, entry).await?);
        }
        let (id, label) = found(psa, field, &text, &desk, board.as_ref()).await?;
        entry.values.insert(field, Value { text: id.to_string(), label: Some(label) });
    }
    fits(site, psa, wish, levels, entry).await
}

async fn board_of(
    site: Site<'_>,
    psa: &dyn Psa,
    wish: &Wish,
    levels: &[Level],
    entry: &Entry,
) -> Result<Board, Failure> {
    let held = with(site, wish, levels, entry);
    let id = held.get(&Field::Board).and_then(|held| held.text.parse::<i64>().ok()).map(BoardId);
    let id = id.ok_or_else(|| wrong_target("the rule names no service board that this could be on"))?;
    let board = psa.find_board(id).await?;
    board.ok_or_else(|| wrong_target(format!("there is no service board {id}")))
}

/// What an id or a name stands for: exactly one, letter for letter.
async fn found(
    psa: &dyn Psa,
    field: Field,
    text: &str,
    desk: &Desk,
    board: Option<&Board>,
) -> Result<(i64, String), Failure> {
    let all: Vec<(i64, String)> = match field {
        Field::Board => desk.boards.iter().map(|row| (row.id.0, row.name.clone())).collect(),
        Field::Priority => desk.priorities.iter().map(|row| (row.id.0, row.name.clone())).collect(),
        Field::Source => desk.sources.iter().map(|row| (row.id.0, row.name.clone())).collect(),
        Field::Owner => match &desk.members {
            Some(members) => members.iter().map(|row| (row.id.0, row.identifier.clone())).collect(),
            // Members that the API member may not see can be named by id alone.
            None => text.parse::<i64>().map(|id| vec![(id, text.to_owned())]).unwrap_or_default(),
        },
        Field::Company => {
            let id = text.parse::<i64>().map(trueup_domain::ids::CompanyId);
            let companies = match id {
                Ok(id) => psa.list_companies(Some(&[id])).await?,
                Err(_) => psa.find_companies(text).await?,
            };
            let name = |company: &trueup_domain::psa::Company| {
                if id.is_ok() { company.name.clone() } else { company.identifier.clone() }
            };
            companies.iter().map(|row| (row.id.0, name(row))).collect()
        }
        Field::Type => {
            board.map(|b| b.types.iter().map(|r| (r.id.0, r.name.clone())).collect()).unwrap_or_default()
        }
        Field::Subtype => {
            board.map(|b| b.subtypes.iter().map(|r| (r.id.0, r.name.clone())).collect()).unwrap_or_default()
        }
        Field::Item => {
            board.map(|b| b.items.iter().map(|r| (r.id.0, r.name.clone())).collect()).unwrap_or_default()
        }
        Field::StatusNew | Field::StatusClosed | Field::StatusReopened => {
            board.map(|b| b.statuses.iter().map(|r| (r.id.0, r.name.clone())).collect()).unwrap_or_default()
        }
        _ => Vec::new(), // open set: the other fields are no picks
    };
    let by_id = text.parse::<i64>().ok();
    let one = all.iter().find(|(id, name)| by_id == Some(*id) || (by_id.is_none() && name == text));
    one.cloned().ok_or_else(|| {
        let place = match board {
            Some(board)
                if !matches!(
                    field,
                    Field::Board | Field::Priority | Field::Source | Field::Owner | Field::Company
                ) =>
            {
                format!(" on the service board {}", board.name)
            }
            Some(_) | None => " in ConnectWise".to_owned(),
        };
        let some: Vec<String> = all.iter().take(12).map(|(id, name)| format!("{name} ({id})")).collect();
        wrong_target(format!("{}: there is no `{text}`{place}; there are {}", field.key(), some.join(", ")))
    })
}

/// Refuses a target that would not fit together.
async fn fits(
    site: Site<'_>,
    psa: &dyn Psa,
    wish: &Wish,
    levels: &[Level],
    entry: &Entry,
) -> Result<(), Failure> {
    let held = with(site, wish, levels, entry);
    let rule = Rule::of(&held, "UTC").map_err(wrong_target)?;
    let Some(id) = rule.board else { return Ok(()) };
    let board = psa.find_board(id).await?;
    let board = board.ok_or_else(|| wrong_target(format!("board: there is no service board {id}")))?;
    let target = TicketTarget {
        board: id,
        status: rule.status_new,
        ticket_type: rule.ticket_type,
        subtype: rule.subtype,
        item: rule.item,
        priority: rule.priority,
        source: rule.source,
        owner: rule.owner,
    };
    if let Some(fault) = board.faults(&target).into_iter().next() {
        return Err(wrong_target(format!("{}: {fault}", fault.field())));
    }
    let statuses: [(Field, Option<StatusId>, bool); 3] = [
        (Field::StatusNew, rule.status_new, false),
        (Field::StatusReopened, rule.status_reopened, false),
        (Field::StatusClosed, rule.status_closed, true),
    ];
    for (field, status, closes) in statuses {
        let Some(status) = status else { continue };
        let known =
            board.status(status).map_err(|fault| wrong_target(format!("{}: {fault}", field.key())))?;
        if known.closed != closes {
            let does = if known.closed { "closes" } else { "does not close" };
            return Err(wrong_target(format!("{}: the status {} {does} a ticket", field.key(), known.name)));
        }
    }
    Ok(())
}
