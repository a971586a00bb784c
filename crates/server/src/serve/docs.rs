//! The OpenAPI document: made from the handlers, completed with what the gate does to every request.

use super::problem::ProblemDocument;
use super::rules::{self, Access, Kind};
use super::state::Service;
use super::{api, gate};
use super::{forms, kept};
use axum::Router;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder, Type};
use utoipa::{OpenApi as _, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "trueup",
        description = "Keeps ConnectWise agreements true to what was sold.\n\nErrors are problem documents (RFC 9457). \
                       Lists are cut into pages: pass `next_cursor` as `cursor`. An organization that is out of the \
                       caller's reach is answered like one that does not exist. Amounts are decimals in strings."
    ),
    components(schemas(ProblemDocument))
)]
struct Document;

/// The routes, without what the gate adds, and their document.
pub fn routes() -> (Router<Service>, OpenApi) {
    let (router, mut document) =
        OpenApiRouter::with_openapi(Document::openapi()).merge(api::routes()).split_for_parts();
    complete(&mut document);
    (router, document)
}

/// The document alone.
pub fn document() -> OpenApi {
    routes().1
}

fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    components.schemas.insert(ProblemDocument::name().into_owned(), ProblemDocument::schema());
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("trueup_session")));
    components.security_schemes.insert("session".to_owned(), RefOr::T(cookie));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    components.security_schemes.insert("token".to_owned(), RefOr::T(bearer));
    forms::of_bodies(document);
    for (path, item) in &mut document.paths.paths {
        let operations = [
            ("GET", &mut item.get),
            ("PUT", &mut item.put),
            ("POST", &mut item.post),
            ("DELETE", &mut item.delete),
            ("PATCH", &mut item.patch),
        ];
        for (method, operation) in operations {
            if let Some(operation) = operation.as_mut() {
                complete_operation(method, path, operation);
            }
        }
    }
}

/// Ends of paths that answer only where there is a connection, or what was read by one.
const NEEDS_CONNECTWISE: &[&str] = &[
    "/alerts/places",
    "/companies",
    "/companies/search",
    "/mappings/suggestions",
    "/quantity",
    "/quantity/lines",
];
/// Ends of paths that speak with ConnectWise before they answer.
const CALLS_CONNECTWISE: &[&str] = &[
    "/plans",
    "/undo",
    "/alerts/places",
    "/alerts/rules",
    "/alerts/test",
    "/mappings/create",
    "/quantity/assignments",
    "/quantity/preview",
];

fn complete_operation(method: &str, path: &str, operation: &mut Operation) {
    let Some(rule) = rules::find(method, path) else { return };
    // Handlers of different nouns go by the same name; ids of operations may not.
    let noun = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    operation.operation_id = operation.operation_id.take().map(|id| format!("{noun}_{id}"));
    let is_safe = method == "GET";
    let mut statuses = vec![(400, "The request cannot be read"), (500, "An error of the service")];
    statuses.push((503, "The database is out of reach, or it took too long"));
    let right = match rule.access {
        Access::Public => None,
        Access::Known => Some(None),
        Access::Scoped(right) | Access::Somewhere(right) => Some(Some(right)),
    };
    if !is_safe {
        statuses.extend([
            (403, "Not allowed, or not sent by the console"),
            (409, "Not possible at present"),
            (413, "The body is too long"),
            (415, "Not the media type the route takes"),
        ]);
    }
    statuses.push((422, "A value cannot be used"));
    statuses.push((401, "Not signed in"));
    if let Some(right) = right {
        operation.security = Some(vec![
            SecurityRequirement::new("session", Vec::<String>::new()),
            SecurityRequirement::new("token", Vec::<String>::new()),
        ]);
        if let Some(right) = right {
            statuses.extend([(403, "The right is missing"), (404, "There is none in the caller's reach")]);
            let text = operation.description.take().unwrap_or_default();
            operation.description =
                Some(format!("{text}\n\nNeeds the right `{}`.", right.name()).trim().to_owned());
        }
    } else {
        operation.security = Some(Vec::new());
        statuses.push((429, "Too many attempts"));
    }
    if NEEDS_CONNECTWISE.iter().any(|end| path.ends_with(end)) {
        statuses.push((409, "Nothing is known of ConnectWise yet, or there is no connection"));
    }
    if path.contains("connection") || CALLS_CONNECTWISE.iter().any(|end| path.ends_with(end)) {
        statuses.push((502, "ConnectWise refused, or is out of reach"));
    }
    for (status, words) in statuses {
        operation.responses.responses.entry(status.to_string()).or_insert_with(|| problem(words));
    }
    let parameters = operation.parameters.get_or_insert_default();
    if rule.kind == Kind::Makes {
        let words = "The same request with the same key is carried out once, and answered again for a day";
        parameters.push(header(kept::HEADER, words, Some(255)));
    }
    if !is_safe && right.is_some() {
        // Without a length: with a token nobody looks at it.
        parameters.push(header(
            gate::CSRF_HEADER,
            "The session's `csrf_token`; not needed with a token",
            None,
        ));
    }
    forms::of_parameters(method, path, operation);
}

fn problem(words: &str) -> RefOr<utoipa::openapi::Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name()))).build();
    RefOr::T(ResponseBuilder::new().description(words).content("application/problem+json", content).build())
}

fn header(name: &str, words: &str, longest: Option<usize>) -> RefOr<Parameter> {
    let schema = ObjectBuilder::new().schema_type(Type::String).max_length(longest);
    RefOr::T(
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(words))
            .schema(Some(schema))
            .build(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn operations() -> BTreeSet<(String, String)> {
        let document = document();
        let mut all = BTreeSet::new();
        for (path, item) in &document.paths.paths {
            for (method, operation) in [
                ("GET", &item.get),
                ("PUT", &item.put),
                ("POST", &item.post),
                ("DELETE", &item.delete),
                ("PATCH", &item.patch),
            ] {
                if operation.is_some() {
                    all.insert((method.to_owned(), path.clone()));
                }
            }
        }
        all
    }

    #[test]
    fn every_route_has_a_rule_and_every_rule_a_route() {
        let rules: BTreeSet<(String, String)> =
            rules::RULES.iter().map(|r| (r.method.to_owned(), r.path.to_owned())).collect();
        assert_eq!(operations(), rules);
        assert_eq!(rules.len(), rules::RULES.len(), "a route has two rules");
    }

    #[test]
    fn what_changes_something_is_no_get_and_needs_a_right_to_write() {
        for rule in rules::RULES {
            if let Access::Scoped(right) | Access::Somewhere(right) = rule.access {
                let writes = right.name().ends_with(".write");
                // A question that is too long for an address.
                let asks = rule.path.ends_with("/names");
                assert_eq!(rule.method != "GET" && !asks, writes, "{rule:?}");
            }
        }
    }

    /// Clients are generated by these names: two operations of one name would take each other's answers.
    #[test]
    fn no_two_operations_have_one_id() {
        let document = document();
        let mut seen = std::collections::BTreeSet::new();
        for (path, item) in &document.paths.paths {
            for operation in
                [&item.get, &item.put, &item.post, &item.delete, &item.patch].into_iter().flatten()
            {
                let id = operation.operation_id.clone().unwrap_or_default();
                assert!(!id.is_empty() && seen.insert(id.clone()), "{path}: {id}");
            }
        }
    }
}
