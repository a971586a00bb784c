//! The forms that values have to have, for the document: what the handlers refuse beyond what a type can say. One table,
//! since the same word, day or id means the same in every route.

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::KnownFormat;
use utoipa::openapi::{Object, OpenApi, RefOr, Schema, SchemaFormat};

/// A form.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Something to read: neither empty nor with control characters.
    Text,
    /// The name of a source.
    Source,
    /// Anything but nothing.
    Some,
    /// One of these.
    Word(&'static str),
    /// Any of these, separated by commas, or none.
    Words(&'static str),
    /// A day.
    Day,
    /// A moment.
    Instant,
    /// The id of something in ConnectWise, or a count.
    Id,
    /// Rows of a page.
    Rows,
    /// Where a page begins, as the list gave it.
    Cursor,
    /// An e-mail address.
    Email,
    /// An address of the web.
    Address,
    /// What a header of keys takes.
    Printable,
}

const TEXT: &str = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$";
const PRINTABLE: &str = "^[ -~]*[!-~][ -~]*$";
const MAPPINGS: &str = "customer|product|agreement|fee|addition";
const ADOPT: &str = "propose|take_single|create_beside";
const ALERT_SEVERITIES: &str = "critical|error|warning|info";
const ROLES: &str = "admin|partner_operator|billing|read_only";

use Form::{
    Address, Cursor, Day, Email, Id, Instant, Printable, Rows, Some as Any, Source, Text, Word, Words,
};

/// Of queries and headers: the method where one alone is meant and how the path ends (`*` for all), the parameter, its form.
const PARAMETERS: &[(&str, &str, Form)] = &[
    ("*", "cursor", Cursor),
    ("*", "limit", Rows),
    ("*", super::kept::HEADER, Printable),
    ("/alerts", "state", Word("open|acknowledged|cleared|all")),
    ("/alerts/rules", "kind", Text),
    ("/alerts/rules", "severity", Word(ALERT_SEVERITIES)),
    ("/alerts/places", "board", Id),
    ("/activity", "about", Word("alert|ticket|quantity|finding")),
    ("/audit", "since", Instant),
    ("/audit", "until", Instant),
    (
        "/feed",
        "from",
        Word("feed|focus|cloudblue-connect|cloudblue-simpleapi|mailprotector|anchor|c3-history"),
    ),
    (
        "/feed",
        "type",
        Word(
            "organization|customer|contact|product|subscription|order|usage|counter|invoice|payment|alert|snapshot",
        ),
    ),
    ("/feed", "source", Text),
    ("/findings", "state", Words("open|muted|ignored|resolved|recurred")),
    ("/findings", "severity", Word("info|warning|error")),
    ("GET /mappings", "kind", Words(MAPPINGS)),
    ("DELETE /mappings", "kind", Word(MAPPINGS)),
    ("DELETE /mappings", "source", Source),
    ("/mappings", "source_id", Any),
    ("/mappings/history", "kind", Word(MAPPINGS)),
    ("/mappings/history", "source_id", Any),
    ("/mappings/release", "kind", Word(MAPPINGS)),
    ("/mappings/release", "source_id", Any),
    ("/mappings/import", "source", Source),
    ("/mappings/export", "source", Source),
    ("/mappings/suggestions", "source", Source),
    ("/mappings/choices", "source", Source),
    ("/mappings/history", "source", Source),
    ("/mappings/release", "source", Source),
    ("/quantity/entries", "source", Source),
    ("GET /companies", "source", Source),
    ("/quantity/entries", "kind", Word("service|product|customer|line")),
    ("/quantity/entries", "customer", Text),
    (
        "/tasks",
        "state",
        Words("new|needs_mapping|ready|planned|applying|done|failed|in_doubt|ignored|blocked"),
    ),
    ("/tasks", "kind", Words("sales|change|billing|cancellation|renewal|transfer|reconciliation")),
    ("/tasks", "completed_after", Day),
    ("/tasks", "completed_before", Day),
    ("/tasks", "sort", Word("-?(completed|moved|customer|subscription|state)")),
];

/// Of bodies: the schema, the field, its form.
const FIELDS: &[(&str, &str, Form)] = &[
    ("Acceptance", "source", Source),
    ("ChosenCustomer", "source", Source),
    ("CompanyImport", "source", Source),
    ("CountedCustomer", "source", Source),
    ("NewCounterpart", "source", Source),
    ("NewMapping", "source", Source),
    ("NewQuantityPick", "source", Source),
    ("NewQuantityRule", "source", Source),
    ("NewQuantityTicks", "source", Source),
    ("NewRelease", "source", Source),
    ("NewServiceAssignment", "source", Source),
    ("AcceptedItem", "kind", Word("customer|product")),
    ("AcceptedItem", "source_id", Text),
    ("CountedCustomer", "customer", Text),
    ("FindingDecision", "until", Day),
    ("LineEditDoc", "effective", Day),
    ("LineEditDoc", "cancelled", Day),
    ("NewAlertRule", "kind", Text),
    ("NewAlertRule", "severity", Word(ALERT_SEVERITIES)),
    ("NewAlertTest", "kind", Text),
    ("NewAlertTest", "severity", Word(ALERT_SEVERITIES)),
    ("NewAlertTest", "company_id", Id),
    ("NewConnection", "name", Text),
    ("NewConnection", "url", Address),
    ("NewConnection", "company", Text),
    ("NewConnection", "public_key", Text),
    ("NewConnection", "private_key", Text),
    ("NewConnection", "client_id", Text),
    ("NewCounterpart", "kind", Word("customer|product|agreement")),
    ("NewCounterpart", "source_id", Text),
    ("NewCounterpart", "name", Text),
    ("NewCounterpart", "identifier", Text),
    ("NewCounterpart", "agreement_type", Text),
    ("NewKeys", "private_key", Text),
    ("NewKeys", "public_key", Text),
    ("NewKeys", "client_id", Text),
    ("NewMapping", "kind", Word(MAPPINGS)),
    ("NewMapping", "source_id", Text),
    ("NewOrganization", "name", Text),
    ("NewQuantityComparison", "customers", Any),
    ("NewQuantityPick", "customer", Text),
    ("NewQuantityRule", "customer", Text),
    ("NewQuantityRule", "product", Text),
    ("NewQuantityTicks", "customer", Text),
    ("NewRelease", "kind", Word(MAPPINGS)),
    ("NewRelease", "reason", Text),
    ("NewRun", "kind", Word("check|pull|apply|sync")),
    ("NewRun", "adopt", Word(ADOPT)),
    ("NewRun", "since", Day),
    ("NewServiceAssignment", "service", Text),
    ("NewServiceAssignment", "customer", Text),
    ("NewServiceAssignment", "product", Text),
    ("NewToken", "name", Text),
    ("NewUser", "email", Email),
    ("NewUser", "name", Text),
    ("NewUser", "role", Word(ROLES)),
    ("NewValidation", "customers", Any),
    ("NewValidation", "adopt", Word(ADOPT)),
    ("NewWebhook", "name", Text),
    ("NewWebhook", "url", Address),
    ("OrganizationChange", "name", Text),
    ("PlanWish", "tasks", Any),
    ("PlanWish", "adopt", Word(ADOPT)),
    ("PlanWish", "price_source", Word("marketplace|connectwise")),
    ("ReconcileWish", "start", Day),
    ("ReconcileWish", "end", Day),
    ("UndoWish", "tasks", Any),
    ("UndoWish", "additions", Any),
    ("UserChange", "name", Text),
    ("UserChange", "role", Word(ROLES)),
    ("WebhookChange", "name", Text),
    ("WebhookChange", "url", Address),
];

fn is_meant(end: &str, method: &str, path: &str) -> bool {
    let (only, end) = end.split_once(' ').unwrap_or((method, end));
    only == method && (end == "*" || path.ends_with(end))
}

/// Says the forms of a route's parameters.
pub fn of_parameters(method: &str, path: &str, operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        let form =
            PARAMETERS.iter().find(|(end, name, _)| *name == parameter.name && is_meant(end, method, path));
        if let (Some((_, _, form)), Some(RefOr::T(schema))) = (form, parameter.schema.as_mut()) {
            say(*form, schema);
        }
    }
}

