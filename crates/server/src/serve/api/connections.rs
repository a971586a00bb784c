//! Connections to ConnectWise. Keys come in and never go out.

use crate::commands::connection::{key_mark_of, needed};
use crate::compose;
use crate::output::documents::instant;
use crate::serve::extract::{Body, Find};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trueup_domain::finding::Code;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::{Clock, PsaError, PsaReport, Right, Store};
use trueup_engine::records::{Connection, SecretText};
use utoipa::{IntoParams, ToSchema};

/// A connection, without its private key.
#[derive(Serialize, ToSchema)]
pub struct ConnectionDoc {
    /// Name.
    name: String,
    /// Address.
    url: String,
    /// Login company.
    company: String,
    /// Public key.
    public_key: String,
    /// Client id.
    client_id: String,
    /// When it was stored.
    created_at: String,
    /// When its private key was set; the key itself is never shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_set_at: Option<String>,
    /// Whether it is this organization's own; one of a level above is changed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<bool>,
    /// Whose it is: the organization's slug, or `above` where the caller may not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<String>,
    /// What its last test from here said; none where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    tested: Option<LastTestDoc>,
    /// When the address for its callbacks was made, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_made_at: Option<String>,
}

/// What the last test of a connection said.
#[derive(Serialize, ToSchema)]
pub struct LastTestDoc {
    /// When.
    at: String,
    /// Whether it worked and nothing was missing.
    ok: bool,
    /// How many rights were missing.
    missing: u32,
    /// Why it failed, where it did.
    code: Option<String>,
}

impl LastTestDoc {
    /// From the words that a test leaves: `works`, `works, and lacks N rights (CODE)` or `failed (CODE)`, then the instant.
    fn read(words: &str) -> Option<Self> {
        let (words, at) = words.rsplit_once(", ")?;
        let code = words.rsplit_once('(').and_then(|(_, code)| code.strip_suffix(')')).map(str::to_owned);
        let lacks = words.strip_prefix("works, and lacks ").and_then(|rest| rest.split(' ').next());
        Some(Self {
            at: at.to_owned(),
            ok: words == "works",
            missing: lacks.and_then(|number| number.parse().ok()).unwrap_or(0),
            code,
        })
    }
}

/// Keeps what a test of a stored connection said, for the command line as well.
async fn remember(
    service: &Service,
    scope: &Scope,
    name: &str,
    tested: &Result<PsaReport, PsaError>,
) -> Result<(), Problem> {
    let words = match tested {
        Ok(report) => match report.rights.iter().filter(|right| right.is_missing()).count() {
            0 => "works".to_owned(),
            missing => format!("works, and lacks {missing} rights ({})", Code::Tu1004),
        },
        Err(error) => format!("failed ({})", error.code),
    };
    let told = format!("{words}, {}", instant(service.clock.now()));
    Ok(service.store.save_mark(&scope.org, &mark_of(name), &told).await?)
}

fn mark_of(name: &str) -> String {
    format!("connection-test/{name}")
}

impl From<&Connection> for ConnectionDoc {
    fn from(connection: &Connection) -> Self {
        Self {
            name: connection.name.clone(),
            url: connection.url.clone(),
            company: connection.company.clone(),
            public_key: connection.public_key.clone(),
            client_id: connection.client_id.clone(),
            created_at: instant(connection.created_at),
            key_set_at: None,
            own: None,
            organization: None,
            tested: None,
            callback_made_at: None,
        }
    }
}

/// Connections.
#[derive(Serialize, ToSchema)]
pub struct ConnectionsDoc {
    /// The nearest first: the own ones, then those of the levels above.
    items: Vec<ConnectionDoc>,
}

