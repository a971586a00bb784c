//! 'Check Changes': orders and subscriptions of the feed become tasks, and people decide about tasks.
//!
//! The same order always gives the same task, so a check may be repeated at will. Nothing that came late is lost: an
//! order is looked at when it was completed after the watermark (less an overlap), when its record came in after the
//! last check, or when an earlier check had to put it off.

pub mod assess;
mod beside;
mod changed;
pub(crate) mod corrected;
mod decide;
mod renewals;
mod run;
mod sold_on;

pub use beside::put_off;
pub use decide::{Decision, decide};
use run::{Run, is_of_a_plan, may_judge};

use crate::failure::Failure;
use crate::findings;
use crate::mappings::{self, review};
use crate::ports::{Clock, Store};
use crate::presence;
use crate::records::{Millis, StoredRecord, TaskFilter};
use crate::settings::Overlays;
use assess::assess;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{Order, Record, RecordKind, Subscription};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{
    AdditionId, AgreementId, CatalogItemId, CustomerId, OrderId, OrganizationId, SourceId, SubscriptionId,
    TaskId,
};
use trueup_domain::mapping::{Mappings, ProductTarget};
use trueup_domain::mapping_rules::{Broken, MappingRules, Use, needs_uses};
use trueup_domain::plan::AdditionLink;
use trueup_domain::psa::Snapshot;
use trueup_domain::settings::LineMode;
use trueup_domain::task::{Task, TaskKind, TaskState, task_id_of_order, task_id_of_subscription};

/// Orders completed this long before the watermark are looked at again.
const OVERLAP_US: i64 = 7 * 86_400 * 1_000_000;

/// Who makes mappings by rule, as the audit says it.
const BY_RULE: &str = "trueup";

/// Why a run over all tasks leaves a reconciliation out.
pub(crate) const BY_A_PERSON: &str = "a reconciliation starts when a person asks for it: `plan --task ID`";

/// The codes that a check looks for.
pub const JUDGED: &[Code] = &[
    Code::Tu2001,
    Code::Tu2002,
    Code::Tu2003,
    Code::Tu2004,
    Code::Tu2005,
    Code::Tu2007,
    Code::Tu3003,
    Code::Tu4004,
    Code::Tu8006,
];

/// An order that gives no task, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NoTask {
    /// Source.
    pub source: SourceId,
    /// Order.
    pub order_id: OrderId,
    /// Subscription.
    pub subscription_id: SubscriptionId,
    /// Why.
    pub reason: String,
}

/// What a check did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CheckReport {
    /// New tasks, in the order in which they run.
    pub created: Vec<Task>,
    /// Tasks that were there and stand elsewhere now.
    pub moved: Vec<Task>,
    /// Orders that need no task.
    pub no_task: Vec<NoTask>,
    /// Orders kept and not synchronised, because they are not completed.
    pub not_completed: u64,
    /// Orders completed after today: they wait for their day.
    pub later: u64,
    /// The one of them that waits longest, and its day: a day far ahead may be a slip of the pen.
    pub last_of_later: Option<(OrderId, Date)>,
    /// Orders that the first run of their source leaves alone, since they were completed too long ago.
    pub left_out: u64,
    /// The first day from which that run takes them.
    pub taken_from: Option<Date>,
    /// What a person should know.
    pub findings: Vec<Finding>,
}

/// How far the orders of a source were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    from: Option<Date>,
    watermark_us: Option<i64>,
    last_check_at: Millis,
    /// When the first run left out what was older; none in marks of before it was kept.
    #[serde(default)]
    first_check_at: Option<Millis>,
    #[serde(default)]
    put_off: BTreeSet<String>,
}

impl Mark {
    /// From when on what was received counts as new. An import gives all its records the instant of its beginning, and may
    /// still be at it when a check looks; processes have clocks of their own.
    fn newly_received(&self) -> Millis {
        const AN_IMPORT: Millis = 24 * 60 * 60 * 1_000;
        self.last_check_at.saturating_sub(AN_IMPORT)
    }
}

type Key = (SourceId, SubscriptionId);

/// Whose a subscription was before it was transferred.
enum Former {
    /// It was not, after the order.
    NoTransfer,
    /// This one's.
    Is(CustomerId),
    /// Nothing tells.
    Unknown,
}

