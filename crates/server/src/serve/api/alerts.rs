//! Alerts with their tickets, the rules about them, and the log of what went on.

use super::runs::queue;
use crate::commands::alert::{
    self, ActivityDoc, AlertDoc, AlertTestDoc, RuleEntryDoc, RuleValueDoc, rule_entries, rule_values,
    set_values, shown, states, wish_of_entry,
};
use crate::commands::quantity::site;
use crate::failure::CliError;
use crate::serve::extract::{Body, Find};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service, checked};
use crate::serve::worker::{RunKind, RunWish};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trueup_domain::alert::{AlertId, AlertSeverity, Field};
use trueup_domain::ticket::{BoardId, TargetFault};
use trueup_engine::alerts::{self, ActivityFilter, ActivityKind, AlertFilter, Setting, Wish};
use trueup_engine::ports::Store;
use trueup_store::{Run, RunState};
use utoipa::{IntoParams, ToSchema};

/// The most characters of a kind.
const LONGEST_KIND: usize = 100;

/// Which alerts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AlertQuery {
    /// `open`, `acknowledged`, `cleared` or `all`; those that are not over where it is missing.
    state: Option<String>,
    /// Of this kind alone.
    kind: Option<String>,
    /// Of this customer alone.
    customer: Option<String>,
    /// How many, 100 where it is missing.
    limit: Option<u32>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// Alerts, those told last first
#[utoipa::path(get, path = "/api/v1/organizations/{org}/alerts", tag = "alerts",
    params(("org" = String, Path, description = "The organization"), AlertQuery),
    responses((status = 200, description = "A page", body = Page<AlertDoc>)))]
pub async fn list(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<AlertQuery>,
) -> Result<Json<Page<AlertDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let states = states(query.state.as_deref()).map_err(|error| Problem::field("state", error))?;
    let after = page::decode(query.cursor.as_deref())?
        .and_then(|(at, id)| Some((at.parse::<i64>().ok()?, AlertId::from(id.as_str()))));
    let mut found = Vec::new();
    for state in states {
        let filter = AlertFilter {
            state,
            kind: query.kind.clone(),
            customer: query.customer.clone(),
            after: after.clone(),
            limit: Some(limit + 1),
            ..AlertFilter::default()
        };
        found.extend(service.store.alerts().list_alerts(&scope.org, &filter).await?);
    }
    found.sort_by(|a, b| (b.last_at, &a.id).cmp(&(a.last_at, &b.id)));
    let mark = |alert: &trueup_domain::alert::Alert| (alert.last_at.to_string(), alert.id.to_string());
    Ok(Json(Page::of(found, limit, mark, |alert| AlertDoc::from(&alert))))
}

/// One alert with what went on about it.
#[derive(Serialize, ToSchema)]
pub struct AlertShownDoc {
    alert: AlertDoc,
    /// The newest first.
    history: Vec<ActivityDoc>,
}

/// One alert with its ticket and what went on about it
#[utoipa::path(get, path = "/api/v1/organizations/{org}/alerts/{alert}", tag = "alerts",
    params(("org" = String, Path, description = "The organization"),
        ("alert" = String, Path, description = "The alert")),
    responses((status = 200, description = "The alert", body = AlertShownDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<AlertShownDoc>, Problem> {
    let id = scope.part("alert").to_owned();
    let filter = AlertFilter { ids: Some(vec![AlertId::from(id.as_str())]), ..AlertFilter::default() };
    if service.store.alerts().list_alerts(&scope.org, &filter).await?.is_empty() {
        return Err(Problem::none("alert", &id));
    }
    let (alert, history) = shown(&scope.app(&service), &id).await.map_err(CliError::problem)?;
    Ok(Json(AlertShownDoc { alert, history }))
}

/// Which rule.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichAlertRule {
    /// The kind; `*` for every kind.
    kind: Option<String>,
    /// `critical`, `error`, `warning` or `info`; every one where it is missing.
    severity: Option<String>,
}

fn severity(word: Option<&str>) -> Result<Option<AlertSeverity>, Problem> {
    word.map(|word| {
        AlertSeverity::from_name(word).ok_or_else(|| {
            Problem::field("severity", format!("`{word}` is none of critical, error, warning, info"))
        })
    })
    .transpose()
}

fn wish(kind: &str, word: Option<&str>) -> Result<Wish, Problem> {
    let kind = checked("kind", kind, LONGEST_KIND)?.to_owned();
    Ok(Wish { kind, severity: severity(word)? })
}

/// The rules.
#[derive(Serialize, ToSchema)]
pub struct AlertRulesDoc {
    /// What this organization and those above it set, the nearest first.
    rules: Vec<RuleEntryDoc>,
    /// For the kind that was asked for, else for every kind: each value that holds, with the level that it comes from.
    values: Vec<RuleValueDoc>,
    /// The kinds that are known; a source may tell any other.
    #[schema(value_type = Vec<Object>)]
    kinds: serde_json::Value,
}

/// The rules, and every value that holds for a kind with the level that it comes from
#[utoipa::path(get, path = "/api/v1/organizations/{org}/alerts/rules", tag = "alerts",
    params(("org" = String, Path, description = "The organization"), WhichAlertRule),
    responses((status = 200, description = "The rules", body = AlertRulesDoc)))]