/// A new connection.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConnection {
    /// Name; `connectwise` where it is missing.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// The address, such as `https://api-na.myconnectwise.net`.
    #[schema(max_length = 500)]
    url: String,
    /// The company as typed at sign-in.
    #[schema(max_length = 200)]
    company: String,
    /// The public key of the API member.
    #[schema(max_length = 200)]
    public_key: String,
    /// The private key.
    #[schema(max_length = 200)]
    private_key: String,
    /// The client id; that of the deployment where it is missing and there is one.
    #[schema(max_length = 200)]
    client_id: Option<String>,
}

/// New keys.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKeys {
    /// The new private key.
    #[schema(max_length = 200)]
    private_key: String,
    /// The new public key; the old one where it is missing.
    #[schema(max_length = 200)]
    public_key: Option<String>,
    /// The new client id; the old one where it is missing.
    #[schema(max_length = 200)]
    client_id: Option<String>,
}

/// One right that the job needs.
#[derive(Serialize, ToSchema)]
pub struct RightDoc {
    /// Module, such as `Finance`.
    module: String,
    /// Function, such as `Agreements`.
    function: String,
    /// Level, such as `Inquire All`.
    level: String,
    /// `granted`, `missing` or `unknown`.
    state: String,
    /// What it is needed for.
    purpose: String,
}

impl From<&Right> for RightDoc {
    fn from(right: &Right) -> Self {
        Self {
            module: right.module.clone(),
            function: right.function.clone(),
            level: right.level.clone(),
            state: right.state.clone(),
            purpose: right.purpose.clone(),
        }
    }
}

/// What a test of a connection found.
#[derive(Serialize, ToSchema)]
pub struct TestDoc {
    /// The connection.
    connection: ConnectionDoc,
    /// Whether nothing is missing.
    ok: bool,
    /// Version of ConnectWise.
    version: Option<String>,
    /// Whether it is ConnectWise's cloud.
    cloud: Option<bool>,
    /// Where keys of additions are written.
    marker: String,
    /// Every right that billing needs.
    rights: Vec<RightDoc>,
    /// Every right that tickets need; `ok` says nothing of them.
    ticket_rights: Vec<RightDoc>,
}

fn tested(connection: &Connection, report: &PsaReport) -> TestDoc {
    TestDoc {
        connection: ConnectionDoc::from(connection),
        ok: report.rights.iter().all(|right| right.state != "missing"),
        version: report.version.clone(),
        cloud: report.cloud,
        marker: report.marker.clone(),
        rights: report.rights.iter().map(RightDoc::from).collect(),
        ticket_rights: report.ticket_rights.iter().map(RightDoc::from).collect(),
    }
}

/// The connections of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/connections", tag = "connections",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Without their private keys", body = ConnectionsDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<ConnectionsDoc>, Problem> {
    let store = &service.store;
    let owners = store.connection_owners(&scope.org).await?;
    let callbacks = store.list_callbacks(&scope.org).await?;
    let mut items = Vec::new();
    for connection in store.list_connections(&scope.org).await? {
        let owner = owners.get(&connection.name);
        let organization = match owner {
            Some(owner) if may_know(&service, &scope, owner).await? => owner.to_string(),
            Some(_) | None => "above".to_owned(),
        };
        let words = store.load_mark(&scope.org, &mark_of(&connection.name)).await?;
        items.push(ConnectionDoc {
            own: Some(owner == Some(&scope.org)),
            organization: Some(organization),
            tested: words.as_deref().and_then(LastTestDoc::read),
            callback_made_at: callbacks.get(&connection.name).map(|at| instant(*at)),
            key_set_at: key_set_at(&service, owner.unwrap_or(&scope.org), &connection).await?,
            ..ConnectionDoc::from(&connection)
        });
    }
    Ok(Json(ConnectionsDoc { items }))
}

/// When a connection's private key was set: before that was kept, when the connection was stored.
async fn key_set_at(
    service: &Service,
    owner: &OrganizationId,
    connection: &Connection,
) -> Result<Option<String>, Problem> {
    let set = service.store.load_mark(owner, &key_mark_of(&connection.name)).await?;
    Ok(Some(set.unwrap_or_else(|| instant(connection.created_at))))
}

