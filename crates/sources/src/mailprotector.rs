//! Mailprotector: its users, counted. Answers of its API saved as files in any order, with the `X-Pagination` header of a
//! list beside it in a file of the same name that ends in `.headers`. Pages of one list are `NAME.p1.json`, `NAME.p2.json`.
//!
//! Lists are bare arrays and are told apart by their content: users name a `user_type`, domains a customer, customers a
//! reseller or provider.
//!
//! Rules, where the API leaves a choice:
//! - A service is a group of users: what is enabled is enabled for a group. Its id is the name of the group.
//! - A user counts once; an alias (a user with a `parent`, or of the type `Alias`) does not.
//! - A user belongs to the customer of its domain. Where no list of domains says whose a domain is, and only one customer
//!   is given, it is that customer's; else the domain is refused.
//! - A count is told only where it is whole: all pages of a domain, and all domains of its customer. One that is not whole
//!   is no smaller count, but none.
//! - A list without a user counts where its headers say that it has 0: its name says of which domain it is
//!   (`users.domain7.json`, or `users.alder.example.json`).
//! - Of a customer that was read whole, a group without users counts 0. Which groups there are is told by the users of all
//!   customers, and by a list of user groups (`user_groups….json`), where the last user of one may have gone.

use crate::answers::{self, stem};
use crate::fields::{self, Fault, INCOMPLETE, REFUSED};
use crate::input;
use crate::json::{Kind, Room, Value};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use trueup_domain::feed::{Counter, Ext, Record};
use trueup_domain::ids::{CustomerId, ProductId};
use trueup_domain::money::Quantity;
use trueup_engine::ports::Refusal;

/// What names of lists of user groups begin with.
const GROUPS: &str = "user_groups";
/// What names of lists of users begin with.
const USERS: &str = "users";

/// Rows of a page of a list, where nothing else is said.
const PAGE: usize = 25;

/// The records of saved answers.
pub(crate) fn records(
    files: &[PathBuf],
    as_of: Option<Timestamp>,
) -> impl Iterator<Item = Result<Record, Refusal>> + Send + use<> {
    answers::together(files.to_vec(), World::default(), World::read, move |world| world.into_results(as_of))
}

/// What one list of users held.
#[derive(Default)]
struct Users {
    file: String,
    rows: usize,
    domains: BTreeSet<String>,
}

#[derive(Default)]
struct World {
    customers: BTreeMap<String, String>,
    /// Of each domain its customer.
    domains: BTreeMap<String, String>,
    domain_names: BTreeMap<String, String>,
    lists: BTreeMap<String, Users>,
    totals: BTreeMap<String, usize>,
    /// Lists of users of which a page was empty, with its file.
    empty: BTreeMap<String, String>,
    /// Of each domain and group the users that count.
    users: BTreeMap<(String, String), BTreeSet<String>>,
    groups: BTreeSet<String>,
    /// Domains of which a list was read, though maybe not whole.
    read: BTreeSet<String>,
    incomplete: BTreeSet<String>,
    said: Vec<Refusal>,
}

impl World {
    fn read(&mut self, path: &Path) {
        let text = match answers::text_of(path) {
            Ok(text) => text,
            Err(refusal) => return self.said.push(refusal),
        };
        if path.extension().is_some_and(|extension| extension == "headers") {
            return self.headers(path, &text);
        }
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
        if value.kind() != Kind::Array {
            let reason = "this is no list of Mailprotector; an answer that says an error counts nothing. Save the list \
                          again";
            return self.said.push(crate::refusal(&file, 1, REFUSED, reason.to_owned()));
        }
        if value.children().next().is_none() && stem(path).starts_with(USERS) {
            self.empty.insert(stem(path), file.clone());
        }
        for row in value.children() {
            if let Err(fault) = self.row(row, path, &file) {
                let line = crate::feed::line_of(&text, fault.at, 1);
                let refusal = crate::refusal(&file, line, fault.code, fault.reason);
                self.said.push(Refusal { field: Some(fault.field).filter(|f| !f.is_empty()), ..refusal });
            }
        }
    }

