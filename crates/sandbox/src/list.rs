//! List calls: which rows, in which order, which page, which members.

use crate::conditions::{self, ConditionError};
use crate::error::{ApiError, Detail};
use crate::json::Json;
use crate::roles::{Level, Right};
use crate::schema::{self, Kind, ResourceId, paths};
use crate::store::{Row, World};
use crate::view::{Access, member_any_case, read, render, resolve, value};

/// Rows of a page when a call does not say.
const DEFAULT_PAGE: usize = 25;
/// Most rows of a page; a larger wish is cut to it without a word.
const MAX_PAGE: usize = 1000;

/// The query of a call, decoded; names are compared without case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(pub Vec<(String, String)>);

impl Query {
    /// Decodes a query string.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = url::form_urlencoded::parse(text.as_bytes());
        Query(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A parameter with something in it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Which rows a call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// The resource.
    pub resource: ResourceId,
    /// The owner, 0 for none.
    pub parent: i64,
    /// Only rows whose reference field is this: field position and id.
    pub only: Option<(usize, i64)>,
}

/// One page and where it stands.
#[derive(Debug)]
pub(crate) struct Page {
    /// The records.
    pub items: Vec<Json>,
    /// What the `Link` header is made of.
    pub place: Place,
}

/// Where a page stands among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Page by number: this page and the last one.
    Numbered(usize, usize),
    /// Forward only: the id to go on after, if there is more.
    After(Option<i64>),
}

/// How many records there are.
pub(crate) fn count(world: &World, scope: Scope, query: &Query) -> Result<usize, ApiError> {
    let filter = Filter::new(scope.resource, query)?;
    let function = schema::get(scope.resource).function;
    let all_seen = world.roles.level(function, Right::Inquire) == Level::All
        && world.roles.hidden_agreement_types.is_empty();
    if all_seen && filter.is_open() && scope.only.is_none() && scope.parent == 0 {
        return Ok(world.table(scope.resource).rows.len());
    }
    Ok(rows(world, scope).filter(|row| scope.takes(world, row) && filter.takes(world, row)).count())
}

/// One page of records.
pub(crate) fn page(world: &World, scope: Scope, query: &Query, forward: bool) -> Result<Page, ApiError> {
    let filter = Filter::new(scope.resource, query)?;
    let wanted = Fields::parse(query.get("fields"));
    let size = number(query, "pageSize")?.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let matching = |row: &&Row| scope.takes(world, row) && filter.takes(world, row);
    if forward {
        if query.get("orderBy").is_some() {
            return Err(bad("orderBy", "orderBy cannot be used with forward-only pagination."));
        }
        let after = number(query, "pageId")?.unwrap_or(0);
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let mut found: Vec<&Row> = rows_after(world, scope, after).filter(matching).take(size + 1).collect();
        let more = found.len() > size;
        found.truncate(size);
        let next = found.last().filter(|_| more).map(|row| row.id);
        let items = found.into_iter().map(|row| wanted.of(world, row)).collect();
        return Ok(Page { items, place: Place::After(next) });
    }
    let mut found: Vec<&Row> = rows(world, scope).filter(matching).collect();
    if let Some(order) = query.get("orderBy") {
        sort(world, scope.resource, &mut found, order)?;
    }
    let last = found.len().div_ceil(size).max(1);
    let page = number(query, "page")?.unwrap_or(1).max(1);
    let start = (page - 1).saturating_mul(size);
    let items = found.into_iter().skip(start).take(size).map(|row| wanted.of(world, row)).collect();
    Ok(Page { items, place: Place::Numbered(page, last) })
}

/// A record found by a list or a read, as far as the role lets it be seen.
pub(crate) fn visible(world: &World, row: &Row) -> bool {
    let definition = row.record.definition();
    if world.roles.level(definition.function, Right::Inquire) == Level::My && !row.own {
        return false;
    }
    let hidden = &world.roles.hidden_agreement_types;
    if hidden.is_empty() {
        return true;
    }
    let agreement = match definition.path {
        paths::AGREEMENTS => Some(&row.record),
        paths::ADDITIONS | paths::ADJUSTMENTS => world.record_at(paths::AGREEMENTS, Some(row.parent)),
        _ => None,
    };
    let kind =
        agreement.and_then(|agreement| world.record_at(paths::AGREEMENT_TYPES, agreement.link("type")));
    !kind.and_then(|kind| kind.text("name")).is_some_and(|name| hidden.iter().any(|known| known == name))
}