/// Whether an organization, one of the scope's own or above, is within the caller's reach.
async fn may_know(service: &Service, scope: &Scope, org: &OrganizationId) -> Result<bool, Problem> {
    let lineage = service.store.find_lineage(org).await?.unwrap_or_default();
    Ok(scope.caller.reaches(&lineage))
}

/// Refuses what would change a connection of a level above: stored here it would be a copy that hides it.
///
/// # Errors
/// There is none by this name, or it is not this organization's own.
pub async fn own(service: &Service, scope: &Scope) -> Result<(), Problem> {
    let name = scope.part("connection");
    match service.store.connection_owners(&scope.org).await?.get(name) {
        Some(owner) if *owner == scope.org => Ok(()),
        Some(_) => Err(Problem::conflict(
            format!("connection `{name}` belongs to a level above this organization"),
            "Change it there; a connection of this organization's own is added under another name, or under this one to \
             take its place here.",
        )),
        None => Err(Problem::none("connection", name)),
    }
}

/// How a connection is removed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveQuery {
    /// Also where lines were written over it and no other connection leads to the same company.
    even_so: Option<bool>,
}

/// Remove a connection
///
/// What was mapped and written stays. Where lines were written over it and no other connection leads to the same company,
/// they could not be read or changed any more: that has to be said with `even_so`.
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/connections/{connection}", tag = "connections",
    params(("org" = String, Path, description = "The organization"),
        ("connection" = String, Path, description = "Its name"), RemoveQuery),
    responses((status = 204, description = "It is gone, with the address for its callbacks")))]
pub async fn remove(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<RemoveQuery>,
) -> Result<StatusCode, Problem> {
    own(&service, &scope).await?;
    let connection = find(&service, &scope).await?;
    if !query.even_so.unwrap_or(false) {
        let same = |other: &Connection| other.company.trim().eq_ignore_ascii_case(connection.company.trim());
        let all = service.store.list_connections(&scope.org).await?;
        let others = all.iter().any(|other| other.name != connection.name && same(other));
        let lines = service.store.list_links(&scope.org).await?.iter().filter(|link| !link.deleted).count();
        if lines > 0 && !others {
            return Err(Problem::conflict(
                format!(
                    "{lines} lines were written in ConnectWise, and no other connection leads to that company"
                ),
                "Add another connection to the same company first, or remove it with `even_so=true`: the lines stay in \
                 ConnectWise, and nobody looks after them until there is a connection again.",
            ));
        }
    }
    let object = format!("connection/{}", connection.name);
    let detail = json!(ConnectionDoc::from(&connection));
    let entry = service.entry(scope.app(&service).actor(), "connection.remove", object, &detail);
    service.store.forget_connection(&scope.org, &connection.name, &entry).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn ask(
    service: &Service,
    scope: &Scope,
    connection: &Connection,
) -> Result<Result<PsaReport, PsaError>, Problem> {
    let app = scope.app(service);
    let settings = app.settings().await.map_err(crate::failure::CliError::problem)?;
    let psa = compose::psa(connection, &settings, &app.options).map_err(unusable)?;
    let asked = psa.probe().await;
    Ok(match asked {
        Ok(report) => Ok(needed(service.store.as_ref(), &scope.org, report).await),
        Err(error) => Err(error),
    })
}

/// An address or keys that cannot be used: nothing was sent.
fn unusable(error: crate::failure::CliError) -> Problem {
    let mut problem = error.problem();
    problem.status = StatusCode::UNPROCESSABLE_ENTITY.as_u16();
    problem
}

async fn save(
    service: &Service,
    scope: &Scope,
    connection: &Connection,
    action: &str,
) -> Result<(), Problem> {
    service.store.save_connection(&scope.org, connection).await?;
    let at = instant(service.clock.now());
    service.store.save_mark(&scope.org, &key_mark_of(&connection.name), &at).await?;
    let object = format!("connection/{}", connection.name);
    let detail = json!(ConnectionDoc::from(connection));
    let entry = service.entry(scope.app(service).actor(), action, object, &detail);
    Ok(service.store.append_audit(&scope.org, &[entry]).await?)
}

async fn find(service: &Service, scope: &Scope) -> Result<Connection, Problem> {
    let name = scope.part("connection");
    let all = service.store.list_connections(&scope.org).await?;
    all.into_iter().find(|c| c.name == name).ok_or_else(|| Problem::none("connection", name))
}

/// The client id of a connection: its own, else that of the deployment.
fn own_or<'a>(service: &'a Service, own: Option<&'a str>) -> &'a str {
    own.or(service.options.client_id.as_deref()).unwrap_or_default()
}

/// Add a connection
///
/// It is tested first, and stored only where ConnectWise knows the keys; missing rights do not keep it back. A name
/// that is taken in this organization is replaced.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/connections", tag = "connections",
    params(("org" = String, Path, description = "The organization")), request_body = NewConnection,
    responses((status = 201, description = "Stored", body = TestDoc)))]
