//! Pages of long lists: filtered, sorted and cut by the database.

use crate::store::SqlStore;
use crate::{db, error};
use sea_orm::{DbBackend, Value};
use trueup_domain::feed::RecordKind;
use trueup_domain::ids::{AdditionId, OrganizationId, SourceId};
use trueup_domain::mapping::MappingKind;
use trueup_domain::task::{Task, TaskKind};
use trueup_engine::ports::StoreError;
use trueup_engine::records::{AuditEntry, Millis, NewAuditEntry, StoredRecord, TaskFilter};

/// What tasks are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskOrder {
    /// When the order was completed.
    #[default]
    Completed,
    /// When the task last moved.
    Saved,
    /// The customer.
    Customer,
    /// The subscription.
    Subscription,
    /// The state's word.
    State,
}

impl TaskOrder {
    fn column(self) -> &'static str {
        match self {
            Self::Completed => "completed_us",
            Self::Saved => "saved_at",
            Self::Customer => "customer",
            Self::Subscription => "subscription",
            Self::State => "state",
        }
    }

    fn is_number(self) -> bool {
        match self {
            Self::Completed | Self::Saved => true,
            Self::Customer | Self::Subscription | Self::State => false,
        }
    }
}

/// Which page of the tasks is wanted.
#[derive(Clone, Debug, Default)]
pub struct TaskPage {
    /// The filter of lists.
    pub filter: TaskFilter,
    /// Of these kinds; empty means all.
    pub kinds: Vec<TaskKind>,
    /// Text in the ids of task, order, customer or subscription, or in the name of the customer or its company.
    pub search: Option<String>,
    /// Last moved since.
    pub saved_since: Option<Millis>,
    /// Of orders completed at this instant or later, and before that one, in microseconds since 1970.
    pub completed: (Option<i64>, Option<i64>),
    /// Sorted by.
    pub order: TaskOrder,
    /// The greatest first.
    pub descending: bool,
    /// After this value and id.
    pub after: Option<(String, String)>,
    /// How many at most.
    pub limit: u32,
}

/// Which page of the records of one kind is wanted.
#[derive(Clone, Debug)]
pub struct RecordPage {
    /// The kind.
    pub kind: RecordKind,
    /// Of this source.
    pub source: Option<SourceId>,
    /// Text in the record.
    pub search: Option<String>,
    /// Whether a mapping of this kind names it, or none does.
    pub mapped: Option<(MappingKind, bool)>,
    /// After this source and id.
    pub after: Option<(String, String)>,
    /// How many at most.
    pub limit: u32,
}

/// Which page of the audit is wanted; the newest entries come first.
#[derive(Clone, Debug, Default)]
pub struct AuditPage {
    /// Of this addition.
    pub addition: Option<AdditionId>,
    /// By this person or program.
    pub actor: Option<String>,
    /// With an action that begins so, such as `setting.`.
    pub action: Option<String>,
    /// About what begins so, such as `mapping/`.
    pub object: Option<String>,
    /// At this instant or later, and before that one.
    pub at: (Option<Millis>, Option<Millis>),
    /// Text in object, actor or detail.
    pub search: Option<String>,
    /// Before this number.
    pub before: Option<i64>,
    /// How many at most.
    pub limit: u32,
}

/// Conditions that grow with what is asked for, and the values bound to them.
pub(crate) struct Wanted {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

impl Wanted {
    pub(crate) fn of(org: &OrganizationId) -> Self {
        Self { sql: "org = $1".to_owned(), values: vec![org.as_str().into()] }
    }

    /// The parameter that the value is bound to.
    pub(crate) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    pub(crate) fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    pub(crate) fn equal(&mut self, column: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            let at = self.bind(value);
            self.and(&format!("{column} = {at}"));
        }
    }

    pub(crate) fn one_of(&mut self, column: &str, values: impl IntoIterator<Item = String>) {
        let bound: Vec<String> = values.into_iter().map(|value| self.bind(value)).collect();
        if !bound.is_empty() {
            self.and(&format!("{column} IN ({})", bound.join(", ")));
        }
    }

    /// Any of the columns holds the text, whatever the case of its letters.
    pub(crate) fn holds(&mut self, columns: &[&str], text: Option<&str>) {
        let Some(pattern) = pattern_of(text) else { return };
        let at = self.bind(pattern);
        let any: Vec<String> = columns.iter().map(|c| format!("LOWER({c}) LIKE {at} ESCAPE '\\'")).collect();
        self.and(&format!("({})", any.join(" OR ")));
    }

    /// The condition that a name holds the text, whatever the case of its letters.
    ///
    /// Databases may know the case of ASCII letters alone. So a name is compared in small letters, in capital ones, and with
    /// its other letters as they were typed: `müller` finds Müller and MÜLLER.
    fn name_holds(&mut self, name: &str, text: &str) -> String {
        let ways = [
            ("LOWER", text.to_lowercase()),
            ("UPPER", text.to_uppercase()),
            ("LOWER", text.to_ascii_lowercase()),
        ];
        let any = ways.map(|(case, text)| {
            let at = self.bind(pattern(&text));
            format!("{case}({name}) LIKE {at} ESCAPE '\\'")
        });
        format!("({})", any.join(" OR "))
    }
}

