//! The agreements under lines of ours, as a pull or a check finds them: what became of their company, currency, cycle, state
//! and end since trueup wrote there.

use crate::failure::Failure;
use crate::ports::Store;
use crate::records::{FindingFilter, FindingState, TaskFilter};
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use trueup_domain::desired::{Ground, Looked, Standing, misdated, misfit_of};
use trueup_domain::feed::{BillingModel, Record, RecordKind, Subscription};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{
    AdditionId, AgreementId, CompanyId, OrganizationId, PlanId, ProductId, SourceId, SubscriptionId,
};
use trueup_domain::mapping::Mappings;
use trueup_domain::plan::{AdditionLink, Role};
use trueup_domain::psa::{Agreement, ObservedAddition, Snapshot};
use trueup_domain::task::{TaskKind, task_id_of_order};

type Sold = (SourceId, SubscriptionId);
type Ends = BTreeMap<AgreementId, Option<Date>>;

/// What was sold, and what orders are under way.
pub(crate) struct Records<'r> {
    /// The subscriptions.
    pub sold: &'r BTreeMap<Sold, Subscription>,
    /// Those whose orders may still bring what their record says already.
    pub awaited: BTreeSet<Sold>,
}

/// The subscriptions of an organization, and those of them whose orders are under way.
pub(super) async fn read_sold(
    store: &dyn Store,
    org: &OrganizationId,
) -> Result<(BTreeMap<Sold, Subscription>, BTreeSet<Sold>), Failure> {
    let mut sold = BTreeMap::new();
    for row in store.list_records(org, None, RecordKind::Subscription).await? {
        if let Record::Subscription(subscription) = row.record {
            sold.insert((row.source, subscription.id.clone()), subscription);
        }
    }
    let tasks = store.list_tasks(org, &TaskFilter::default()).await?;
    let open = tasks.into_iter().filter(|task| !task.state.is_final());
    Ok((sold, open.map(|task| (task.source, task.subscription)).collect()))
}

/// What a look at the agreements goes by.
pub(crate) struct Grounds<'a> {
    store: &'a dyn Store,
    org: &'a OrganizationId,
    today: Date,
    records: &'a Records<'a>,
    mappings: Mappings,
    /// The newest recurring line of each product: where that is elsewhere, the older ones were followed.
    newest: HashMap<(&'a SourceId, &'a SubscriptionId, &'a ProductId), (AdditionId, AgreementId)>,
    ends: KnownEnds,
    /// Agreements of which it is told that their lines are dated for another way of billing.
    told_misdated: BTreeSet<AgreementId>,
    found: Vec<Finding>,
}

/// The last days of agreements as they were known before, since nothing in ConnectWise tells what a person changed.
#[derive(Default)]
struct KnownEnds {
    mark: String,
    text: String,
    known: Ends,
    /// Those that were met by this look.
    met: Ends,
    /// What plans saw when they wrote.
    plans: BTreeMap<PlanId, Ends>,
}

impl<'a> Grounds<'a> {
    /// Reads what the look needs beside the picture of a connection.
    pub(crate) async fn load(
        store: &'a dyn Store,
        org: &'a OrganizationId,
        connection: &str,
        (links, records): (impl IntoIterator<Item = &'a AdditionLink>, &'a Records<'a>),
        today: Date,
    ) -> Result<Self, Failure> {
        let mut newest = HashMap::new();
        for link in links.into_iter().filter(|link| link.role == Role::Recurring && !link.deleted) {
            let sold = (&link.source, &link.subscription, &link.product);
            let of = newest.entry(sold).or_insert((link.addition, link.agreement));
            *of = (*of).max((link.addition, link.agreement));
        }
        let mappings = Mappings::on(store.list_mappings(org).await?, today);
        let ends = KnownEnds::load(store, org, connection).await?;
        let told_misdated = told_misdated(store, org).await?;
        let found = Vec::new();
        Ok(Self { store, org, today, records, mappings, newest, ends, told_misdated, found })
    }

    /// Looks at the agreements of a part of the picture; `ours` are the lines that trueup wrote on them.
    pub(crate) async fn note<'s>(
        &mut self,
        ours: impl IntoIterator<Item = &'s AdditionLink>,
        part: &Snapshot,
    ) -> Result<(), Failure> {
        let mut by_agreement: BTreeMap<AgreementId, Vec<&AdditionLink>> = BTreeMap::new();
        for link in ours.into_iter().filter(|link| !link.deleted) {
            by_agreement.entry(link.agreement).or_default().push(link);
        }
        for (id, mut links) in by_agreement {
            let Some(agreement) = part.agreements.get(&id) else { continue };
            let there: HashMap<AdditionId, &ObservedAddition> =
                part.additions_of(id).iter().map(|addition| (addition.id, addition)).collect();
            let dated = links.iter().filter_map(|link| Some((*link, *there.get(&link.addition)?)));
            let looked = if self.told_misdated.contains(&id) { Looked::Back } else { Looked::Ahead };
            self.found.extend(misdated(part, agreement, dated, looked));
            links.retain(|link| link.role == Role::Recurring);
            let known_end = self.ends.of(self.store, self.org, agreement, &links).await?;
            let mut lines: Vec<Standing<'_>> = links
                .into_iter()
                .filter_map(|link| self.standing(link, there.get(&link.addition)?, agreement))
                .collect();
            for line in lines.iter_mut().filter(|line| line.company != Some(agreement.company)) {
                if let Some(company) = self.company_by_transfer(line.link).await? {
                    line.company = Some(company);
                }
            }
            if lines.is_empty() {
                continue;
            }
            let ground = Ground { agreement, lines, known_end, today: self.today };
            let finding = misfit_of(&ground);
            self.found.extend(finding);
        }
        Ok(())
    }