/// Everything a check reads.
struct Picture {
    orders: BTreeMap<SourceId, Vec<(StoredRecord, Order)>>,
    /// Where the orders of each subscription stand among those of its source.
    places: BTreeMap<Key, Vec<usize>>,
    subscriptions: BTreeMap<Key, Subscription>,
    tasks: BTreeMap<TaskId, Task>,
    links: BTreeMap<Key, Vec<AdditionLink>>,
    mappings: Mappings,
    /// With our own additions alone.
    psa: Option<Snapshot>,
    /// The items of which an agreement has an open addition, whoever made it.
    open_items: BTreeMap<AgreementId, BTreeSet<CatalogItemId>>,
}

/// Agreements of the local picture that are looked at together.
const AT_ONCE: u32 = 250;

/// Adds our own additions to the picture's lists, and tells the items of all that are open.
async fn add_ours(
    store: &dyn Store,
    org: &OrganizationId,
    links: impl Iterator<Item = &AdditionLink>,
    psa: &mut Snapshot,
) -> Result<BTreeMap<AgreementId, BTreeSet<CatalogItemId>>, Failure> {
    let mut open_items = BTreeMap::new();
    let Some(connection) = store.list_connections(org).await?.into_iter().next() else {
        return Ok(open_items);
    };
    let ours: BTreeSet<(AgreementId, AdditionId)> =
        links.map(|link| (link.agreement, link.addition)).collect();
    let mut after = None;
    loop {
        let part = store.load_picture_part(org, &connection.name, after, AT_ONCE).await?;
        let Some((last, _)) = part.agreements.last_key_value() else { return Ok(open_items) };
        after = Some(*last);
        for (agreement, mut additions) in part.additions {
            let open = additions.iter().filter(|addition| addition.state.is_open());
            open_items.insert(agreement, open.map(|addition| addition.state.catalog_item).collect());
            additions.retain(|addition| ours.contains(&(agreement, addition.id)));
            additions.shrink_to_fit();
            psa.additions.insert(agreement, additions);
        }
    }
}

impl Picture {
    async fn read(store: &dyn Store, org: &OrganizationId, today: Date) -> Result<Self, Failure> {
        let mut orders: BTreeMap<SourceId, Vec<(StoredRecord, Order)>> = BTreeMap::new();
        let mut places: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
        for row in store.list_records(org, None, RecordKind::Order).await? {
            if let Record::Order(order) = &row.record {
                let order = order.clone();
                let key = (row.source.clone(), order.subscription.clone());
                let of_source = orders.entry(row.source.clone()).or_default();
                places.entry(key).or_default().push(of_source.len());
                of_source.push((row, order));
            }
        }
        let mut subscriptions = BTreeMap::new();
        for row in store.list_records(org, None, RecordKind::Subscription).await? {
            if let Record::Subscription(subscription) = row.record {
                subscriptions.insert((row.source, subscription.id.clone()), subscription);
            }
        }
        let tasks = store.list_tasks(org, &TaskFilter::default()).await?;
        let mut links: BTreeMap<Key, Vec<AdditionLink>> = BTreeMap::new();
        for link in store.list_links(org).await? {
            links.entry((link.source.clone(), link.subscription.clone())).or_default().push(link);
        }
        let mut psa = mappings::picture(store, org).await?;
        let open_items = match &mut psa {
            Some(psa) => add_ours(store, org, links.values().flatten(), psa).await?,
            None => BTreeMap::new(),
        };
        let in_force = Mappings::on(store.list_mappings(org).await?, today);
        Ok(Self {
            orders,
            places,
            subscriptions,
            tasks: tasks.into_iter().map(|t| (t.id.clone(), t)).collect(),
            links,
            mappings: in_force,
            psa,
            open_items,
        })
    }

    /// The rules that the mappings break, with what these tasks are about to bring.
    fn broken(&self, rules: MappingRules, tasks: &BTreeMap<TaskId, Task>) -> Broken {
        if !needs_uses(&self.mappings, rules) {
            return Broken::find(&self.mappings, rules, &[]);
        }
        let mut open: BTreeMap<(&SourceId, &OrderId), i64> = BTreeMap::new();
        for task in tasks.values().filter(|task| !task.state.is_final()) {
            open.extend(task.order_id.as_ref().map(|id| ((&task.source, id), task.completed_us)));
        }
        let uses = self.subscriptions.iter().filter_map(|(key, sold)| {
            let places = self.places.get(key).map_or(&[][..], Vec::as_slice);
            let orders = places.iter().filter_map(|at| self.orders_of(&key.0).get(*at));
            let mut orders: Vec<&Order> =
                orders.map(|(_, order)| order).filter(|o| open.contains_key(&(&key.0, &o.id))).collect();
            orders.sort_by_key(|order| open.get(&(&key.0, &order.id)));
            Use::of(&key.0, sold, self.links.get(key).map_or(&[][..], Vec::as_slice), orders)
        });
        Broken::find(&self.mappings, rules, &uses.collect::<Vec<_>>())
    }