/// What is looked for; none where that is nothing.
fn wanted_text(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

/// The pattern of texts that hold this one, in small letters; none where nothing is looked for.
fn pattern_of(text: Option<&str>) -> Option<String> {
    wanted_text(text).map(|text| pattern(&text.to_lowercase()))
}

/// The pattern of texts that hold this one.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// A field of the document, as text.
pub(crate) fn field(store: &SqlStore, name: &str) -> String {
    match store.db.get_database_backend() {
        DbBackend::Sqlite => format!("json_extract(doc, '$.{name}')"),
        _ => format!("(CAST(doc AS json) ->> '{name}')"),
    }
}

/// A field of a part of the document, as text.
pub(crate) fn within(store: &SqlStore, part: &str, name: &str) -> String {
    match store.db.get_database_backend() {
        DbBackend::Sqlite => format!("json_extract(doc, '$.{part}.{name}')"),
        _ => format!("(CAST(doc AS json) -> '{part}' ->> '{name}')"),
    }
}

impl SqlStore {
    /// An id of the task holds the text, or the name of its customer, or that of the company that the customer is mapped to.
    /// Names are looked up where they are kept, so that they are found as they are now.
    fn task_holds(&self, wanted: &mut Wanted, text: &str) {
        let at = wanted.bind(pattern(&text.to_lowercase()));
        let customer = wanted.name_holds(&within(self, "customer", "name"), text);
        let company = wanted.name_holds(&field(self, "name"), text);
        let mapped_to = field(self, "psa_id");
        wanted.and(&format!(
            "(search LIKE {at} ESCAPE '\\' \
             OR (source, customer) IN (SELECT source, id FROM record WHERE org = $1 AND kind = 'customer' AND {customer}) \
             OR (source, customer) IN (SELECT source, source_id FROM mapping WHERE org = $1 AND kind = 'customer' \
             AND CAST({mapped_to} AS BIGINT) IN \
             (SELECT id FROM picture_part WHERE org = $1 AND kind = 'company' AND {company})))"
        ));
    }

    /// A page of tasks, each with the value it is sorted by.
    ///
    /// # Errors
    /// The database's.
    pub async fn page_tasks(
        &self,
        org: &OrganizationId,
        page: &TaskPage,
    ) -> Result<Vec<(Task, String)>, StoreError> {
        let mut wanted = Wanted::of(org);
        let filter = &page.filter;
        wanted.one_of("state", filter.states.iter().map(|s| s.name().to_owned()));
        wanted.one_of("id", filter.ids.iter().map(ToString::to_string));
        wanted.one_of("kind", page.kinds.iter().map(|k| k.name().to_owned()));
        wanted.equal("customer", filter.customer.as_deref());
        wanted.equal("subscription", filter.subscription.as_deref());
        wanted.equal("source", filter.source.as_ref().map(SourceId::as_str));
        if let Some(text) = wanted_text(page.search.as_deref()) {
            self.task_holds(&mut wanted, text);
        }
        if let Some(since) = page.saved_since {
            let at = wanted.bind(since);
            wanted.and(&format!("saved_at >= {at}"));
        }
        for (instant, compared) in [(page.completed.0, ">="), (page.completed.1, "<")] {
            if let Some(instant) = instant {
                let at = wanted.bind(instant);
                wanted.and(&format!("completed_us {compared} {at}"));
            }
        }
        let column = page.order.column();
        let (sign, way) = if page.descending { ("<", "DESC") } else { (">", "ASC") };
        if let Some((value, id)) = &page.after {
            let value = if page.order.is_number() {
                wanted.bind(value.parse::<i64>().unwrap_or(0))
            } else {
                wanted.bind(value.as_str())
            };
            let id = wanted.bind(id.as_str());
            wanted.and(&format!("({column}, id) {sign} ({value}, {id})"));
        }
        let limit = wanted.bind(i64::from(page.limit));
        // The documents are read of the tasks of the page alone. Left to itself, SQLite takes the index of states and
        // reads every row in it: a second, with 100,000 tasks.
        let index = if self.is_embedded() { "INDEXED BY task_list" } else { "" };
        let sql = format!(
            "SELECT CAST(task.{column} AS TEXT) AS sorted_by, task.doc AS doc FROM task JOIN (\
             SELECT id AS wanted FROM task {index} WHERE {} ORDER BY {column} {way}, id {way} LIMIT {limit}) AS page \
             ON task.id = page.wanted WHERE task.org = $1 ORDER BY task.{column} {way}, task.id {way}",
            wanted.sql
        );
        let rows = db::query(&self.db, &sql, wanted.values).await?;
        rows.iter()
            .map(|row| {
                let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
                let sorted_by: String = row.try_get("", "sorted_by").map_err(error::of_db)?;
                Ok((db::from_doc("a task", &doc)?, sorted_by))
            })
            .collect()
    }

    /// A page of the newest versions of records, in the order of source and id, each with its id.
    ///
    /// # Errors
    /// The database's.
    pub async fn page_records(
        &self,
        org: &OrganizationId,
        page: &RecordPage,
    ) -> Result<Vec<(StoredRecord, String)>, StoreError> {
        let mut wanted = Wanted::of(org);
        wanted.equal("kind", Some(page.kind.name()));
        wanted.equal("source", page.source.as_ref().map(SourceId::as_str));
        wanted.holds(&["id", "doc"], page.search.as_deref());
        if let Some((kind, is_mapped)) = page.mapped {
            let kind = wanted.bind(kind.name());
            let not = if is_mapped { "" } else { "NOT " };
            wanted.and(&format!(
                "{not}EXISTS (SELECT 1 FROM mapping m WHERE m.org = record.org AND m.kind = {kind} \
                 AND m.source = record.source AND m.source_id = record.id)"
            ));
        }
        if let Some((source, id)) = &page.after {
            let (source, id) = (wanted.bind(source.as_str()), wanted.bind(id.as_str()));
            wanted.and(&format!("(source, id) > ({source}, {id})"));
        }
        let limit = wanted.bind(i64::from(page.limit));
        let sql = format!(
            "SELECT source, id, version, received_at, doc FROM record WHERE {} ORDER BY source, id LIMIT {limit}",
            wanted.sql
        );
        let rows = db::query(&self.db, &sql, wanted.values).await?;
        rows.iter()
            .map(|row| {
                let doc: String = row.try_get("", "doc").map_err(error::of_db)?;
                let version: i64 = row.try_get("", "version").map_err(error::of_db)?;
                let record = StoredRecord {
                    source: SourceId::from(row.try_get::<String>("", "source").map_err(error::of_db)?),
                    record: db::from_doc("a record", &doc)?,
                    version: u32::try_from(version).unwrap_or(0),
                    received_at: row.try_get("", "received_at").map_err(error::of_db)?,
                };
                Ok((record, row.try_get("", "id").map_err(error::of_db)?))
            })
            .collect()
    }

    /// What came from each source: how many records of each kind, and when the last one came.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_sources(
        &self,
        org: &OrganizationId,
    ) -> Result<Vec<(SourceId, String, u64, Millis)>, StoreError> {
        let sql = "SELECT source, kind, COUNT(*) AS n, MAX(received_at) AS last FROM record WHERE org = $1 \
                   GROUP BY source, kind ORDER BY source, kind";
        let rows = db::query(&self.db, sql, [org.as_str().into()]).await?;
        rows.iter()
            .map(|row| {
                let count: i64 = row.try_get("", "n").map_err(error::of_db)?;
                Ok((
                    SourceId::from(row.try_get::<String>("", "source").map_err(error::of_db)?),
                    row.try_get("", "kind").map_err(error::of_db)?,
                    u64::try_from(count).unwrap_or(0),
                    row.try_get("", "last").map_err(error::of_db)?,
                ))
            })
            .collect()
    }

    /// A page of the audit, the newest entries first.
    ///
    /// # Errors
    /// The database's.
    pub async fn page_audit(
        &self,
        org: &OrganizationId,
        page: &AuditPage,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let mut wanted = Wanted::of(org);
        wanted.equal("addition", page.addition.map(|a| a.0));
        wanted.equal("actor", page.actor.as_deref());
        for (column, begins) in [("action", &page.action), ("object", &page.object)] {
            if let Some(begins) = begins {
                let (from, to) = (wanted.bind(begins.as_str()), wanted.bind(format!("{begins}\u{10ffff}")));
                wanted.and(&format!("{column} >= {from} AND {column} < {to}"));
            }
        }
        for (instant, compared) in [(page.at.0, ">="), (page.at.1, "<")] {
            if let Some(instant) = instant {
                let at = wanted.bind(instant);
                wanted.and(&format!("at {compared} {at}"));
            }
        }
        wanted.holds(&["object", "actor", "detail"], page.search.as_deref());
        if let Some(before) = page.before {
            let at = wanted.bind(before);
            wanted.and(&format!("number < {at}"));
        }
        let limit = wanted.bind(i64::from(page.limit));
        let sql = format!(
            "SELECT number, at, actor, action, object, addition, detail, previous_hash, hash FROM audit \
             WHERE {} ORDER BY number DESC LIMIT {limit}",
            wanted.sql
        );
        let rows = db::query(&self.db, &sql, wanted.values).await?;
        rows.iter()
            .map(|row| {
                let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
                let number = |name: &str| row.try_get::<i64>("", name).map_err(error::of_db);
                let addition: Option<i64> = row.try_get("", "addition").map_err(error::of_db)?;
                Ok(AuditEntry {
                    number: number("number")?,
                    entry: NewAuditEntry {
                        at: number("at")?,
                        actor: text("actor")?,
                        action: text("action")?,
                        object: text("object")?,
                        addition: addition.map(AdditionId),
                        detail: text("detail")?,
                    },
                    previous_hash: text("previous_hash")?,
                    hash: text("hash")?,
                })
            })
            .collect()
    }
}
