//! The records in memory.
//!
//! A row holds only what a caller set or a rule decided; everything that follows from other fields is computed when
//! it is shown, and references are held as ids, so a renamed company shows its new name everywhere at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::civil::Date;
use rust_decimal::Decimal;

use crate::clock::{Clock, day_of};
use crate::events::Message;
use crate::json::Json;
use crate::ledger::BilledInvoice;
use crate::roles::Roles;
use crate::rules::Rules;
use crate::schema::{self, Resource, ResourceId};
use crate::view::MEMBER;

/// The values of a record, by position in the definition table.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Which resource it is of.
    pub resource: ResourceId,
    values: Vec<(u8, Json)>,
}

impl Record {
    /// An empty record.
    pub(crate) fn new(resource: ResourceId) -> Self {
        Record { resource, values: Vec::new() }
    }

    /// The definition.
    pub(crate) fn definition(&self) -> &'static Resource {
        schema::get(self.resource)
    }

    /// A stored value by position.
    pub(crate) fn at(&self, index: usize) -> Option<&Json> {
        self.values.iter().find(|(known, _)| usize::from(*known) == index).map(|(_, value)| value)
    }

    /// A stored value by name.
    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        self.at(self.definition().field(name)?.0)
    }

    /// Sets a value; null takes it away.
    pub(crate) fn set(&mut self, name: &str, value: Json) {
        if let Some((index, _)) = self.definition().field(name) {
            self.put(index, value);
        }
    }

    /// Sets a value by position; null takes it away.
    pub(crate) fn put(&mut self, index: usize, value: Json) {
        let Ok(index) = u8::try_from(index) else { return };
        self.values.retain(|(known, _)| *known != index);
        if value != Json::Null {
            self.values.push((index, value));
        }
    }

    /// Sets a value unless there is one.
    pub(crate) fn default(&mut self, name: &str, value: Json) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// The text of a field.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Json::as_str)
    }

    /// The day of a date field.
    pub(crate) fn day(&self, name: &str) -> Option<Date> {
        self.text(name).and_then(day_of)
    }

    /// A boolean field; absent is false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Json::as_bool).unwrap_or(false)
    }

    /// A number field; absent is zero.
    pub(crate) fn number(&self, name: &str) -> Decimal {
        self.get(name).and_then(Json::as_decimal).unwrap_or_default()
    }

    /// The id of a reference field.
    pub(crate) fn link(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Json::Int(id)) => Some(*id),
            _ => None,
        }
    }
}

/// A record with its place and history.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The id.
    pub id: i64,
    /// The owner's id, 0 for none.
    pub parent: i64,
    /// The values.
    pub record: Record,
    /// When it was made, in seconds.
    pub entered_at: i64,
    /// When it was last written, in seconds.
    pub updated_at: i64,
    /// Made through the API, so owned by the API member for the level "My".
    pub own: bool,
    /// Who made it and who wrote it last, where that was a person.
    people: (Option<Arc<str>>, Option<Arc<str>>),
}

impl Row {
    /// Who made it.
    pub(crate) fn entered_by(&self) -> &str {
        self.people.0.as_deref().unwrap_or(MEMBER)
    }

    /// Who wrote it last.
    pub(crate) fn updated_by(&self) -> &str {
        self.people.1.as_deref().unwrap_or(MEMBER)
    }
}

/// The records of one resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// The rows by id.
    pub rows: BTreeMap<i64, Row>,
    last_id: i64,
    keys: HashMap<String, i64>,
    children: HashMap<i64, BTreeSet<i64>>,
}

impl Table {
    /// The ids owned by a parent, in order.
    pub(crate) fn owned_by(&self, parent: i64) -> impl DoubleEndedIterator<Item = i64> + '_ {
        self.children.get(&parent).into_iter().flatten().copied()
    }

    /// The rows owned by a parent, in order.
    pub(crate) fn rows_of(&self, parent: i64) -> impl Iterator<Item = &Row> + '_ {
        self.owned_by(parent).filter_map(|id| self.rows.get(&id))
    }

    fn insert(&mut self, row: Row) {
        self.remove(row.id);
        self.last_id = self.last_id.max(row.id);
        if let Some(key) = key_of(&row.record) {
            self.keys.insert(key, row.id);
        }
        if row.parent != 0 {
            self.children.entry(row.parent).or_default().insert(row.id);
        }
        self.rows.insert(row.id, row);
    }

    fn remove(&mut self, id: i64) -> Option<Row> {
        let row = self.rows.remove(&id)?;
        if let Some(key) = key_of(&row.record)
            && self.keys.get(&key) == Some(&id)
        {
            self.keys.remove(&key);
        }
        if let Some(siblings) = self.children.get_mut(&row.parent) {
            siblings.remove(&id);
        }
        Some(row)
    }
}

fn key_of(record: &Record) -> Option<String> {
    record.text(record.definition().key?).map(str::to_lowercase)
}

/// Everything the sandbox holds.
#[derive(Clone, Debug)]
pub(crate) struct World {
    tables: Vec<Table>,
    /// The time.
    pub clock: Clock,
    /// The switches.
    pub rules: Rules,
    /// What the API member may do.
    pub roles: Roles,
    /// What was billed, line by line.
    ledger: BTreeMap<i64, Vec<BilledInvoice>>,
    /// Root of the links in `_info`, without the last slash.
    pub base_url: String,
    /// The login company.
    pub company: String,
    /// Callbacks that the call under way has raised; the server sends them when it is done.
    pub outbox: Vec<Message>,
    /// How many callbacks were raised.
    pub messages: u64,
    /// The person that the call under way is made by; none for the API member.
    pub person: Option<Arc<str>>,
}