    /// Looks the mappings over, and the lines that stand on none any more.
    async fn review(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        org: &OrganizationId,
        broken: &Broken,
        told: &[Finding],
    ) -> Result<(), Failure> {
        let seen = review::Seen { broken, picture: self.psa.as_ref() };
        review::record(store, clock, org, seen, told).await?;
        let lines: Vec<(&Subscription, &AdditionLink)> = self
            .links
            .iter()
            .filter_map(|(key, links)| Some((self.subscriptions.get(key)?, links)))
            .flat_map(|(sold, links)| links.iter().map(move |link| (sold, link)))
            .collect();
        review::record_orphans(store, clock, org, &self.mappings, lines).await
    }

    /// Whether the last local picture has an open addition for each thing that a subscription holds: an order takes it
    /// over.
    fn is_there(&self, key: &Key, subscription: &Subscription) -> bool {
        let Some(psa) = &self.psa else { return false };
        let company = self.mappings.company_of(&key.0, &subscription.customer);
        let open: BTreeSet<CatalogItemId> = psa
            .agreements
            .values()
            .filter(|agreement| Some(agreement.company) == company)
            .flat_map(|agreement| self.open_items.get(&agreement.id).into_iter().flatten())
            .copied()
            .collect();
        let products = subscription.items.iter().map(|i| &i.product);
        let mut products = products.chain(subscription.plan.iter().map(|p| &p.product)).peekable();
        let cycle = Some(subscription.billing_cycle);
        products.peek().is_some()
            && products.all(|product| {
                match self.mappings.product_target(&key.0, product, &subscription.customer, cycle) {
                    Some(ProductTarget::Item(item)) => open.contains(&item),
                    Some(ProductTarget::DoNotBill(_)) => true,
                    None => false,
                }
            })
    }

    fn sources(&self) -> BTreeSet<SourceId> {
        self.orders.keys().chain(self.subscriptions.keys().map(|(source, _)| source)).cloned().collect()
    }

    fn orders_of(&self, source: &SourceId) -> &[(StoredRecord, Order)] {
        self.orders.get(source).map_or(&[], Vec::as_slice)
    }
}

/// Turns new orders and subscriptions into tasks and judges the open ones again, by the stored settings.
///
/// # Errors
/// The store's.
pub async fn check(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    since: Option<Date>,
) -> Result<CheckReport, Failure> {
    check_under(store, clock, org, since, &Overlays::default()).await
}