pub async fn rules(
    State(service): State<Service>,
    scope: Scope,
    Find(which): Find<WhichAlertRule>,
) -> Result<Json<AlertRulesDoc>, Problem> {
    let wish = wish(which.kind.as_deref().unwrap_or("*"), which.severity.as_deref())?;
    let app = scope.app(&service);
    Ok(Json(AlertRulesDoc {
        rules: rule_entries(&app).await.map_err(CliError::problem)?,
        values: rule_values(&app, &wish).await.map_err(CliError::problem)?,
        kinds: serde_json::json!(alert::kinds()),
    }))
}

/// What a rule is to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAlertRule {
    /// The kind; `*` for every kind. It may be missing where an entry of the log is named.
    #[schema(max_length = 100)]
    kind: Option<String>,
    /// `critical`, `error`, `warning` or `info`; every one where it is missing.
    severity: Option<String>,
    /// Takes the kind from this entry of the log.
    from_entry: Option<i64>,
    /// Values by key. What names a place of ConnectWise may be its id or its exact name; null removes what this
    /// organization set, so that the level above counts again.
    #[schema(value_type = BTreeMap<String, Option<String>>)]
    values: BTreeMap<String, Option<String>>,
    /// The connection to check against; the nearest where it is missing.
    #[schema(max_length = 100)]
    connection: Option<String>,
}

/// Set values of a rule
///
/// What names a place of ConnectWise is checked against the board that holds then: what does not fit is refused.
#[utoipa::path(put, path = "/api/v1/organizations/{org}/alerts/rules", tag = "alerts",
    params(("org" = String, Path, description = "The organization")), request_body = NewAlertRule,
    responses((status = 200, description = "What this organization says now", body = RuleEntryDoc)))]
pub async fn set_rule(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewAlertRule>,
) -> Result<Json<RuleEntryDoc>, Problem> {
    let app = scope.app(&service);
    let wish = match (&body.kind, body.from_entry) {
        (Some(kind), None) => wish(kind, body.severity.as_deref())?,
        (None, Some(entry)) => {
            let known = wish_of_entry(&app, entry).await.map_err(CliError::problem)?;
            Wish { severity: severity(body.severity.as_deref())?, ..known }
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Problem::field(
                "kind",
                "name a kind or an entry of the log, and one of the two alone",
            ));
        }
    };
    if body.values.is_empty() {
        return Err(Problem::field("values", "name one at least"));
    }
    let mut values: Vec<Setting> = Vec::new();
    for (key, value) in body.values {
        let field = Field::from_key(&key).map_err(|error| Problem::field("values", error.to_string()))?;
        values.push((field, value));
    }
    let saved = set_values(&app, &wish, body.connection.as_deref(), &values).await;
    Ok(Json(saved.map_err(CliError::problem)?))
}

/// Which rule is removed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GoneAlertRule {
    /// The kind; `*` for every kind.
    kind: String,
    /// `critical`, `error`, `warning` or `info`; what holds for every one where it is missing.
    severity: Option<String>,
}

/// Remove what this organization set about a kind, so that the level above counts again
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/alerts/rules", tag = "alerts",
    params(("org" = String, Path, description = "The organization"), GoneAlertRule),
    responses((status = 204, description = "It is gone")))]
