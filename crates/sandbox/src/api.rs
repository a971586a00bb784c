//! Answering one call: authentication, rights, and what the path and method ask for.

use base64::Engine as _;

use crate::error::{ApiError, Detail};
use crate::events::Action;
use crate::json::{Json, object};
use crate::list::{Fields, Page, Place, Query, Scope, count, page, visible};
use crate::normalize::Mode;
use crate::records::{Target, create, delete, shown, update};
use crate::roles::{FUNCTIONS, Level, Right};
use crate::route::{Route, Twin, owner, route};
use crate::schema::{self, paths};
use crate::store::World;
use crate::{events, invoice, link, patch, ticket};

/// The version the sandbox speaks.
pub(crate) const VERSION: &str = "2026.4";

/// The keys the sandbox accepts.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Login company.
    pub company: String,
    /// Public key.
    pub public: String,
    /// Private key.
    pub private: String,
    /// Value of the `clientId` header.
    pub client_id: String,
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, as sent.
    pub query: String,
    /// The body.
    pub body: String,
    /// The `Host` header.
    pub host: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `clientId` header.
    pub client_id: Option<String>,
    /// The `Accept` header.
    pub accept: String,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// `pagination-type: forward-only` was sent.
    pub forward_only: bool,
    /// The sandbox's own header `x-sandbox-person`: the call counts as made by that person and not by the API member.
    pub person: Option<String>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The status.
    pub status: u16,
    /// The body; none for 204.
    pub body: Option<String>,
    /// The `Link` header.
    pub link: Option<String>,
    /// The body is sent as plain text, whatever is in it.
    pub plain: bool,
}

impl Answer {
    fn json(status: u16, body: &Json) -> Self {
        Answer { status, body: Some(body.to_text()), link: None, plain: false }
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        Answer::json(error.status, &error.body())
    }
}

/// Answers a call. With `short`, a list page loses its last rows and its `Link`, as a broken proxy would make it.
pub(crate) fn answer(world: &mut World, keys: &Keys, call: &Call, short: bool) -> Answer {
    let segments: Vec<&str> = call.path.split('/').filter(|segment| !segment.is_empty()).collect();
    if let [login, info, company] = segments.as_slice()
        && login.eq_ignore_ascii_case("login")
        && info.eq_ignore_ascii_case("companyinfo")
    {
        return Answer::json(200, &company_info(world, keys, company));
    }
    try_answer(world, keys, call, &segments, short).unwrap_or_else(Answer::from)
}

fn try_answer(
    world: &mut World,
    keys: &Keys,
    call: &Call,
    segments: &[&str],
    short: bool,
) -> Result<Answer, ApiError> {
    let length = world.scheme().len() + "://?".len() + call.host.len() + call.path.len() + call.query.len();
    if world.rules.longest_url.is_some_and(|longest| length > longest) {
        return Err(ApiError::plain(414, "ConnectWiseApi", "The address is too long."));
    }
    if let [codebase, system, key, index] = segments
        && [(system, "system"), (key, "callbackkey"), (index, "index.rails")]
            .iter()
            .all(|(sent, word)| sent.eq_ignore_ascii_case(word))
        && answers_codebase(world, codebase)
    {
        return callback_key(world, keys, call);
    }
    let [codebase, apis, version, below @ ..] = segments else { return Err(ApiError::no_endpoint()) };
    if !apis.eq_ignore_ascii_case("apis") || *version != "3.0" || !answers_codebase(world, codebase) {
        return Err(ApiError::no_endpoint());
    }
    let route = route(below);
    if !(world.rules.open_system_info && matches!(route, Some(Route::SystemInfo))) {
        authenticate(world, keys, call)?;
    }
    world.person = call.person.as_deref().map(Into::into);
    let answer = route.ok_or_else(ApiError::no_endpoint).and_then(|route| perform(world, call, route, short));
    world.person = None;
    answer
}

/// The key a callback was signed with, as text though it is JSON.
fn callback_key(world: &World, keys: &Keys, call: &Call) -> Result<Answer, ApiError> {
    if call.method != "GET" {
        return Err(wrong_method(&call.method));
    }
    if world.rules.callback_key_needs_keys {
        authenticate(world, keys, call)?;
    }
    let query = Query::parse(&call.query);
    let asked = query.get("companyName").filter(|company| *company == world.company).and(query.get("id"));
    let key = asked.and_then(|id| events::signing_key(world, id)).ok_or_else(ApiError::no_endpoint)?;
    Ok(Answer { plain: true, ..Answer::json(200, &object([("signing_key", Json::Str(key))])) })
}