impl World {
    /// An empty world.
    pub(crate) fn new(clock: Clock) -> Self {
        World {
            tables: vec![Table::default(); schema::all().len()],
            clock,
            rules: Rules::default(),
            roles: Roles::default(),
            ledger: BTreeMap::new(),
            base_url: String::new(),
            company: String::new(),
            outbox: Vec::new(),
            messages: 0,
            person: None,
        }
    }

    /// Who makes the call under way.
    pub(crate) fn actor(&self) -> &str {
        self.person.as_deref().unwrap_or(MEMBER)
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &str {
        self.base_url.split_once("://").map_or("http", |(scheme, _)| scheme)
    }

    /// The records of a resource.
    pub(crate) fn table(&self, resource: ResourceId) -> &Table {
        &self.tables[resource]
    }

    /// The records of a resource by its path; the path is one of the table's own.
    pub(crate) fn table_at(&self, path: &str) -> &Table {
        &self.tables[schema::find(path).unwrap_or_default()]
    }

    /// A row.
    pub(crate) fn row(&self, resource: ResourceId, id: i64) -> Option<&Row> {
        self.tables[resource].rows.get(&id)
    }

    /// A row by the path of its resource.
    pub(crate) fn row_at(&self, path: &str, id: i64) -> Option<&Row> {
        self.table_at(path).rows.get(&id)
    }

    /// A record by the path of its resource.
    pub(crate) fn record_at(&self, path: &str, id: Option<i64>) -> Option<&Record> {
        self.row_at(path, id?).map(|row| &row.record)
    }

    /// The id of the record with this unique text.
    pub(crate) fn by_key(&self, resource: ResourceId, key: &str) -> Option<i64> {
        self.tables[resource].keys.get(&key.to_lowercase()).copied()
    }

    /// The record a setup table marks as its default, else its first.
    pub(crate) fn default_of(&self, path: &str) -> Option<i64> {
        let rows = &self.table_at(path).rows;
        rows.values()
            .find(|row| row.record.flag("defaultFlag"))
            .or_else(|| rows.values().next())
            .map(|row| row.id)
    }

    /// Adds a record under the next id, or under one that is given.
    pub(crate) fn insert(&mut self, record: Record, parent: i64, id: Option<i64>, own: bool) -> i64 {
        let now = self.clock.now().as_second();
        let resource = record.resource;
        let id = id.unwrap_or(self.tables[resource].last_id + 1);
        let own = own && self.person.is_none();
        let people = (self.person.clone(), self.person.clone());
        let row = Row { id, parent, record, entered_at: now, updated_at: now, own, people };
        self.tables[resource].insert(row);
        id
    }

    /// Replaces the values of a record and moves its `lastUpdated`.
    pub(crate) fn replace(&mut self, id: i64, record: Record) {
        let now = self.clock.now().as_second();
        let table = &mut self.tables[record.resource];
        if let Some(mut row) = table.remove(id) {
            row.record = record;
            row.updated_at = now;
            row.people.1.clone_from(&self.person);
            table.insert(row);
        }
    }

    /// Moves the `lastUpdated` of a record whose values stay.
    pub(crate) fn touch(&mut self, resource: ResourceId, id: i64) {
        let now = self.clock.now().as_second();
        if let Some(row) = self.tables[resource].rows.get_mut(&id) {
            row.updated_at = now;
            row.people.1.clone_from(&self.person);
        }
    }

    /// Changes single values of a record without moving its `lastUpdated`.
    pub(crate) fn adjust(&mut self, path: &str, id: i64, change: impl FnOnce(&mut Record)) {
        let Some(resource) = schema::find(path) else { return };
        if let Some(row) = self.tables[resource].rows.get_mut(&id) {
            change(&mut row.record);
        }
    }

    /// Takes a record away.
    pub(crate) fn remove(&mut self, resource: ResourceId, id: i64) -> Option<Row> {
        self.tables[resource].remove(id)
    }

    /// The agreement invoices of one agreement, oldest first.
    pub(crate) fn billed(&self, agreement: i64) -> &[BilledInvoice] {
        self.ledger.get(&agreement).map_or(&[], Vec::as_slice)
    }

    /// Every agreement invoice.
    pub(crate) fn all_billed(&self) -> impl Iterator<Item = &BilledInvoice> {
        self.ledger.values().flatten()
    }

    /// Adds an agreement invoice to the ledger.
    pub(crate) fn bill(&mut self, billed: BilledInvoice) {
        self.ledger.entry(billed.agreement).or_default().push(billed);
    }

    /// Takes an agreement's newest invoice off the ledger.
    pub(crate) fn unbill_newest(&mut self, agreement: i64) -> Option<BilledInvoice> {
        self.ledger.get_mut(&agreement)?.pop()
    }

    /// Sets when a record was last written; for seeds.
    pub(crate) fn set_updated_at(&mut self, resource: ResourceId, id: i64, second: i64) {
        if let Some(row) = self.tables[resource].rows.get_mut(&id) {
            row.updated_at = second;
            row.entered_at = row.entered_at.min(second);
        }
    }
}
