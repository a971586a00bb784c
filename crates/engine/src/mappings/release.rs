//! Releasing a mapping with what hangs on it: first what that would touch, then the release of exactly that.
//!
//! A release changes nothing in ConnectWise. Lines stay as they are, tasks go back to waiting for a mapping, and the
//! released mappings are kept in the history.

use super::{Site, document, object, review, uses};
use crate::failure::Failure;
use crate::records::{NewAuditEntry, Released, TaskFilter};
use crate::tasks;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write;
use trueup_domain::ids::{CustomerId, SourceId, TaskId};
use trueup_domain::mapping::{Mapping, MappingKind, Mappings};
use trueup_domain::mapping_rules::{Use, key_of};
use trueup_domain::plan::AdditionLink;
use trueup_domain::task::{Task, TaskState};

/// Which mapping is to be released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Its kind.
    pub kind: MappingKind,
    /// Its source.
    pub source: SourceId,
    /// Its id at the source.
    pub source_id: String,
    /// Its scope.
    pub scope: String,
    /// Whether what hangs on it goes as well: an agreement's products, a customer's agreements and their products.
    pub cascade: bool,
}

/// What a release touches.
#[derive(Clone, Debug, PartialEq)]
pub struct Impact {
    /// The mappings that go, the chosen one first.
    pub mappings: Vec<Mapping>,
    /// Open tasks that stand on them.
    pub tasks: Vec<Task>,
    /// Lines of ours that bill on: they stay as they are, and nothing changes them any more.
    pub lines: Vec<AdditionLink>,
    /// Names exactly this: a release that would touch anything else is refused.
    pub token: String,
}

/// What a release would touch.
///
/// # Errors
/// [`Failure::Wrong`] where there is no such mapping, or the store's.
pub async fn foresee(site: Site<'_>, wanted: &Selection) -> Result<Impact, Failure> {
    let all = site.store.list_mappings(site.org).await?;
    let uses = uses(site.store, site.org).await?;
    let mappings = chosen(&all, &uses, wanted)?;
    let today = site.clock.today();
    let touched = Touched::of(&mappings, &Mappings::on(all, today), &uses);
    let mut tasks = site.store.list_tasks(site.org, &TaskFilter::default()).await?;
    tasks.retain(|task| !task.state.is_final() && touched.task(task));
    let mut lines = site.store.list_links(site.org).await?;
    lines.retain(|line| {
        let bills = !line.deleted && line.written.cancelled.is_none_or(|last| last >= today);
        bills && touched.line(line)
    });
    let token = token(wanted, &mappings, &tasks, &lines);
    Ok(Impact { mappings, tasks, lines, token })
}

/// Releases exactly what [`foresee`] said under this token.
///
/// # Errors
/// [`Failure::Wrong`] without a reason, where things stand otherwise than they were shown, or while one of the tasks is
/// being written; else the store's.
pub async fn release(
    site: Site<'_>,
    wanted: &Selection,
    token: &str,
    reason: &str,
) -> Result<Impact, Failure> {
    if reason.trim().is_empty() {
        return Err(Failure::wrong(
            "mappings are released for a reason, and none was given",
            "Say why; it goes into the audit.",
        ));
    }
    let impact = foresee(site, wanted).await?;
    if impact.token != token {
        return Err(moved());
    }
    carry_out(site, &impact, Some(reason)).await?;
    Ok(impact)
}

/// Releases one mapping and nothing that hangs on it.
///
/// # Errors
/// As [`release`], but for the token and the reason.
pub async fn release_alone(site: Site<'_>, wanted: &Selection) -> Result<Vec<Task>, Failure> {
    let impact = foresee(site, &Selection { cascade: false, ..wanted.clone() }).await?;
    carry_out(site, &impact, None).await
}