    fn standing<'s>(
        &'s self,
        link: &'s AdditionLink,
        there: &'s ObservedAddition,
        agreement: &Agreement,
    ) -> Option<Standing<'s>> {
        let newest = self.newest.get(&(&link.source, &link.subscription, &link.product));
        let followed = newest.is_some_and(|(id, home)| *id > link.addition && *home != link.agreement);
        if followed || !Standing::goes_on(link, there, agreement, self.today) {
            return None;
        }
        let key = (link.source.clone(), link.subscription.clone());
        let sold = self.records.sold.get(&key)?;
        if !sold.status.bills() || sold.billing_model != BillingModel::Advance {
            return None;
        }
        let company = self.mappings.company_of(&link.source, &sold.customer);
        Some(Standing { link, there, sold, company, awaited: self.records.awaited.contains(&key) })
    }

    /// The company of the customer that a line's own order is of, where that is a transfer or came after one: the record of the
    /// subscription may name the former customer still. Where nothing but the record moved, that is to be told.
    async fn company_by_transfer(&self, link: &AdditionLink) -> Result<Option<CompanyId>, Failure> {
        let Some(order) = &link.order else { return Ok(None) };
        let filter = TaskFilter {
            subscription: Some(link.subscription.to_string()),
            source: Some(link.source.clone()),
            ..TaskFilter::default()
        };
        let tasks = self.store.list_tasks(self.org, &filter).await?;
        let own = task_id_of_order(&link.source, order);
        let Some(own) = tasks.iter().find(|task| task.id == own) else { return Ok(None) };
        let is_moved = tasks.iter().any(|task| {
            task.kind == TaskKind::Transfer && (task.completed_us, task.turn) <= (own.completed_us, own.turn)
        });
        Ok(is_moved.then(|| self.mappings.company_of(&link.source, &own.customer)).flatten())
    }

    /// What was found; what is known of ends now is kept for the next look.
    pub(crate) async fn conclude(self) -> Result<Vec<Finding>, Failure> {
        self.ends.save(self.store, self.org).await?;
        Ok(self.found)
    }
}

/// The agreements of which a look before told that a person switched whether they prorate.
async fn told_misdated(store: &dyn Store, org: &OrganizationId) -> Result<BTreeSet<AgreementId>, Failure> {
    let filter = FindingFilter {
        states: vec![FindingState::Open, FindingState::Recurred, FindingState::Muted, FindingState::Ignored],
        code: Some(Code::Tu3006.to_string()),
        ..FindingFilter::default()
    };
    let told = store.list_findings(org, &filter).await?.into_iter().map(|known| known.finding.subject);
    Ok(told.filter(|subject| subject.task.is_none()).filter_map(|subject| subject.agreement).collect())
}

/// The name under which the findings of a connection's agreements are kept.
pub(crate) fn scope_of(connection: &str) -> String {
    format!("agreements/{connection}")
}

impl KnownEnds {
    async fn load(store: &dyn Store, org: &OrganizationId, connection: &str) -> Result<Self, Failure> {
        let mark = format!("ends/{connection}");
        let text = store.load_mark(org, &mark).await?.unwrap_or_default();
        let known = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { mark, text, known, ..Self::default() })
    }

    /// The last day of an agreement as it was known; none where nobody knows. A later one is what is known from now on.
    async fn of(
        &mut self,
        store: &dyn Store,
        org: &OrganizationId,
        agreement: &Agreement,
        links: &[&AdditionLink],
    ) -> Result<Option<Option<Date>>, Failure> {
        let is_later = |known: Option<Date>| match (known, agreement.end) {
            (Some(known), Some(end)) => end >= known,
            (Some(_), None) => true,
            (None, end) => end.is_none(),
        };
        let mut known = self.known.get(&agreement.id).copied();
        if known.is_none() && agreement.end.is_some() {
            known = self.seen_by_plan(store, org, agreement.id, links).await?;
        }
        let keep = known.filter(|known| !is_later(*known)).unwrap_or(agreement.end);
        self.met.insert(agreement.id, keep);
        Ok(known)
    }

    /// What the plan that wrote the newest line there saw.
    async fn seen_by_plan(
        &mut self,
        store: &dyn Store,
        org: &OrganizationId,
        agreement: AgreementId,
        links: &[&AdditionLink],
    ) -> Result<Option<Option<Date>>, Failure> {
        let newest = links.iter().filter(|link| link.key.is_some()).max_by_key(|link| link.addition);
        let Some(key) = newest.and_then(|link| link.key.as_ref()) else { return Ok(None) };
        let Some(operation) = store.find_operation_by_key(org, key).await? else { return Ok(None) };
        if !self.plans.contains_key(&operation.plan) {
            let plan = store.find_plan(org, &operation.plan).await?;
            let ends = plan.map(|plan| plan.body.plan().sights.iter().map(|(id, s)| (*id, s.end)).collect());
            self.plans.insert(operation.plan.clone(), ends.unwrap_or_default());
        }
        Ok(self.plans.get(&operation.plan).and_then(|ends| ends.get(&agreement)).copied())
    }

    async fn save(&self, store: &dyn Store, org: &OrganizationId) -> Result<(), Failure> {
        let text = serde_json::to_string(&self.met).unwrap_or_default();
        if text == self.text || (self.met.is_empty() && self.text.is_empty()) {
            return Ok(());
        }
        Ok(store.save_mark(org, &self.mark, &text).await?)
    }
}