    /// How many rows the pages of a list hold together.
    fn headers(&mut self, path: &Path, text: &str) {
        let line = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("x-pagination").then(|| value.trim().to_owned())
        });
        let mut room = Room::default();
        let total = line
            .as_deref()
            .and_then(|line| room.parse(line).ok())
            .and_then(|value| value.get("total").and_then(|total| total.raw().parse::<usize>().ok()));
        if let Some(total) = total {
            let known = self.totals.entry(stem(path)).or_default();
            *known = (*known).max(total);
        } else {
            let file = input::shown_name(path);
            let reason =
                "there is no X-Pagination header with a total in it; save the headers of the list again";
            self.said.push(crate::refusal(&file, 1, REFUSED, reason.to_owned()));
        }
    }

    fn row(&mut self, row: Value<'_>, path: &Path, file: &str) -> Result<(), Fault> {
        if row.get("user_type").is_some() || row.get("user_group").is_some() {
            return self.user(row, path, file);
        }
        let id = fields::req(row, "id", answers::id)?;
        let name = fields::req(row, "name", fields::text)?;
        if stem(path).starts_with(GROUPS) {
            self.groups.insert(name);
            return Ok(());
        }
        if let Some(customer) = row.get("customer") {
            let of = fields::req(customer, "id", answers::id).map_err(|fault| fault.under("customer"))?;
            if let Some(name) = customer.text_at(&["name"]) {
                self.customers.entry(of.clone()).or_insert_with(|| name.into_owned());
            }
            self.domain_names.insert(id.clone(), name);
            self.domains.insert(id, of);
            return Ok(());
        }
        if row.get("reseller").is_some() || row.get("provider").is_some() {
            self.customers.insert(id, name);
            return Ok(());
        }
        Err(Fault::of(row, "this is neither a user nor a domain nor a customer of Mailprotector"))
    }

    fn user(&mut self, row: Value<'_>, path: &Path, file: &str) -> Result<(), Fault> {
        let id = fields::req(row, "id", answers::id)?;
        let domain = fields::req(row, "domain", Ok)?;
        let domain_id = fields::req(domain, "id", answers::id).map_err(|fault| fault.under("domain"))?;
        if let Some(name) = domain.text_at(&["name"]) {
            self.domain_names.entry(domain_id.clone()).or_insert_with(|| name.into_owned());
        }
        if let Some(of) = domain.at(&["customer", "id"]) {
            self.domains.entry(domain_id.clone()).or_insert(answers::id(of)?);
        }
        self.read.insert(domain_id.clone());
        let list = self.lists.entry(stem(path)).or_default();
        file.clone_into(&mut list.file);
        list.rows += 1;
        list.domains.insert(domain_id.clone());
        let group = fields::req(row, "user_group", Ok)?;
        let group = fields::req(group, "name", fields::filled).map_err(|fault| fault.under("user_group"))?;
        self.groups.insert(group.clone());
        let of_type = row.text_at(&["user_type", "name"]);
        let is_alias =
            row.get("parent").is_some() || of_type.is_some_and(|name| name.eq_ignore_ascii_case("alias"));
        let users = self.users.entry((domain_id, group)).or_default();
        if !is_alias {
            users.insert(id);
        }
        Ok(())
    }

    /// Lists that are not whole: the header names more rows than were read, or there is none and the page is full.
    fn judge_lists(&mut self) {
        for (stem, list) in &self.lists {
            let reason = match self.totals.get(stem) {
                Some(total) if list.rows < *total => {
                    format!(
                        "the list has {total} users, and {} of them are in the file; save the other pages into it as \
                             well. Until then they are not counted",
                        list.rows
                    )
                }
                None if list.rows.is_multiple_of(PAGE) => format!(
                    "the file has {} users, which is a full page, and no headers tell whether more follow; save the \
                     headers beside it. Until then they are not counted",
                    list.rows
                ),
                Some(_) | None => continue,
            };
            self.said.push(crate::refusal(&list.file, 1, INCOMPLETE, reason));
            self.incomplete.extend(list.domains.iter().cloned());
        }
    }

    /// A list without a user is one of 0 users where it says that it is whole, and its name says of which domain it is.
    fn judge_empty(&mut self) {
        let empty = std::mem::take(&mut self.empty);
        for (stem, file) in empty.iter().filter(|(stem, _)| !self.lists.contains_key(*stem)) {
            let domain = self.domain_of(stem);
            let reason = match (self.totals.get(stem), domain) {
                (Some(0), Some(domain)) => {
                    self.read.insert(domain);
                    continue;
                }
                (Some(0), None) => "there is no user in the file, and its name is that of no domain of the list of domains; \
                                    name it `users.domainID.json`, with the id of the domain"
                    .to_owned(),
                (Some(total), _) => format!(
                    "the list has {total} users, and none of them is in the file; save its pages as well. Until then they are \
                     not counted"
                ),
                (None, _) => "there is no user in the file, and no headers tell that there is none; save the headers beside it. \
                              Until then nothing is 0"
                    .to_owned(),
            };
            self.said.push(crate::refusal(file, 1, INCOMPLETE, reason));
        }
    }

    /// The domain that the name of a list of users names, by its id or its own name.
    fn domain_of(&self, stem: &str) -> Option<String> {
        let named = stem.strip_prefix(USERS)?.strip_prefix('.')?;
        let id = named.strip_prefix("domain").unwrap_or(named);
        if self.domains.contains_key(id) {
            return Some(id.to_owned());
        }
        let by_name = self.domain_names.iter().find(|(_, name)| name.eq_ignore_ascii_case(named));
        by_name.map(|(id, _)| id.clone())
    }

    /// Of each customer the domains, as far as they are known.
    fn customers_of_domains(&mut self) -> BTreeMap<String, BTreeSet<String>> {
        let only = match self.customers.keys().collect::<Vec<_>>().as_slice() {
            [one] => Some((*one).clone()),
            _ => None, // open set: how many there are
        };
        let mut of: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (domain, customer) in &self.domains {
            of.entry(customer.clone()).or_default().insert(domain.clone());
        }
        for domain in self.read.iter().filter(|domain| !self.domains.contains_key(*domain)) {
            match &only {
                Some(customer) => {
                    of.entry(customer.clone()).or_default().insert(domain.clone());
                }
                None => {
                    let name = self.domain_names.get(domain).map_or("", String::as_str);
                    let reason = format!(
                        "nothing says whose domain {name} ({domain}) is; save the list of domains with their customers \
                         as well. Its users are not counted"
                    );
                    self.said.push(crate::refusal("", 0, REFUSED, reason));
                }
            }
        }
        of
    }

    fn into_results(mut self, as_of: Option<Timestamp>) -> Vec<Result<Record, Refusal>> {
        self.judge_lists();
        self.judge_empty();
        let of_customers = self.customers_of_domains();
        let mut counters = Vec::new();
        for (customer, domains) in &of_customers {
            let unread: Vec<&String> = domains.iter().filter(|domain| !self.read.contains(*domain)).collect();
            if let Some(first) = unread.first() {
                let reason = format!(
                    "{} of {} domains of customer {customer} have no list of users, domain {first} for one; the customer \
                     is not counted",
                    unread.len(),
                    domains.len()
                );
                self.said.push(crate::refusal("", 0, INCOMPLETE, reason));
                continue;
            }
            if domains.iter().any(|domain| self.incomplete.contains(domain)) {
                continue;
            }
            let Some(at) = as_of else { continue };
            for group in &self.groups {
                let users =
                    domains.iter().filter_map(|domain| self.users.get(&(domain.clone(), group.clone())));
                let count: usize = users.map(BTreeSet::len).sum();
                counters.push(Counter {
                    customer: CustomerId::from(customer.as_str()),
                    product: ProductId::from(group.as_str()),
                    value: Quantity::from(i64::try_from(count).unwrap_or(i64::MAX)),
                    as_of: at.to_string(),
                    unit: Some("user".to_owned()),
                    ext: Ext::default(),
                });
            }
        }
        if as_of.is_none() && !self.read.is_empty() {
            let reason = "nobody says when the users were counted; name the instant of the answers";
            self.said.push(crate::refusal("", 0, REFUSED, reason.to_owned()));
        }
        let mut results: Vec<Result<Record, Refusal>> = self.said.into_iter().map(Err).collect();
        let customers = self.customers.into_iter().map(|(id, name)| answers::customer(id, name, None));
        results.extend(customers.map(|customer| Ok(Record::Customer(customer))));
        let services = self.groups.iter().map(|group| answers::service(group, group, "user"));
        results.extend(services.map(|service| Ok(Record::Product(service))));
        results.extend(counters.into_iter().map(|counter| Ok(Record::Counter(counter))));
        results
    }
}