/// [`check`] with settings from outside the store over the stored ones.
///
/// # Errors
/// The store's, or a setting that is not allowed.
pub async fn check_under(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    since: Option<Date>,
    overlays: &Overlays,
) -> Result<CheckReport, Failure> {
    store.ensure_organization(org).await?;
    let settings = crate::settings::load(store, org, overlays).await?;
    let site = mappings::Site { store, clock, org, actor: BY_RULE, overlays };
    mappings::by_rule::apply(site, settings.mapping_by).await?;
    // Before it is read: what comes in meanwhile is for the next check.
    let began = clock.now();
    let picture = Picture::read(store, org, clock.today()).await?;
    let of_plans = findings::of_tasks(store, org, |_, finding| is_of_a_plan(finding)).await?;
    let mut run = Run {
        plans_say: of_plans.iter().filter_map(|one| Some((one.subject.task.clone()?, one.code))).collect(),
        picture: &picture,
        today: clock.today(),
        by_term: settings.line_mode == LineMode::Commitment,
        since,
        report: CheckReport::default(),
        tasks: picture.tasks.clone(),
        fresh: BTreeSet::new(),
        all_findings: Vec::new(),
        broken: Broken::default(),
    };
    run.take_corrections();
    let mut marks = Vec::new();
    for source in picture.sources() {
        let name = format!("check/{source}");
        let known: Option<Mark> =
            store.load_mark(org, &name).await?.and_then(|text| serde_json::from_str(&text).ok());
        let left_out = left_out_before(store, org, &source, &picture, known.as_ref()).await?;
        let mark = run.take_orders(&source, known, began, &left_out);
        let first_day = mark.from;
        marks.push((name, mark));
        run.add_reconciliations(&source, first_day);
    }
    run.renew_what_ends();
    run.settle_reconciliations();
    run.broken = picture.broken(settings.mapping, &run.tasks);
    run.take_turns();
    run.follow_transfers();
    run.reopen_empty(store, org).await?;
    run.judge_all();
    run.block_later_ones();
    let changed_orders = changed::after_done(store, org, &picture).await?;
    run.all_findings.extend(changed_orders.iter().cloned());
    run.report.findings.extend(changed_orders);
    let gone = presence::all_gone(store, org, picture.sources()).await?;
    let mut beside = beside::ended_and_billed(&picture, &gone, clock.today());
    beside.extend(sold_on::not_billed(&picture, &run.tasks, clock.today()));
    beside.extend(presence::targets_gone(&store.list_mappings(org).await?, &gone));
    beside.extend(beside::never_billed(store, org).await?);
    beside.extend(presence::gaps(store, org, picture.sources()).await?);
    let kept = (settings.source_keeps_days, clock.now());
    beside.extend(presence::unread(store, org, picture.sources(), kept).await?);
    // What was refused is billed by nobody until it comes in: that is told each time.
    let mut refused = crate::feed::refused::told(store, org).await?;
    refused.extend(beside::incomplete(&picture));
    run.report.findings.extend(beside::standing(store, org, &refused).await?);
    run.all_findings.extend(refused);
    run.report.findings.extend(beside::news(store, org, &beside).await?);
    run.all_findings.extend(beside);
    let of_agreements = beside::agreements(store, clock, org, &picture, &run.tasks).await?;
    run.report.findings.extend(of_agreements);
    let Run { mut report, tasks, fresh, all_findings, broken, .. } = run;
    let changed: Vec<Task> =
        tasks.values().filter(|t| picture.tasks.get(&t.id) != Some(*t)).cloned().collect();
    store.save_tasks(org, clock.now(), &changed).await?;
    (report.created, report.moved) = changed.into_iter().partition(|t| fresh.contains(&t.id));
    // Which one it is among those of its instant is no news of a task.
    report
        .moved
        .retain(|t| picture.tasks.get(&t.id).is_none_or(|old| Task { turn: t.turn, ..old.clone() } != *t));
    report.created.sort_by(|a, b| {
        let key = |t: &Task| (t.source.clone(), t.subscription.clone(), t.completed_us, t.turn);
        key(a).cmp(&key(b))
    });
    let looked_at: BTreeSet<TaskId> = tasks.keys().cloned().collect();
    let scope = findings::Scope { looked_at: &looked_at, judged: Some(JUDGED), general: "check" };
    let is_left_out = |id: &TaskId| tasks.get(id).is_none_or(|task| task.state == TaskState::Ignored);
    // Findings of other codes are no matter of a check, and stay without this.
    let left = of_plans.into_iter().filter(|finding| {
        JUDGED.contains(&finding.code) && !finding.subject.task.as_ref().is_some_and(is_left_out)
    });
    let recorded: Vec<Finding> = all_findings.iter().cloned().chain(left).collect();
    findings::record(store, clock, org, scope, &recorded).await?;
    picture.review(store, clock, org, &broken, &all_findings).await?;
    findings::settle_done(store, clock, org, &tasks).await?;
    for (name, mark) in marks {
        store.save_mark(org, &name, &serde_json::to_string(&mark).unwrap_or_default()).await?;
    }
    Ok(report)
}

/// The orders without a task that the first run left out and that have changed since: that makes nothing new of them.
async fn left_out_before(
    store: &dyn Store,
    org: &OrganizationId,
    source: &SourceId,
    picture: &Picture,
    known: Option<&Mark>,
) -> Result<BTreeSet<OrderId>, Failure> {
    let mut left_out = BTreeSet::new();
    let Some((mark, from)) = known.and_then(|mark| Some((mark, mark.from?))) else { return Ok(left_out) };
    let first = mark.first_check_at.unwrap_or(mark.last_check_at);
    // Collected first: a closure that lives across an await keeps the check from running on another thread.
    let old: Vec<_> = picture
        .orders_of(source)
        .iter()
        .filter(|(row, order)| row.received_at >= mark.newly_received() && completed_on(order) < from)
        .filter(|(_, order)| !picture.tasks.contains_key(&task_id_of_order(source, &order.id)))
        .collect();
    for (row, order) in old {
        let key = (RecordKind::Order, order.id.as_str());
        let was_known = row.received_at < first
            || row.version > 1 && store.find_record_at(org, source, key, first - 1).await?.is_some();
        if was_known {
            left_out.insert(order.id.clone());
        }
    }
    Ok(left_out)
}

/// The codes that speak of mappings alone.
const OF_MAPPINGS: &[Code] =
    &[Code::Tu2001, Code::Tu2002, Code::Tu2003, Code::Tu2004, Code::Tu2005, Code::Tu2007, Code::Tu3003];