pub async fn add(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewConnection>,
) -> Result<Response, Problem> {
    let name = checked("name", body.name.as_deref().unwrap_or("connectwise"), 100)?;
    if name.contains('/') {
        return Err(Problem::field("name", "it contains a slash"));
    }
    let connection = Connection {
        name,
        url: checked("url", &body.url, 500)?,
        company: checked("company", &body.company, 200)?,
        public_key: checked("public_key", &body.public_key, 200)?,
        private_key: SecretText::new(checked("private_key", &body.private_key, 200)?),
        client_id: checked("client_id", own_or(&service, body.client_id.as_deref()), 200)?,
        created_at: service.clock.now(),
    };
    let asked = ask(&service, &scope, &connection).await?;
    let report = asked.clone()?;
    save(&service, &scope, &connection, "connection.add").await?;
    remember(&service, &scope, &connection.name, &asked).await?;
    let location = format!("/api/v1/organizations/{}/connections/{}", scope.org, connection.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(tested(&connection, &report)))
        .into_response())
}

/// Test a connection
#[utoipa::path(post, path = "/api/v1/organizations/{org}/connections/{connection}/test", tag = "connections",
    params(("org" = String, Path, description = "The organization"),
        ("connection" = String, Path, description = "Its name")),
    responses((status = 200, description = "What the test found", body = TestDoc)))]
pub async fn test(State(service): State<Service>, scope: Scope) -> Result<Json<TestDoc>, Problem> {
    let connection = find(&service, &scope).await?;
    let asked = ask(&service, &scope, &connection).await?;
    remember(&service, &scope, &connection.name, &asked).await?;
    Ok(Json(tested(&connection, &asked?)))
}

/// Replace the keys of a connection
///
/// The old keys stay until the new ones have worked once. A connection of a level above is changed there.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/connections/{connection}/rotate", tag = "connections",
    params(("org" = String, Path, description = "The organization"),
        ("connection" = String, Path, description = "Its name")),
    request_body = NewKeys, responses((status = 200, description = "What the test found", body = TestDoc)))]
pub async fn rotate(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewKeys>,
) -> Result<Json<TestDoc>, Problem> {
    own(&service, &scope).await?;
    let old = find(&service, &scope).await?;
    let text = |field: &str, value: Option<String>, old: &str| match value {
        Some(value) => checked(field, &value, 200),
        None => Ok(old.to_owned()),
    };
    let connection = Connection {
        public_key: text("public_key", body.public_key, &old.public_key)?,
        client_id: text("client_id", body.client_id, &old.client_id)?,
        private_key: SecretText::new(checked("private_key", &body.private_key, 200)?),
        ..old
    };
    let asked = ask(&service, &scope, &connection).await?;
    let report = asked.clone()?;
    save(&service, &scope, &connection, "connection.rotate").await?;
    remember(&service, &scope, &connection.name, &asked).await?;
    Ok(Json(tested(&connection, &report)))
}