/// Says the forms of the fields of bodies.
pub fn of_bodies(document: &mut OpenApi) {
    let schemas = &mut document.components.get_or_insert_default().schemas;
    for (name, field, form) in FIELDS {
        let Some(RefOr::T(Schema::Object(object))) = schemas.get_mut(*name) else { continue };
        if let Some(RefOr::T(schema)) = object.properties.get_mut(*field) {
            say(*form, schema);
        }
    }
}

fn say(form: Form, schema: &mut Schema) {
    // Nothing in the tables is put together of several schemas.
    if let Schema::Object(object) = schema {
        say_of_one(form, object);
    } else if let Schema::Array(array) = schema {
        array.min_items = Some(1);
    }
}

fn say_of_one(form: Form, object: &mut Object) {
    match form {
        Form::Text => object.pattern = Some(TEXT.to_owned()),
        Form::Source => {
            object.pattern = Some(TEXT.to_owned());
            object.max_length = Some(100);
        }
        Form::Printable => object.pattern = Some(PRINTABLE.to_owned()),
        Form::Some => object.min_length = Some(1),
        Form::Word(words) => object.pattern = Some(format!("^({words})$")),
        Form::Words(words) => object.pattern = Some(format!("^(({words})(,({words}))*)?$")),
        Form::Day => object.format = Some(SchemaFormat::KnownFormat(KnownFormat::Date)),
        Form::Instant => object.format = Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)),
        Form::Id => object.minimum = Some(1.into()),
        Form::Rows => {
            object.minimum = Some(1.into());
            object.maximum = Some(super::page::MOST.into());
        }
        Form::Cursor => object.pattern = Some("^[A-Za-z0-9_-]+$".to_owned()),
        Form::Email => object.format = Some(SchemaFormat::KnownFormat(KnownFormat::Email)),
        Form::Address => object.format = Some(SchemaFormat::Custom("uri".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row about a field that was renamed would say nothing, and nobody would notice.
    #[test]
    fn every_row_is_about_something_that_is_there() {
        let document = crate::serve::docs::document();
        let json = serde_json::to_value(&document).unwrap();
        for (name, field, _) in FIELDS {
            let there = &json["components"]["schemas"][name]["properties"][field];
            assert!(there.is_object(), "{name}.{field}");
        }
        for (end, name, _) in PARAMETERS {
            let there = json["paths"].as_object().unwrap().iter().any(|(path, item)| {
                item.as_object().unwrap().iter().any(|(method, operation)| {
                    let parameters = operation["parameters"].as_array();
                    is_meant(end, &method.to_uppercase(), path)
                        && parameters.into_iter().flatten().any(|parameter| parameter["name"] == *name)
                })
            });
            assert!(there, "{end} {name}");
        }
    }

    /// The words of the tables are those that the code knows.
    #[test]
    fn the_words_are_those_of_the_code() {
        use trueup_domain::alert::AlertSeverity;
        let roles: Vec<&str> = crate::serve::rights::Role::ALL.iter().skip(1).map(|r| r.name()).collect();
        assert_eq!(ROLES, roles.join("|"));
        assert!(ALERT_SEVERITIES.split('|').all(|word| AlertSeverity::from_name(word).is_some()));
    }
}