pub async fn unset_rule(
    State(service): State<Service>,
    scope: Scope,
    Find(which): Find<GoneAlertRule>,
) -> Result<StatusCode, Problem> {
    let wish = wish(&which.kind, which.severity.as_deref())?;
    if alerts::unset(site(&scope.app(&service)), &wish).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::none("rule", &which.kind))
    }
}

/// Something that a rule can name.
#[derive(Serialize, ToSchema)]
pub struct PlaceDoc {
    id: i64,
    name: String,
    /// Whether a ticket in this status is closed; of statuses alone.
    closed: Option<bool>,
    /// Whether it can be chosen no longer.
    inactive: bool,
}

/// What may stand together on a board.
#[derive(Serialize, ToSchema)]
pub struct CombinationDoc {
    r#type: i64,
    subtype: Option<i64>,
    item: Option<i64>,
}

/// What a rule can name in ConnectWise, as it is now.
#[derive(Serialize, ToSchema)]
pub struct PlacesDoc {
    boards: Vec<PlaceDoc>,
    priorities: Vec<PlaceDoc>,
    sources: Vec<PlaceDoc>,
    /// Nothing where the API member may not see them.
    members: Option<Vec<PlaceDoc>>,
    /// Of the board that was asked for.
    statuses: Vec<PlaceDoc>,
    types: Vec<PlaceDoc>,
    subtypes: Vec<PlaceDoc>,
    items: Vec<PlaceDoc>,
    /// Which types, subtypes and items may stand together; nothing where only ConnectWise can tell.
    combinations: Option<Vec<CombinationDoc>>,
}

/// Of which board.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PlacesQuery {
    /// The board whose statuses, types, subtypes and items are wanted.
    board: Option<i64>,
    /// The connection; the nearest where it is missing.
    connection: Option<String>,
}

fn place(id: i64, name: &str, inactive: bool) -> PlaceDoc {
    PlaceDoc { id, name: name.to_owned(), closed: None, inactive }
}

/// What a rule can name in ConnectWise, read now
#[utoipa::path(get, path = "/api/v1/organizations/{org}/alerts/places", tag = "alerts",
    params(("org" = String, Path, description = "The organization"), PlacesQuery),
    responses((status = 200, description = "The lists", body = PlacesDoc)))]
pub async fn places(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<PlacesQuery>,
) -> Result<Json<PlacesDoc>, Problem> {
    let app = scope.app(&service);
    let (_, psa) = app.psa(query.connection.as_deref()).await.map_err(CliError::problem)?;
    let desk = psa.load_desk().await.map_err(trueup_engine::failure::Failure::from)?;
    let board = match query.board.map(BoardId) {
        None => None,
        // ConnectWise numbers from 1, and takes another number for a part of its address.
        Some(id) if id.0 < 1 => return Err(Problem::field("board", TargetFault::BoardGone(id).to_string())),
        Some(id) => {
            let board = psa.find_board(id).await.map_err(trueup_engine::failure::Failure::from)?;
            let gone = || Problem::field("board", TargetFault::BoardGone(id).to_string());
            Some(board.ok_or_else(gone)?)
        }
    };
    let own = board.as_ref();
    Ok(Json(PlacesDoc {
        boards: desk.boards.iter().map(|row| place(row.id.0, &row.name, row.inactive)).collect(),
        priorities: desk.priorities.iter().map(|row| place(row.id.0, &row.name, false)).collect(),
        sources: desk.sources.iter().map(|row| place(row.id.0, &row.name, false)).collect(),
        members: desk.members.map(|members| {
            members.iter().map(|row| place(row.id.0, &row.identifier, row.inactive)).collect()
        }),
        statuses: own
            .iter()
            .flat_map(|board| &board.statuses)
            .map(|row| PlaceDoc { closed: Some(row.closed), ..place(row.id.0, &row.name, row.inactive) })
            .collect(),
        types: own
            .iter()
            .flat_map(|b| &b.types)
            .map(|row| place(row.id.0, &row.name, row.inactive))
            .collect(),
        subtypes: own
            .iter()
            .flat_map(|b| &b.subtypes)
            .map(|row| place(row.id.0, &row.name, row.inactive))
            .collect(),
        items: own
            .iter()
            .flat_map(|b| &b.items)
            .map(|row| place(row.id.0, &row.name, row.inactive))
            .collect(),
        combinations: own.and_then(|board| board.combinations.as_ref()).map(|all| {
            all.iter()
                .map(|row| CombinationDoc {
                    r#type: row.ticket_type.0,
                    subtype: row.subtype.map(|id| id.0),
                    item: row.item.map(|id| id.0),
                })
                .collect()
        }),
    }))
}

