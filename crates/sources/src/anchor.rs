//! Anchor, which is Axcient x360Sync: its accounts, storage and file servers, counted. Answers of its API (version 2)
//! saved as files in any order: organizations, persons of each, activity.
//!
//! Lists are `{"results": […], "total": n}`; rows are told apart by their `type`. Instants come without a zone and are UTC.
//!
//! Rules, where the API leaves a choice:
//! - An organization is a customer; its parent is the customer above it. Its figures are its own, without those below.
//! - `accounts` is the number of its persons, `storage` the bytes that they use, `file-server` 1 where its policy enables a
//!   file server and 0 where it does not.
//! - Accounts and storage are told only of an organization whose persons were read whole. One whose list is not there, or
//!   not whole, counts nothing, which is no count of 0.
//! - A list of persons with none in it and a total of 0 is whole: its name says of which organization (`persons.101.json`).
//! - A row of the activity is an alert: its kind is what was done, its subject what it was done to. Two rows of the same
//!   organization, type and subject have one key.

use crate::answers;
use crate::fields::{self, Fault, INCOMPLETE, REFUSED};
use crate::input;
use crate::json::{Kind, Room, Value};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use trueup_domain::feed::{Alert, Counter, Ext, Record};
use trueup_domain::ids::{CustomerId, ProductId};
use trueup_domain::money::{MoneyError, Quantity};
use trueup_engine::ports::Refusal;

/// The service of accounts.
pub(crate) const ACCOUNTS: &str = "accounts";
/// The service of storage.
pub(crate) const STORAGE: &str = "storage";
/// The service of file servers.
pub(crate) const FILE_SERVER: &str = "file-server";

/// The records of saved answers.
pub(crate) fn records(
    files: &[PathBuf],
    as_of: Option<Timestamp>,
) -> impl Iterator<Item = Result<Record, Refusal>> + Send + use<> {
    answers::together(files.to_vec(), World::default(), World::read, move |world| world.into_results(as_of))
}

struct Organization {
    name: String,
    parent: Option<String>,
    file_server: Option<bool>,
}

/// The persons of one organization.
#[derive(Default)]
struct Persons {
    file: String,
    seen: BTreeSet<String>,
    bytes: Quantity,
    total: usize,
    broken: bool,
}

#[derive(Default)]
struct World {
    organizations: BTreeMap<String, Organization>,
    persons: BTreeMap<String, Persons>,
    alerts: BTreeMap<String, Alert>,
    said: Vec<Refusal>,
}

impl World {
    fn read(&mut self, path: &Path) {
        let text = match answers::text_of(path) {
            Ok(text) => text,
            Err(refusal) => return self.said.push(refusal),
        };
        let file = input::shown_name(path);
        let mut room = Room::default();
        let value = match room.parse(&text) {
            Ok(value) => value,
            Err(error) => {
                let line = crate::feed::line_of(&text, error.at, 1);
                let reason =
                    format!("the file is not good JSON: {}; save the answer again, whole", error.what);
                return self.said.push(crate::refusal(&file, line, REFUSED, reason));
            }
        };
        let Some(results) = value.get("results").filter(|results| results.kind() == Kind::Array) else {
            let reason =
                "this is no list of Anchor; an answer that says an error counts nothing. Save the list again";
            return self.said.push(crate::refusal(&file, 1, REFUSED, reason.to_owned()));
        };
        let total = value.get("total").and_then(|total| total.raw().parse::<usize>().ok());
        let mut of_file: BTreeSet<String> = BTreeSet::new();
        for row in results.children() {
            let taken = self.row(row, &file).map(|organization| of_file.extend(organization));
            if let Err(fault) = taken {
                let line = crate::feed::line_of(&text, fault.at, 1);
                let refusal = crate::refusal(&file, line, fault.code, fault.reason);
                self.said.push(Refusal { field: Some(fault.field).filter(|f| !f.is_empty()), ..refusal });
            }
        }
        // Without a person in it, its name says of which organization it is: `persons.101.json`.
        if results.children().next().is_none() && total.is_some() {
            let stem = answers::stem(path);
            if let Some(id) = stem.strip_prefix("persons.") {
                file.clone_into(&mut self.persons.entry(id.to_owned()).or_default().file);
                of_file.insert(id.to_owned());
            }
        }
        // A list of persons is of one organization; its total counts all pages of it.
        for organization in of_file {
            if let Some(persons) = self.persons.get_mut(&organization) {
                persons.total = persons.total.max(total.unwrap_or(0));
            }
        }
    }

    /// Takes a row in; returns the organization whose persons it belongs to.
    fn row(&mut self, row: Value<'_>, file: &str) -> Result<Option<String>, Fault> {
        match row.text_at(&["type"]).as_deref() {
            Some("organization") => self.organization(row).map(|()| None),
            Some("person") => self.person(row, file).map(Some),
            Some("activity") => self.activity(row).map(|()| None),
            Some(_) | None => {
                Err(Fault::of(row, "this is neither an organization nor a person nor an activity of Anchor"))
            }
        }
    }

    fn organization(&mut self, row: Value<'_>) -> Result<(), Fault> {
        let id = fields::req(row, "id", answers::id)?;
        let enabled = row.at(&["policy", "file_server_enabled"]).map(fields::boolean).transpose()?;
        let organization = Organization {
            name: fields::req(row, "name", fields::text)?,
            parent: fields::opt(row, "parent_id", answers::id)?,
            file_server: enabled,
        };
        self.organizations.insert(id, organization);
        Ok(())
    }