async fn carry_out(site: Site<'_>, impact: &Impact, reason: Option<&str>) -> Result<Vec<Task>, Failure> {
    let busy = |task: &&Task| matches!(task.state, TaskState::Applying | TaskState::InDoubt);
    if let Some(task) = impact.tasks.iter().find(busy) {
        return Err(being_written(&task.id));
    }
    let entries: Vec<NewAuditEntry> = impact
        .mappings
        .iter()
        .map(|mapping| {
            let detail = serde_json::json!({ "reason": reason, "mapping": document(mapping) });
            site.entry("mapping.release", object(mapping), &detail)
        })
        .collect();
    let ids: Vec<TaskId> = impact.tasks.iter().map(|task| task.id.clone()).collect();
    match site.store.release_mappings(site.org, site.clock.now(), &impact.mappings, &ids, &entries).await? {
        Released::Done => {}
        Released::Moved => return Err(moved()),
        Released::Busy(task) => return Err(being_written(&task)),
    }
    let moved = tasks::judge_again(site.store, site.clock, site.org, site.overlays).await?;
    review::tell_orphans(site).await?;
    Ok(moved)
}

fn being_written(task: &TaskId) -> Failure {
    Failure::wrong(
        format!("task {task} stands on these mappings and is being written to ConnectWise"),
        "Let the run finish, then release.",
    )
}

fn moved() -> Failure {
    Failure::wrong(
        "what the release would touch is not what was shown: mappings, tasks or lines changed meanwhile",
        "Look at what it touches now, and release with the token shown there.",
    )
}

fn chosen(all: &[Mapping], uses: &[Use], wanted: &Selection) -> Result<Vec<Mapping>, Failure> {
    let first = all
        .iter()
        .find(|m| {
            m.kind == wanted.kind
                && m.source == wanted.source
                && m.source_id == wanted.source_id
                && m.scope == wanted.scope
        })
        .ok_or_else(|| {
            Failure::wrong(
                format!("there is no mapping of {} `{}`", wanted.kind.name(), wanted.source_id),
                "`trueup mapping list` shows those that hold; it may have been released already.",
            )
        })?;
    let mut found = vec![first.clone()];
    if wanted.cascade {
        let below = Below::of(first, uses);
        found.extend(all.iter().filter(|m| key_of(m) != key_of(first) && below.has(m, uses)).cloned());
    }
    Ok(found)
}

/// What hangs on a mapping.
struct Below<'a> {
    source: &'a SourceId,
    /// The customer itself, where all of it goes.
    customer: Option<CustomerId>,
    uses: Vec<&'a Use>,
}

impl<'a> Below<'a> {
    fn of(first: &'a Mapping, uses: &'a [Use]) -> Self {
        let of_source = || uses.iter().filter(|one| one.source == first.source);
        let of_customer = |id: &str| of_source().filter(|one| one.customer.as_str() == id).collect();
        let (customer, uses) = match first.kind {
            MappingKind::Customer => {
                (Some(CustomerId::from(first.source_id.clone())), of_customer(&first.source_id))
            }
            MappingKind::Agreement => match first.source_id.strip_prefix("customer:") {
                Some(customer) => (None, of_customer(customer)),
                None => (None, of_source().filter(|o| o.subscription.as_str() == first.source_id).collect()),
            },
            MappingKind::Product | MappingKind::Fee | MappingKind::Addition => (None, Vec::new()),
        };
        Self { source: &first.source, customer, uses }
    }

    fn has(&self, mapping: &Mapping, all: &[Use]) -> bool {
        if &mapping.source != self.source {
            return false;
        }
        match mapping.kind {
            MappingKind::Customer | MappingKind::Fee => false,
            MappingKind::Agreement => self.customer.as_ref().is_some_and(|customer| {
                mapping.source_id.strip_prefix("customer:") == Some(customer.as_str())
                    || self.uses.iter().any(|one| one.subscription.as_str() == mapping.source_id)
            }),
            MappingKind::Addition => self.uses.iter().any(|one| {
                let of_it = format!("subscription:{}/", one.subscription);
                mapping.source_id.starts_with(&of_it)
            }),
            MappingKind::Product => {
                let product = |one: &Use| one.products.iter().any(|p| p.as_str() == mapping.source_id);
                let own = self.uses.iter().any(|one| product(one));
                // A mapping that another customer or agreement stands on as well is not one of these alone.
                let elsewhere = all.iter().any(|one| {
                    &one.source == self.source
                        && product(one)
                        && applies(mapping, one)
                        && !self.uses.iter().any(|own| own.subscription == one.subscription)
                });
                let of_customer = self.customer.as_ref().is_some_and(|c| c.as_str() == mapping.scope);
                of_customer || (own && !elsewhere)
            }
        }
    }
}