impl Scope {
    fn takes(&self, world: &World, row: &Row) -> bool {
        self.only.is_none_or(|(index, id)| row.record.at(index) == Some(&Json::Int(id)))
            && visible(world, row)
    }
}

fn rows(world: &World, scope: Scope) -> Box<dyn Iterator<Item = &Row> + '_> {
    rows_after(world, scope, 0)
}

fn rows_after(world: &World, scope: Scope, after: i64) -> Box<dyn Iterator<Item = &Row> + '_> {
    let table = world.table(scope.resource);
    if schema::get(scope.resource).parent_path().is_some() {
        return Box::new(table.rows_of(scope.parent).filter(move |row| row.id > after));
    }
    Box::new(table.rows.range(after.saturating_add(1)..).map(|(_, row)| row))
}

fn number(query: &Query, name: &str) -> Result<Option<usize>, ApiError> {
    match query.get(name) {
        None => Ok(None),
        Some(text) => match text.parse::<usize>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(bad(name, &format!("{name} must be a whole number."))),
        },
    }
}

fn bad(field: &str, message: &str) -> ApiError {
    ApiError::invalid(field, vec![Detail::new("InvalidField", message, field, field)])
}

/// The three kinds of conditions of one call.
struct Filter {
    plain: Option<conditions::Bound<Access>>,
    child: Option<(usize, conditions::Bound<Vec<String>>)>,
    custom: Option<conditions::Bound<String>>,
}

impl Filter {
    fn new(resource: ResourceId, query: &Query) -> Result<Self, ApiError> {
        let parsed = |name: &str| query.get(name).map(conditions::parse).transpose();
        // The vendor's guide gives `in` to plain conditions alone.
        let without_lists = |name: &str| match parsed(name) {
            Ok(Some(condition)) if condition.asks_for_lists() => {
                Err(ConditionError::Syntax(format!("The operator in is not supported by {name}.")))
            }
            other => other,
        };
        let plain = parsed("conditions")
            .and_then(|found| found.map(|c| conditions::bind(c, &|path| resolve(resource, path))).transpose())
            .map_err(|error| condition_error("conditions", &error))?;
        let child = without_lists("childConditions")
            .and_then(|found| found.map(|condition| bind_child(resource, condition)).transpose())
            .map_err(|error| condition_error("childConditions", &error))?;
        let custom = without_lists("customFieldConditions")
            .and_then(|found| found.map(|c| conditions::bind(c, &custom_field_name)).transpose())
            .map_err(|error| condition_error("customFieldConditions", &error))?;
        Ok(Filter { plain, child, custom })
    }

    fn is_open(&self) -> bool {
        self.plain.is_none() && self.child.is_none() && self.custom.is_none()
    }

    fn takes(&self, world: &World, row: &Row) -> bool {
        let definition = row.record.definition();
        if let Some(plain) = &self.plain
            && !conditions::matches(plain, &|access| read(world, row, access))
        {
            return false;
        }
        if let Some((index, child)) = &self.child {
            let items = children(world, row, *index);
            let met = |item: &Json| {
                conditions::matches(child, &|path| {
                    let found = path.iter().try_fold(item, |at, name| member_any_case(at, name));
                    found.cloned().unwrap_or(Json::Null)
                })
            };
            if !items.iter().any(met) {
                return false;
            }
        }
        if let Some(custom) = &self.custom {
            let found = definition.field("customFields").and_then(|(index, _)| value(world, row, index));
            let items = found.as_deref().and_then(Json::as_array).unwrap_or_default();
            let met = |item: &Json| {
                conditions::matches(custom, &|name| item.get(name).cloned().unwrap_or(Json::Null))
            };
            if !items.iter().any(met) {
                return false;
            }
        }
        true
    }
}

/// The items of an array field, references written out.
fn children(world: &World, row: &Row, index: usize) -> Vec<Json> {
    let Some(field) = row.record.definition().fields.get(index) else { return Vec::new() };
    let shown = render(world, row, &|name| name == field.name);
    shown.get(field.name).and_then(Json::as_array).unwrap_or_default().to_vec()
}

fn custom_field_name(name: &str) -> Option<String> {
    let known = ["id", "caption", "type", "entryMethod", "value"];
    known.iter().find(|known| known.eq_ignore_ascii_case(name)).map(|known| (*known).to_owned())
}