fn answers_codebase(world: &World, codebase: &str) -> bool {
    let codebase = codebase.to_ascii_lowercase();
    if world.rules.strict_codebase {
        return world.rules.codebase.trim_end_matches('/').eq_ignore_ascii_case(&codebase);
    }
    let digits = codebase.strip_prefix('v').unwrap_or_default();
    codebase == "v4_6_release"
        || digits.split('_').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn company_info(world: &World, keys: &Keys, company: &str) -> Json {
    if company != keys.company {
        return Json::Null;
    }
    object([
        ("CompanyName", "Sandbox".into()),
        ("Codebase", world.rules.codebase.as_str().into()),
        ("VersionCode", "v2026.4".into()),
        ("VersionNumber", "v4.6.99999".into()),
        ("CompanyID", keys.company.as_str().into()),
        ("IsCloud", "False".into()),
        ("SiteUrl", world.base_url.as_str().into()),
    ])
}

fn authenticate(world: &World, keys: &Keys, call: &Call) -> Result<(), ApiError> {
    let wanted = format!("{}+{}:{}", keys.company, keys.public, keys.private);
    let sent = call.authorization.as_deref().and_then(|header| header.split_once(' '));
    let good = sent.is_some_and(|(scheme, text)| {
        scheme.eq_ignore_ascii_case("basic")
            && base64::engine::general_purpose::STANDARD
                .decode(text.trim())
                .is_ok_and(|plain| plain == wanted.as_bytes())
    });
    if !good {
        return Err(match world.rules.bad_auth_status {
            404 => ApiError::no_endpoint(),
            status => ApiError::plain(status, "Unauthorized", "Incorrect public/private key or company."),
        });
    }
    let status = world.rules.missing_client_id_status;
    match call.client_id.as_deref() {
        None | Some("") => Err(ApiError::plain(status, "ConnectWiseApi", "The clientId header is required.")),
        Some(sent) if !sent.eq_ignore_ascii_case(&keys.client_id) => Err(ApiError::plain(
            status,
            "ConnectWiseApi",
            "The clientId header is not a registered clientId.",
        )),
        Some(_) => Ok(()),
    }
}

fn allow(world: &World, function: &str, right: Right) -> Result<(), ApiError> {
    if world.roles.level(function, right) == Level::None { Err(ApiError::forbidden()) } else { Ok(()) }
}

fn wrong_method(method: &str) -> ApiError {
    let message = format!("The requested resource does not support http method '{method}'.");
    ApiError::plain(405, "ConnectWiseApi", message)
}

fn body_of(call: &Call) -> Result<Json, ApiError> {
    if call.content_type.as_deref().is_some_and(|kind| !kind.to_ascii_lowercase().contains("json")) {
        return Err(ApiError::plain(
            415,
            "ConnectWiseApi",
            "The request entity's media type is not supported.",
        ));
    }
    if call.body.trim().is_empty() {
        return Ok(Json::Obj(Vec::new()));
    }
    Json::parse(&call.body).map_err(|error| {
        ApiError::plain(400, "ConnectWiseApi", format!("The request body could not be read: {error}."))
    })
}

fn perform(world: &mut World, call: &Call, route: Route, short: bool) -> Result<Answer, ApiError> {
    let query = Query::parse(&call.query);
    match (route, call.method.as_str()) {
        (Route::SystemInfo, "GET") => Ok(Answer::json(200, &system_info())),
        (Route::Reports, "GET") => {
            allow(world, "System/API Reports", Right::Inquire)?;
            Ok(Answer::json(200, &Json::Arr(Vec::new())))
        }
        (Route::Recap(id), "GET") => {
            allow(world, "Finance/Invoicing", Right::Inquire)?;
            recap(world, id)
        }
        (Route::MakeInvoice(id), "POST") => {
            allow(world, "Finance/Agreement Invoicing", Right::Add)?;
            let invoice = invoice::generate(world, id)?;
            events::raise(world, schema::find(paths::INVOICES).unwrap_or_default(), invoice, Action::Added);
            Ok(Answer::json(201, &Json::Int(invoice)))
        }
        (Route::RoleSettings(role, setting, count), "GET") => role_settings(world, role, setting, count),
        (Route::TicketSearch, "POST") => {
            let scope =
                Scope { resource: schema::find(paths::TICKETS).unwrap_or_default(), parent: 0, only: None };
            let mut query = query;
            if let Json::Obj(members) = body_of(call)? {
                let texts =
                    members.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
                query.0.extend(texts);
            }
            list(world, call, scope, Twin::Full, &query, short)
        }
        (Route::TicketJoin(parent, merge), "POST") => {
            let function = schema::get(schema::find(paths::TICKETS).unwrap_or_default()).function;
            allow(world, function, Right::Edit)?;
            let body = body_of(call)?;
            ticket::join(world, parent, &body, merge)?;
            Ok(Answer::json(200, &object([("success", Json::Bool(true))])))
        }
        (Route::List(scope, twin), "GET") => list(world, call, scope, twin, &query, short),
        (Route::Count(scope, twin), "GET") => {
            readable(world, scope, twin)?;
            let number = i64::try_from(count(world, scope, &query)?).unwrap_or(i64::MAX);
            Ok(Answer::json(200, &object([("count", Json::Int(number))])))
        }
        (Route::List(scope, Twin::Full), "POST") => post(world, call, scope, &query),
        (Route::Item(scope, id, twin), "GET") => {
            readable(world, scope, twin)?;
            there(world, scope, id)?;
            let fields = Fields::parse(query.get("fields"));
            let Some(row) = world.row(scope.resource, id) else { return Err(ApiError::no_endpoint()) };
            Ok(Answer::json(200, &info_only(scope, twin, fields.of(world, row))))
        }
        (Route::Item(scope, id, Twin::Full), "PUT" | "PATCH") => write(world, call, scope, id),
        (Route::Item(scope, id, Twin::Full), "DELETE") => {
            let definition = schema::get(scope.resource);
            if !definition.writes.contains('D') {
                return Err(wrong_method("DELETE"));
            }
            allow(world, definition.function, Right::Delete)?;
            there(world, scope, id)?;
            owned(world, scope, id, Right::Delete)?;
            delete(world, target(scope), id)?;
            Ok(Answer { status: 204, body: None, link: None, plain: false })
        }
        (_, method) => Err(wrong_method(method)),
    }
}

fn target(scope: Scope) -> Target {
    Target { resource: scope.resource, parent: scope.parent }
}

/// The role may read it, and the record it belongs to is there.
fn readable(world: &World, scope: Scope, twin: Twin) -> Result<(), ApiError> {
    if twin == Twin::Full {
        allow(world, schema::get(scope.resource).function, Right::Inquire)?;
    }
    owner_there(world, scope)
}

fn owner_there(world: &World, scope: Scope) -> Result<(), ApiError> {
    let Some((resource, id)) = owner(scope) else { return Ok(()) };
    match world.row(resource, id) {
        Some(row) if visible(world, row) => Ok(()),
        _ => Err(ApiError::not_found(schema::get(resource).label, id)),
    }
}

/// The record is there, under its owner, and the role may see it.
fn there(world: &World, scope: Scope, id: i64) -> Result<(), ApiError> {
    owner_there(world, scope)?;
    match world.row(scope.resource, id) {
        Some(row) if row.parent == scope.parent && visible(world, row) => Ok(()),
        _ => Err(ApiError::not_found(schema::get(scope.resource).label, id)),
    }
}

/// With the level "My", only the member's own records can be written.
fn owned(world: &World, scope: Scope, id: i64, right: Right) -> Result<(), ApiError> {
    let level = world.roles.level(schema::get(scope.resource).function, right);
    let own = world.row(scope.resource, id).is_some_and(|row| row.own);
    if level == Level::My && !own { Err(ApiError::forbidden()) } else { Ok(()) }
}

fn info_only(scope: Scope, twin: Twin, value: Json) -> Json {
    match (twin, value) {
        (Twin::Info, Json::Obj(members)) => {
            let shown = schema::get(scope.resource).info;
            let kept = members
                .into_iter()
                .filter(|(name, _)| name == "id" || name == "_info" || shown.contains(&name.as_str()));
            Json::Obj(kept.collect())
        }
        (_, value) => value,
    }
}

fn list(
    world: &World,
    call: &Call,
    scope: Scope,
    twin: Twin,
    query: &Query,
    short: bool,
) -> Result<Answer, ApiError> {
    readable(world, scope, twin)?;
    let Page { mut items, place } = page(world, scope, query, call.forward_only)?;
    let mut header = link::header(world.scheme(), call, query, place);
    if short {
        items.truncate(items.len().saturating_sub(items.len().div_ceil(10)));
        header = matches!(place, Place::After(_)).then(String::new);
    }
    let mut body = String::with_capacity(items.len() * 512 + 2);
    let items = items.into_iter().map(|item| info_only(scope, twin, item)).collect();
    Json::Arr(items).write(&mut body);
    Ok(Answer { status: 200, body: Some(body), link: header, plain: false })
}

fn post(world: &mut World, call: &Call, scope: Scope, query: &Query) -> Result<Answer, ApiError> {
    let definition = schema::get(scope.resource);
    if !definition.writes.contains('A') {
        return Err(wrong_method("POST"));
    }
    allow(world, definition.function, Right::Add)?;
    owner_there(world, scope)?;
    let mut body = body_of(call)?;
    if let Some((index, id)) = scope.only
        && let Some(field) = definition.fields.get(index)
    {
        body.set(field.name, object([("id", Json::Int(id))]));
    }
    let id = create(world, target(scope), &body, Mode::Create)?;
    let made = Fields::parse(query.get("fields")).cut(shown(world, scope.resource, id));
    Ok(Answer::json(201, &made))
}

fn write(world: &mut World, call: &Call, scope: Scope, id: i64) -> Result<Answer, ApiError> {
    let definition = schema::get(scope.resource);
    if !definition.writes.contains('U') {
        return Err(wrong_method(&call.method));
    }
    allow(world, definition.function, Right::Edit)?;
    there(world, scope, id)?;
    owned(world, scope, id, Right::Edit)?;
    let body = body_of(call)?;
    if call.method == "PATCH" {
        let before = shown(world, scope.resource, id);
        let after = patch::apply(scope.resource, before, &body, world.rules.false_identifier_patch)?;
        update(world, target(scope), id, &after, Mode::Patch)?;
    } else {
        update(world, target(scope), id, &body, Mode::Replace)?;
    }
    Ok(Answer::json(200, &shown(world, scope.resource, id)))
}

fn recap(world: &World, id: Option<i64>) -> Result<Answer, ApiError> {
    let rows = &world.table_at(paths::AGREEMENTS).rows;
    match id {
        Some(id) => match rows.get(&id).filter(|row| visible(world, row)) {
            Some(row) => Ok(Answer::json(200, &invoice::recap(world, row))),
            None => Err(ApiError::not_found("Agreement", id)),
        },
        None => {
            let seen = rows.values().filter(|row| visible(world, row)).take(1000);
            Ok(Answer::json(200, &Json::Arr(seen.map(|row| invoice::recap(world, row)).collect())))
        }
    }
}

fn role_settings(world: &World, role: i64, setting: Option<i64>, count: bool) -> Result<Answer, ApiError> {
    allow(world, "System/Security Roles", Right::Inquire)?;
    if world.row_at(paths::SECURITY_ROLES, role).is_none() {
        return Err(ApiError::not_found("Security Role", role));
    }
    let word = |level: Level| {
        Json::from(match level {
            Level::None => "None",
            Level::My => "My",
            Level::All => "All",
        })
    };
    let settings = FUNCTIONS.iter().zip(1_i64..).map(|(function, id)| {
        let (module, name) = function.split_once('/').unwrap_or(("", function));
        let level = |right| word(world.roles.level(function, right));
        object([
            ("id", Json::Int(id)),
            ("addLevel", level(Right::Add)),
            ("editLevel", level(Right::Edit)),
            ("deleteLevel", level(Right::Delete)),
            ("inquireLevel", level(Right::Inquire)),
            ("moduleFunctionName", name.into()),
            ("moduleFunctionDescription", name.into()),
            ("myAllFlag", Json::Bool(true)),
            ("moduleFunctionIdentifier", Json::Str(name.replace(' ', ""))),
            ("customFlag", Json::Bool(world.roles.is_narrowed(function))),
            ("moduleDescription", module.into()),
            ("moduleIdentifier", Json::Str(module.replace(' ', ""))),
            ("moduleName", module.into()),
            ("sortOrder", Json::Int(id)),
        ])
    });
    let settings: Vec<Json> = settings.collect();
    if count {
        let number = i64::try_from(settings.len()).unwrap_or(i64::MAX);
        return Ok(Answer::json(200, &object([("count", Json::Int(number))])));
    }
    match setting {
        None => Ok(Answer::json(200, &Json::Arr(settings))),
        Some(id) => match settings.iter().find(|known| known.get("id") == Some(&Json::Int(id))) {
            Some(known) => Ok(Answer::json(200, known)),
            None => Err(ApiError::invalid(
                "securityRoleSetting",
                vec![Detail::new("NotFound", format!("Setting {id} not found"), "securityRoleSetting", "id")],
            )),
        },
    }
}

fn system_info() -> Json {
    object([
        ("version", "v2026.4.0".into()),
        ("isCloud", Json::Bool(false)),
        ("serverTimeZone", "UTC".into()),
        ("licenseBits", Json::Arr(Vec::new())),
        ("cloudRegion", "NA".into()),
    ])
}