/// Whether a product's mapping can count for a subscription.
fn applies(mapping: &Mapping, one: &Use) -> bool {
    mapping.scope.is_empty()
        || mapping.scope == one.customer.as_str()
        || mapping.scope == format!("cycle:{}", one.cycle.slug())
        || mapping.scope == format!("cycle:{}", one.cycle.normalised().slug())
}

/// Which tasks and lines stand on the mappings that go.
struct Touched {
    customers: BTreeSet<(SourceId, String)>,
    subscriptions: BTreeSet<(SourceId, String)>,
    /// Lines of these (source, subscription, product).
    products: BTreeSet<(SourceId, String, String)>,
}

impl Touched {
    fn of(going: &[Mapping], in_force: &Mappings, uses: &[Use]) -> Self {
        let mut touched =
            Self { customers: BTreeSet::new(), subscriptions: BTreeSet::new(), products: BTreeSet::new() };
        for mapping in going {
            let source = mapping.source.clone();
            match mapping.kind {
                MappingKind::Customer => {
                    touched.customers.insert((source, mapping.source_id.clone()));
                }
                MappingKind::Agreement => match mapping.source_id.strip_prefix("customer:") {
                    Some(customer) => {
                        let own = uses.iter().filter(|one| {
                            one.source == source
                                && one.customer.as_str() == customer
                                && in_force
                                    .agreement_mapping(&one.source, &one.subscription, &one.customer)
                                    .is_some_and(|m| key_of(m) == key_of(mapping))
                        });
                        touched
                            .subscriptions
                            .extend(own.map(|one| (source.clone(), one.subscription.to_string())));
                    }
                    None => {
                        touched.subscriptions.insert((source, mapping.source_id.clone()));
                    }
                },
                MappingKind::Product => touched.products.extend(
                    uses.iter()
                        .filter(|one| one.source == source)
                        .filter(|one| {
                            let product = one.products.iter().find(|p| p.as_str() == mapping.source_id);
                            product.is_some_and(|product| {
                                in_force
                                    .product_mapping(&one.source, product, &one.customer, Some(one.cycle))
                                    .is_some_and(|m| key_of(m) == key_of(mapping))
                            })
                        })
                        .map(|one| (source.clone(), one.subscription.to_string(), mapping.source_id.clone())),
                ),
                MappingKind::Addition => {
                    let line = mapping.source_id.strip_prefix("subscription:");
                    if let Some((subscription, product)) = line.and_then(|rest| rest.split_once('/')) {
                        touched.products.insert((source, subscription.to_owned(), product.to_owned()));
                    }
                }
                MappingKind::Fee => {}
            }
        }
        // The lines of a customer are found by its subscriptions.
        let of_customers: Vec<_> = uses
            .iter()
            .filter(|one| touched.customers.contains(&(one.source.clone(), one.customer.to_string())))
            .map(|one| (one.source.clone(), one.subscription.to_string()))
            .collect();
        touched.subscriptions.extend(of_customers);
        touched
    }

    fn task(&self, task: &Task) -> bool {
        let key = (task.source.clone(), task.subscription.to_string());
        self.customers.contains(&(task.source.clone(), task.customer.to_string()))
            || self.subscriptions.contains(&key)
            || self.products.iter().any(|(source, subscription, _)| {
                source == &task.source && subscription == task.subscription.as_str()
            })
    }

    fn line(&self, line: &AdditionLink) -> bool {
        let (source, subscription) = (line.source.clone(), line.subscription.to_string());
        self.subscriptions.contains(&(source.clone(), subscription.clone()))
            || self.products.contains(&(source, subscription, line.product.to_string()))
    }
}

/// A hash over everything that is touched.
fn token(wanted: &Selection, mappings: &[Mapping], tasks: &[Task], lines: &[AdditionLink]) -> String {
    let mut hash = Sha256::new();
    let mut take = |text: &str| {
        hash.update(text.len().to_be_bytes());
        hash.update(text.as_bytes());
    };
    take(wanted.kind.name());
    take(wanted.source.as_str());
    take(&wanted.source_id);
    take(&wanted.scope);
    take(if wanted.cascade { "with all" } else { "alone" });
    for mapping in mappings {
        take(&document(mapping).to_string());
    }
    for task in tasks {
        take(task.id.as_str());
        take(task.state.name());
    }
    for line in lines {
        take(&line.addition.to_string());
        take(&line.written.quantity.display());
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