/// Child conditions speak about the items of one array; all of a condition must hold for the same item.
fn bind_child(
    resource: ResourceId,
    condition: conditions::Condition<String>,
) -> Result<(usize, conditions::Bound<Vec<String>>), ConditionError> {
    let found = std::cell::Cell::new(None);
    let bound = conditions::bind(condition, &|path: &str| {
        let (head, rest) = path.split_once('/')?;
        let (index, field) = schema::get(resource).field_any_case(head)?;
        let array = matches!(field.kind, Kind::Opaque | Kind::RefList(_));
        if !array || found.get().is_some_and(|known| known != index) {
            return None;
        }
        found.set(Some(index));
        Some(rest.split('/').map(str::to_owned).collect())
    })?;
    match found.get() {
        Some(index) => Ok((index, bound)),
        None => Err(ConditionError::Syntax("The condition names no child.".into())),
    }
}

fn condition_error(parameter: &str, error: &ConditionError) -> ApiError {
    let field = match error {
        ConditionError::UnknownField(name) => name,
        ConditionError::Syntax(_) => parameter,
    };
    let details = vec![Detail::new("InvalidField", error.to_string(), parameter, field)];
    ApiError::invalid(parameter, details)
}

fn sort(world: &World, resource: ResourceId, rows: &mut Vec<&Row>, order: &str) -> Result<(), ApiError> {
    let mut keys = Vec::new();
    for part in order.split(',') {
        let mut words = part.split_whitespace();
        let (name, direction) = (words.next().unwrap_or_default(), words.next().unwrap_or("asc"));
        let access = resolve(resource, name)
            .ok_or_else(|| bad("orderBy", &format!("{name} cannot be ordered by.")))?;
        let falling = match direction.to_ascii_lowercase().as_str() {
            "asc" => false,
            "desc" => true,
            other => return Err(bad("orderBy", &format!("{other} is not asc or desc."))),
        };
        keys.push((access, falling));
    }
    let mut keyed: Vec<(Vec<Json>, &Row)> = rows
        .drain(..)
        .map(|row| (keys.iter().map(|(access, _)| read(world, row, access)).collect(), row))
        .collect();
    keyed.sort_by(|(left, _), (right, _)| {
        let mut pairs = left.iter().zip(right).zip(&keys);
        pairs
            .find_map(|((left, right), (_, falling))| {
                let order = rank(left, right);
                let order = if *falling { order.reverse() } else { order };
                (order != std::cmp::Ordering::Equal).then_some(order)
            })
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    rows.extend(keyed.into_iter().map(|(_, row)| row));
    Ok(())
}

fn rank(left: &Json, right: &Json) -> std::cmp::Ordering {
    match (left, right) {
        (Json::Null, Json::Null) => std::cmp::Ordering::Equal,
        (Json::Null, _) => std::cmp::Ordering::Less,
        (_, Json::Null) => std::cmp::Ordering::Greater,
        (Json::Str(left), Json::Str(right)) => left.to_lowercase().cmp(&right.to_lowercase()),
        (Json::Bool(left), Json::Bool(right)) => left.cmp(right),
        _ => left.as_decimal().cmp(&right.as_decimal()),
    }
}

/// The members a call wants to see.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<Vec<String>>);

impl Fields {
    /// Reads `fields=id,company/name`; empty means everything.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let names = text.unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
        Fields(names.map(|name| name.split('/').map(str::to_lowercase).collect()).collect())
    }

    /// A row, cut to the members.
    pub(crate) fn of(&self, world: &World, row: &Row) -> Json {
        if self.0.is_empty() {
            return render(world, row, &|_| true);
        }
        let top = |name: &str| {
            self.0.iter().any(|path| path.first().is_some_and(|first| first.eq_ignore_ascii_case(name)))
        };
        self.cut(render(world, row, &top))
    }

    /// A value, cut to the members.
    pub(crate) fn cut(&self, value: Json) -> Json {
        if self.0.is_empty() {
            return value;
        }
        let paths: Vec<&[String]> = self.0.iter().map(Vec::as_slice).collect();
        cut(value, &paths)
    }
}

fn cut(value: Json, paths: &[&[String]]) -> Json {
    match value {
        Json::Obj(members) => {
            let mut kept = Vec::new();
            for (name, inner) in members {
                let below: Vec<&[String]> = paths
                    .iter()
                    .filter(|path| path.first().is_some_and(|first| first.eq_ignore_ascii_case(&name)))
                    .map(|path| &path[1..])
                    .collect();
                if below.is_empty() {
                    continue;
                }
                let whole = below.iter().any(|path| path.is_empty());
                kept.push((name, if whole { inner } else { cut(inner, &below) }));
            }
            Json::Obj(kept)
        }
        Json::Arr(items) => Json::Arr(items.into_iter().map(|item| cut(item, paths)).collect()),
        other => other,
    }
}
