//! People who sign in.

use crate::output::documents::instant;
use crate::serve::extract::Body;
use crate::serve::people;
use crate::serve::problem::Problem;
use crate::serve::rights::Role;
use crate::serve::state::{By, Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trueup_store::{Ends, Person};
use utoipa::ToSchema;

/// A person.
#[derive(Serialize, ToSchema)]
pub struct UserDoc {
    /// Id.
    id: String,
    /// E-mail address.
    email: String,
    /// Display name.
    name: String,
    /// The role's word.
    role: String,
    /// Whether the one-time password still has to be changed.
    must_change_password: bool,
    /// Whether the person may not sign in.
    disabled: bool,
    /// When the person was added.
    created_at: String,
    /// The one-time password; shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_time_password: Option<String>,
}

impl From<&Person> for UserDoc {
    fn from(person: &Person) -> Self {
        Self {
            id: person.id.clone(),
            email: person.email.clone(),
            name: person.name.clone(),
            role: person.role.clone(),
            must_change_password: person.must_change,
            disabled: person.disabled,
            created_at: instant(person.created_at),
            one_time_password: None,
        }
    }
}

/// People.
#[derive(Serialize, ToSchema)]
pub struct UsersDoc {
    /// By address.
    items: Vec<UserDoc>,
}

/// A new person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// E-mail address.
    #[schema(max_length = 254)]
    email: String,
    /// Display name; the address where it is missing.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// The role's word.
    role: String,
}

/// What can be changed about a person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// Display name.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// The role's word.
    role: Option<String>,
    /// Whether the person may not sign in.
    disabled: Option<bool>,
}

/// A role that the caller may give: nobody gives rights they do not have, and nobody becomes operator of one
/// organization.
fn given(role: &str, scope: &Scope) -> Result<Role, Problem> {
    let words: Vec<&str> = Role::ALL.iter().skip(1).map(|r| r.name()).collect();
    let role = Role::from_name(role)
        .filter(|role| *role != Role::Operator)
        .ok_or_else(|| Problem::field("role", format!("`{role}` is none of {}", words.join(", "))))?;
    if role.rights().is_subset(&scope.caller.rights) {
        Ok(role)
    } else {
        Err(Problem::forbidden("the role has rights that you do not have", "Give a lower role."))
    }
}

async fn find(service: &Service, scope: &Scope) -> Result<Person, Problem> {
    let id = scope.part("user");
    let found = service.store.find_person(id).await?;
    found.filter(|p| p.org.as_ref() == Some(&scope.org)).ok_or_else(|| Problem::none("user", id))
}

/// The people of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/users", tag = "users",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "People whose role holds in exactly this organization", body = UsersDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<UsersDoc>, Problem> {
    let people = service.store.list_people(Some(&scope.org)).await?;
    Ok(Json(UsersDoc { items: people.iter().map(UserDoc::from).collect() }))
}

/// Add a person
///
/// The answer has the one-time password, which is shown once and has to be changed at the first sign-in.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/users", tag = "users",
    params(("org" = String, Path, description = "The organization")), request_body = NewUser,
    responses((status = 201, description = "Added", body = UserDoc)))]
pub async fn add(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewUser>,
) -> Result<Response, Problem> {
    let role = given(&body.role, &scope)?;
    let name = body.name.map(|name| checked("name", &name, 200)).transpose()?;
    let email = people::address(&body.email).map_err(|reason| Problem::field("email", reason))?;
    let wanted = people::Wanted { org: Some(scope.org.clone()), email, name, role };
    let asked = format!("user/{}", wanted.email);
    let added = people::add(&service.store, &service.clock, scope.actor(), wanted).await;
    if added.as_ref().is_err_and(|problem| problem.status() == StatusCode::CONFLICT) {
        super::organizations::taken(&service, scope.actor(), &scope.org, asked).await?;
    }
    let (person, password) = added?;
    let document = UserDoc { one_time_password: Some(password), ..UserDoc::from(&person) };
    let location = format!("/api/v1/organizations/{}/users/{}", scope.org, person.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)).into_response())
}

/// Change a person
///
/// A changed role and a shut-out hold at once: the sessions of the person end.
#[utoipa::path(patch, path = "/api/v1/organizations/{org}/users/{user}", tag = "users",
    params(("org" = String, Path, description = "The organization"), ("user" = String, Path, description = "The person")),
    request_body = UserChange, responses((status = 200, description = "As it is now", body = UserDoc)))]
pub async fn change(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<UserChange>,
) -> Result<Json<UserDoc>, Problem> {
    let before = find(&service, &scope).await?;
    let mut after = before.clone();
    if let Some(name) = body.name {
        after.name = checked("name", &name, 200)?;
    }
    if let Some(role) = body.role {
        given(&role, &scope)?.name().clone_into(&mut after.role);
    }
    if let Some(disabled) = body.disabled {
        after.disabled = disabled;
    }
    let harder = after.role != before.role || after.disabled;
    if harder && before.id == scope.caller.id && matches!(scope.caller.by, By::Session(_)) {
        return Err(Problem::conflict(
            "nobody changes the own role or shuts themselves out",
            "Let another administrator do it.",
        ));
    }
    let show = |p: &Person| json!({ "name": p.name, "role": p.role, "disabled": p.disabled });
    let detail = json!({ "email": before.email, "before": show(&before), "after": show(&after) });
    let entry = service.entry(scope.actor(), "user.change", format!("user/{}", before.id), &detail);
    let ends = if harder { Ends::Sessions } else { Ends::Nothing };
    if !service.store.update_person(&before, &after, ends, (&scope.org, &entry)).await? {
        return Err(people::changed_meanwhile());
    }
    Ok(Json(UserDoc::from(&after)))
}

/// Give a new one-time password
///
/// Ends all sessions of the person.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/users/{user}/reset", tag = "users",
    params(("org" = String, Path, description = "The organization"), ("user" = String, Path, description = "The person")),
    responses((status = 200, description = "With the one-time password, shown once", body = UserDoc)))]
pub async fn reset(State(service): State<Service>, scope: Scope) -> Result<Json<UserDoc>, Problem> {
    let person = find(&service, &scope).await?;
    let of_person = Role::from_name(&person.role).map(Role::rights).unwrap_or_default();
    if !of_person.is_subset(&scope.caller.rights) {
        return Err(Problem::forbidden(
            "the person has rights that you do not have",
            "Ask somebody who has them.",
        ));
    }
    let (person, password) =
        people::reset(&service.store, &service.clock, scope.actor(), person, &scope.org).await?;
    Ok(Json(UserDoc { one_time_password: Some(password), ..UserDoc::from(&person) }))
}