/// Judges the open tasks again, after mappings changed: what waited for one waits no longer, and what lost one waits.
/// No order is looked for, and no other finding is touched. Returns the tasks that stand elsewhere now.
///
/// # Errors
/// The store's.
pub async fn judge_again(
    store: &dyn Store,
    clock: &dyn Clock,
    org: &OrganizationId,
    overlays: &Overlays,
) -> Result<Vec<Task>, Failure> {
    let rules = crate::settings::load(store, org, overlays).await?.mapping;
    let filter = TaskFilter {
        states: vec![TaskState::NeedsMapping, TaskState::Ready, TaskState::Blocked, TaskState::Ignored],
        ..TaskFilter::default()
    };
    if !store.list_tasks(org, &filter).await?.iter().any(may_judge) {
        let in_force = Mappings::on(store.list_mappings(org).await?, clock.today());
        let broken = mappings::broken(store, org, &in_force, rules).await?;
        let picture = mappings::picture(store, org).await?;
        let seen = review::Seen { broken: &broken, picture: picture.as_ref() };
        review::record(store, clock, org, seen, &[]).await?;
        return Ok(Vec::new());
    }
    let picture = Picture::read(store, org, clock.today()).await?;
    // What was said of the line of a product may be over with its mapping.
    let is_meant = |finding: &Finding| is_of_a_plan(finding) && !OF_MAPPINGS.contains(&finding.code);
    let of_plans = findings::of_tasks(store, org, |_, finding| is_meant(finding)).await?;
    let mut run = Run {
        plans_say: of_plans.iter().filter_map(|one| Some((one.subject.task.clone()?, one.code))).collect(),
        picture: &picture,
        today: clock.today(),
        by_term: false,
        since: None,
        report: CheckReport::default(),
        tasks: picture.tasks.clone(),
        fresh: BTreeSet::new(),
        all_findings: Vec::new(),
        broken: picture.broken(rules, &picture.tasks),
    };
    run.judge_all();
    run.block_later_ones();
    let Run { tasks, all_findings, broken, .. } = run;
    let moved: Vec<Task> = tasks.values().filter(|t| picture.tasks.get(&t.id) != Some(*t)).cloned().collect();
    store.save_tasks(org, clock.now(), &moved).await?;
    let looked_at: BTreeSet<TaskId> = tasks.values().filter(|t| may_judge(t)).map(|t| t.id.clone()).collect();
    let found: Vec<Finding> =
        all_findings.into_iter().filter(|finding| OF_MAPPINGS.contains(&finding.code)).collect();
    let scope = findings::Scope { looked_at: &looked_at, judged: Some(OF_MAPPINGS), general: "mappings" };
    findings::record(store, clock, org, scope, &found).await?;
    picture.review(store, clock, org, &broken, &found).await?;
    Ok(moved)
}

/// The reconciliation task of a subscription.
pub fn reconciliation_task(source: &SourceId, subscription: &Subscription) -> Task {
    Task {
        id: task_id_of_subscription(source, &subscription.id),
        source: source.clone(),
        kind: TaskKind::Reconciliation,
        customer: subscription.customer.clone(),
        subscription: subscription.id.clone(),
        order_id: None,
        completed_us: midnight_us(subscription.start),
        turn: 0,
        state: TaskState::New,
        reason: None,
        decided_by: None,
        price_source: None,
        amendments: Vec::new(),
        undone: 0,
    }
}

fn midnight_us(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC).map_or(0, |zoned| zoned.timestamp().as_microsecond())
}

/// The civil date of completion in the offset it is written with.
pub fn completed_on(order: &Order) -> Date {
    order.completed_at.get(..10).and_then(|text| text.parse().ok()).unwrap_or(order.effective)
}

/// Whether an order is completed on a day that has not come yet, wherever one stands.
fn is_after(today: Date, order: &Order, day: Date) -> bool {
    let utc_day = Timestamp::from_microsecond(order.completed_us)
        .map_or(day, |instant| instant.to_zoned(TimeZone::UTC).date());
    day > today && utc_day > today
}

/// One task.
///
/// # Errors
/// [`Failure::Wrong`] where there is none with this id.
pub async fn get(store: &dyn Store, org: &OrganizationId, id: &TaskId) -> Result<Task, Failure> {
    let filter = TaskFilter { ids: vec![id.clone()], ..TaskFilter::default() };
    store.list_tasks(org, &filter).await?.into_iter().next().ok_or_else(|| {
        Failure::wrong(format!("there is no task `{id}`"), "`trueup task list` shows them all.")
    })
}