/// For what a test ticket is made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAlertTest {
    /// The kind by whose rule it is made; `*` where it is missing.
    #[schema(max_length = 100)]
    kind: Option<String>,
    /// `critical`, `error`, `warning` or `info`.
    severity: Option<String>,
    /// For this company; that of the rule where it is missing.
    company_id: Option<i64>,
    /// The connection; the nearest where it is missing.
    #[schema(max_length = 100)]
    connection: Option<String>,
}

/// Make a test ticket by a rule, note on it and close it
///
/// What is missing is named step by step.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/alerts/test", tag = "alerts",
    params(("org" = String, Path, description = "The organization")), request_body = NewAlertTest,
    responses((status = 200, description = "What became of each step", body = AlertTestDoc)))]
pub async fn test(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewAlertTest>,
) -> Result<Json<AlertTestDoc>, Problem> {
    let wish = wish(body.kind.as_deref().unwrap_or("*"), body.severity.as_deref())?;
    let app = scope.app(&service);
    let done = alert::test_of(&app, wish, body.company_id, body.connection.as_deref()).await;
    Ok(Json(done.map_err(CliError::problem)?))
}

/// Through which connection.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAlertRun {
    /// The connection; the nearest where it is missing.
    #[schema(max_length = 100)]
    connection: Option<String>,
}

/// Take in what was told, and bring every ticket to where its alert is
#[utoipa::path(post, path = "/api/v1/organizations/{org}/alerts/run", tag = "alerts",
    params(("org" = String, Path, description = "The organization")), request_body = NewAlertRun,
    responses((status = 202, description = "It waits for a worker", body = super::runs::RunDoc)))]
pub async fn run(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewAlertRun>,
) -> Result<Response, Problem> {
    let wish = RunWish { connection: body.connection, ..RunWish::default() };
    queue(&service, &scope, RunKind::Alerts, wish).await
}

/// Lets a run follow what a feed told of alerts. One that waits already will take it in.
pub(super) async fn follow_feed(service: &Service, scope: &Scope) -> Result<(), Problem> {
    let waits = |run: &Run| run.kind == RunKind::Alerts.name() && run.state == RunState::Queued;
    let newest = service.store.list_runs(&scope.org, None, 20).await?;
    if !newest.iter().any(waits) {
        queue(service, scope, RunKind::Alerts, RunWish::default()).await?;
    }
    Ok(())
}

/// Which entries of the log.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityQuery {
    /// `alert`, `ticket`, `quantity` or `finding`.
    about: Option<String>,
    /// About this alert alone.
    alert: Option<String>,
    /// About this customer alone.
    customer: Option<String>,
    /// How many, 100 where it is missing.
    limit: Option<u32>,
    /// Where the page before ended.
    cursor: Option<String>,
}

/// What went on, the newest first: alerts, tickets, runs of quantities, findings
#[utoipa::path(get, path = "/api/v1/organizations/{org}/activity", tag = "alerts",
    params(("org" = String, Path, description = "The organization"), ActivityQuery),
    responses((status = 200, description = "A page", body = Page<ActivityDoc>)))]
pub async fn activity(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<ActivityQuery>,
) -> Result<Json<Page<ActivityDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let kind = query.about.as_deref().map(|word| {
        ActivityKind::from_name(word).ok_or_else(|| {
            Problem::field("about", format!("`{word}` is none of alert, ticket, quantity, finding"))
        })
    });
    let before = page::decode(query.cursor.as_deref())?.and_then(|(seq, _)| seq.parse::<i64>().ok());
    let filter = ActivityFilter {
        before,
        kind: kind.transpose()?,
        alert: query.alert.as_deref().map(AlertId::from),
        customer: query.customer,
        limit: limit + 1,
    };
    let found = service.store.alerts().list_activity(&scope.org, &filter).await?;
    let mark = |entry: &alerts::LoggedActivity| (entry.seq.to_string(), String::new());
    Ok(Json(Page::of(found, limit, mark, |entry| ActivityDoc::from(&entry))))
}
