//! Connections to ConnectWise. Keys come in and never go out.

use crate::compose;
use crate::output::documents::instant;
use crate::serve::extract::Body;
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trueup_engine::ports::{Clock, PsaReport, Right, Store};
use trueup_engine::records::{Connection, SecretText};
use utoipa::ToSchema;

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
    /// The client id.
    #[schema(max_length = 200)]
    client_id: String,
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
    /// Every right the job needs.
    rights: Vec<RightDoc>,
}

fn tested(connection: &Connection, report: &PsaReport) -> TestDoc {
    TestDoc {
        connection: ConnectionDoc::from(connection),
        ok: report.rights.iter().all(|right| right.state != "missing"),
        version: report.version.clone(),
        cloud: report.cloud,
        marker: report.marker.clone(),
        rights: report.rights.iter().map(RightDoc::from).collect(),
    }
}

/// The connections of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/connections", tag = "connections",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Without their private keys", body = ConnectionsDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<ConnectionsDoc>, Problem> {
    let all = service.store.list_connections(&scope.org).await?;
    Ok(Json(ConnectionsDoc { items: all.iter().map(ConnectionDoc::from).collect() }))
}

async fn probe(service: &Service, scope: &Scope, connection: &Connection) -> Result<PsaReport, Problem> {
    let app = scope.app(service);
    let settings = app.settings().await.map_err(crate::failure::CliError::problem)?;
    let psa = compose::psa(connection, &settings, &app.options).map_err(unusable)?;
    Ok(psa.probe().await?)
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
        client_id: checked("client_id", &body.client_id, 200)?,
        created_at: service.clock.now(),
    };
    let report = probe(&service, &scope, &connection).await?;
    save(&service, &scope, &connection, "connection.add").await?;
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
    let report = probe(&service, &scope, &connection).await?;
    Ok(Json(tested(&connection, &report)))
}

/// Replace the keys of a connection
///
/// The old keys stay until the new ones have worked once.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/connections/{connection}/rotate", tag = "connections",
    params(("org" = String, Path, description = "The organization"),
        ("connection" = String, Path, description = "Its name")),
    request_body = NewKeys, responses((status = 200, description = "What the test found", body = TestDoc)))]
pub async fn rotate(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewKeys>,
) -> Result<Json<TestDoc>, Problem> {
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
    let report = probe(&service, &scope, &connection).await?;
    save(&service, &scope, &connection, "connection.rotate").await?;
    Ok(Json(tested(&connection, &report)))
}