    fn person(&mut self, row: Value<'_>, file: &str) -> Result<String, Fault> {
        let of = fields::req(row, "company_id", answers::id)?;
        let persons = self.persons.entry(of.clone()).or_default();
        file.clone_into(&mut persons.file);
        let read = fields::req(row, "id", answers::id).and_then(|id| {
            let bytes = fields::opt(row, "space_usage", fields::quantity)?.unwrap_or_default();
            Ok((id, bytes))
        });
        match read {
            Ok((id, bytes)) => {
                if persons.seen.insert(id) {
                    let sum = persons.bytes.plus(bytes);
                    persons.bytes = sum.map_err(|error: MoneyError| Fault::of(row, error.to_string()))?;
                }
                Ok(of)
            }
            Err(fault) => {
                // One that cannot be read would be missing in both figures.
                persons.broken = true;
                Err(fault)
            }
        }
    }

    fn activity(&mut self, row: Value<'_>) -> Result<(), Fault> {
        let id = fields::req(row, "id", answers::id)?;
        let customer = fields::req(row, "acted_on_company_id", answers::id)?;
        let kind = fields::req(row, "action_text", fields::filled)?;
        let subject = row.text_at(&["acted_on_text"]).map(|text| text.into_owned());
        let detail = row.text_at(&["data_text"]).map(|text| text.into_owned());
        let of_type = fields::opt(row, "activity_type_id", answers::id)?.unwrap_or_else(|| kind.clone());
        let about = subject.clone().unwrap_or_default();
        let summary = if about.is_empty() { kind.clone() } else { format!("{kind}: {about}") };
        let alert = Alert {
            key: Some(format!("anchor:{customer}:{of_type}:{about}")),
            customer: CustomerId::from(customer),
            at: fields::req(row, "created", utc)?,
            state: "open".to_owned(),
            severity: None,
            id: id.clone(),
            kind,
            summary,
            subject,
            detail,
            ext: Ext::default(),
        };
        self.alerts.insert(id, alert);
        Ok(())
    }

    /// Why the persons of an organization do not count; none where they were read whole.
    fn not_whole(&self, id: &str) -> Option<Refusal> {
        let Some(persons) = self.persons.get(id) else {
            let reason = format!(
                "organization {id} has no list of persons; its accounts and its storage are not counted. Save it as well"
            );
            return Some(Refusal { warning: true, ..crate::refusal("", 0, INCOMPLETE, reason) });
        };
        let read = persons.seen.len();
        if read >= persons.total && !persons.broken {
            return None;
        }
        let reason = if persons.broken {
            format!(
                "persons of organization {id} cannot be read; its accounts and its storage are not counted"
            )
        } else {
            format!(
                "organization {id} has {} persons, and {read} of them were read; its accounts and its storage are not \
                 counted. Save the other pages as well",
                persons.total
            )
        };
        Some(crate::refusal(&persons.file, 1, INCOMPLETE, reason))
    }

    fn counters(&mut self, at: Timestamp) -> Vec<Counter> {
        let counter = |customer: &str, service: &str, unit: Option<&str>, value: Quantity| Counter {
            customer: CustomerId::from(customer),
            product: ProductId::from(service),
            value,
            as_of: at.to_string(),
            unit: unit.map(str::to_owned),
            ext: Ext::default(),
        };
        let mut counters = Vec::new();
        let known: BTreeSet<String> = self.organizations.keys().chain(self.persons.keys()).cloned().collect();
        for id in known {
            let organization = self.organizations.get(&id);
            if let Some(enabled) = organization.and_then(|organization| organization.file_server) {
                counters.push(counter(&id, FILE_SERVER, None, Quantity::from(i64::from(enabled))));
            }
            if let Some(refusal) = self.not_whole(&id) {
                self.said.push(refusal);
                continue;
            }
            let Some(persons) = self.persons.get(&id) else { continue };
            let accounts = i64::try_from(persons.seen.len()).unwrap_or(i64::MAX);
            counters.push(counter(&id, ACCOUNTS, Some("account"), Quantity::from(accounts)));
            counters.push(counter(&id, STORAGE, Some("bytes"), persons.bytes));
        }
        counters
    }

    fn into_results(mut self, as_of: Option<Timestamp>) -> Vec<Result<Record, Refusal>> {
        let counts = !self.organizations.is_empty() || !self.persons.is_empty();
        let counters = match as_of {
            Some(at) => self.counters(at),
            None => Vec::new(),
        };
        if as_of.is_none() && counts {
            let reason = "nobody says when it was counted; name the instant of the answers";
            self.said.push(crate::refusal("", 0, REFUSED, reason.to_owned()));
        }
        let mut results: Vec<Result<Record, Refusal>> = self.said.into_iter().map(Err).collect();
        let customers =
            self.organizations.into_iter().map(|(id, found)| answers::customer(id, found.name, found.parent));
        results.extend(customers.map(|customer| Ok(Record::Customer(customer))));
        if counts {
            let services = [
                answers::service(ACCOUNTS, "# of Accounts", "account"),
                answers::service(STORAGE, "Total Storage", "bytes"),
                answers::service(FILE_SERVER, "File Server Enablement", "organization"),
            ];
            results.extend(services.map(|service| Ok(Record::Product(service))));
        }
        results.extend(counters.into_iter().map(|counter| Ok(Record::Counter(counter))));
        results.extend(self.alerts.into_values().map(|alert| Ok(Record::Alert(alert))));
        results
    }
}

/// An instant without a zone, which is UTC.
fn utc(value: Value<'_>) -> Result<String, Fault> {
    let text = value.as_text().unwrap_or_default();
    let with_zone = format!("{text}Z");
    if crate::time::parse_instant(&with_zone).is_some() {
        return Ok(with_zone);
    }
    fields::instant_text(value)
}
