//! One check: from what was read to tasks in the state that they are in.

use super::assess::{Facts, Standing, assess, customer_of, no_task_reason, without_customer};
use super::{
    BY_A_PERSON, CheckReport, Former, JUDGED, Key, Mark, NoTask, OVERLAP_US, Picture, changed, completed_on,
    is_after, reconciliation_task,
};
use crate::failure::Failure;
use crate::ports::Store;
use crate::records::Millis;
use jiff::Span;
use jiff::civil::Date;
use std::collections::{BTreeMap, BTreeSet};
use trueup_domain::feed::{BillingModel, Order, OrderKind};
use trueup_domain::finding::{Code, Finding};
use trueup_domain::ids::{CustomerId, OrderId, OrganizationId, SourceId, SubscriptionId, TaskId};
use trueup_domain::mapping_rules::Broken;
use trueup_domain::plan::AdditionLink;
use trueup_domain::task::{Task, TaskKind, TaskState, task_id_of_order};
use trueup_domain::turns::in_turn;

/// What a check has made so far of what it read.
pub(super) struct Run<'a> {
    pub(super) picture: &'a Picture,
    pub(super) today: Date,
    /// Whether lines are dated by the term.
    pub(super) by_term: bool,
    pub(super) since: Option<Date>,
    pub(super) report: CheckReport,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    pub(super) fresh: BTreeSet<TaskId>,
    pub(super) all_findings: Vec<Finding>,
    /// The rules that mappings break.
    pub(super) broken: Broken,
    /// What plans found wanting, and still stands.
    pub(super) plans_say: BTreeSet<(TaskId, Code)>,
}

impl Run<'_> {
    /// Makes tasks of the orders of one source, and says how far it came. The first run leaves out what is older than a
    /// month; of that, `left_out` came in again.
    pub(super) fn take_orders(
        &mut self,
        source: &SourceId,
        known: Option<Mark>,
        now: Millis,
        left_out: &BTreeSet<OrderId>,
    ) -> Mark {
        let first_run = !self.tasks.values().any(|t| &t.source == source);
        let month_ago = self.today.checked_sub(Span::new().months(1)).unwrap_or(Date::MIN);
        let mut mark = known.filter(|_| !first_run).unwrap_or_default();
        let from = mark.from.unwrap_or(self.since.unwrap_or(month_ago));
        let put_off = std::mem::take(&mut mark.put_off);
        let reach = mark.watermark_us.unwrap_or(i64::MIN).saturating_sub(OVERLAP_US);
        let mut watermark = mark.watermark_us;
        let picture = self.picture;
        for (row, order) in picture.orders_of(source) {
            if !order.is_completed() {
                self.report.not_completed += 1;
                self.drop_task_of(source, order);
                continue;
            }
            let day = completed_on(order);
            if is_after(self.today, order, day) {
                self.report.later += 1;
                let last = self.report.last_of_later.as_ref();
                if last.is_none_or(|(_, last)| day > *last) {
                    self.report.last_of_later = Some((order.id.clone(), day));
                }
                continue;
            }
            let wanted = if first_run {
                day >= from
            } else {
                (day >= from && order.completed_us >= reach)
                    || row.received_at >= mark.newly_received() && !left_out.contains(&order.id)
                    || put_off.contains(order.id.as_str())
                    || self.since.is_some_and(|since| day >= since)
            };
            if first_run && !wanted {
                self.report.left_out += 1;
                self.report.taken_from = self.report.taken_from.min(Some(from)).or(Some(from));
            }
            if day >= from {
                watermark = watermark.max(Some(order.completed_us));
            }
            if wanted && !self.take_order(source, order) {
                mark.put_off.insert(order.id.to_string());
            }
        }
        let first = if first_run { now } else { mark.first_check_at.unwrap_or(mark.last_check_at) };
        Mark {
            from: Some(self.since.map_or(from, |since| since.min(from))),
            watermark_us: watermark,
            last_check_at: now,
            first_check_at: Some(first),
            put_off: mark.put_off,
        }
    }

    /// Whether the order is settled: a task, or none for a reason. False puts it off.
    fn take_order(&mut self, source: &SourceId, order: &Order) -> bool {
        let id = task_id_of_order(source, &order.id);
        if self.tasks.contains_key(&id) {
            return true;
        }
        let key = (source.clone(), order.subscription.clone());
        let subscription = self.picture.subscriptions.get(&key);
        let earlier: Vec<&Order> = match order.kind {
            OrderKind::Renewal => self.completed_orders_of(&key),
            OrderKind::Sales
            | OrderKind::Change
            | OrderKind::Billing
            | OrderKind::Cancellation
            | OrderKind::Transfer => Vec::new(),
        };
        let links: Vec<&AdditionLink> = self.picture.links.get(&key).into_iter().flatten().collect();
        // Where lines are dated by the term, a renewal writes the next ones, also with nothing new in it. And what was put
        // aside or taken back is in no line: then a renewal with nothing new in it is what brings it.
        let stands = |earlier: &&Order| {
            let task = self.tasks.get(&task_id_of_order(source, &earlier.id));
            task.is_none_or(|task| task.state != TaskState::Ignored)
        };
        let goes_on = order.kind != OrderKind::Renewal || !self.by_term && earlier.iter().all(stands);
        if let Some(reason) = no_task_reason(order, subscription, &earlier, &links).filter(|_| goes_on) {
            self.report.no_task.push(NoTask {
                source: source.clone(),
                order_id: order.id.clone(),
                subscription_id: order.subscription.clone(),
                reason,
            });
            return true;
        }
        self.make_task(source, order)
    }

    /// Makes the task of an order; false where nobody knows whose it is.
    pub(super) fn make_task(&mut self, source: &SourceId, order: &Order) -> bool {
        let id = task_id_of_order(source, &order.id);
        let key = (source.clone(), order.subscription.clone());
        let subscription = self.picture.subscriptions.get(&key);
        let customer = match self.before_transfer(&key, order) {
            Former::Is(customer) => Some(customer),
            Former::Unknown => None,
            Former::NoTransfer => customer_of(order, subscription).cloned(),
        };
        let Some(customer) = customer else {
            let finding = without_customer(source, order, subscription);
            self.all_findings.push(finding.clone());
            self.report.findings.push(finding);
            return false;
        };
        let task = Task {
            id: id.clone(),
            source: source.clone(),
            kind: TaskKind::from(order.kind),
            customer,
            subscription: order.subscription.clone(),
            order_id: Some(order.id.clone()),
            completed_us: order.completed_us,
            turn: 0,
            state: TaskState::New,
            reason: None,
            decided_by: None,
            price_source: None,
            amendments: Vec::new(),
            undone: 0,
        };
        self.fresh.insert(id.clone());
        self.tasks.insert(id, task);
        true
    }

    /// Whose an order was that names nobody and came before a transfer: the record of its subscription names the new
    /// customer already, and the task before it, or an order that names somebody, the former one. Use is billed once its
    /// period is over, so that its period says whose it was.
    pub(super) fn before_transfer(&self, key: &Key, order: &Order) -> Former {
        if order.customer.is_some() {
            return Former::NoTransfer;
        }
        let comes_later = |other: &&Order| {
            let begins =
                if other.effective == other.period.start() { other.effective } else { other.period.end() };
            let later = match order.kind {
                OrderKind::Billing => order.period.end() <= begins,
                OrderKind::Sales
                | OrderKind::Change
                | OrderKind::Renewal
                | OrderKind::Cancellation
                | OrderKind::Transfer => other.completed_us > order.completed_us,
            };
            other.kind == OrderKind::Transfer && later
        };
        let orders = self.completed_orders_of(key);
        let later: Vec<&Order> = orders.iter().copied().filter(comes_later).collect();
        let Some(moved) = later.iter().map(|other| other.completed_us).min() else {
            return Former::NoTransfer;
        };
        let earlier = self.tasks.values().filter(|task| {
            (&task.source, &task.subscription) == (&key.0, &key.1)
                && task.order_id.as_ref().is_some_and(|id| *id != order.id)
                && task.completed_us < moved
        });
        if let Some(task) = earlier.max_by_key(|task| (task.completed_us, task.turn)) {
            return Former::Is(task.customer.clone());
        }
        let named = orders.iter().filter(|other| other.completed_us < moved && other.customer.is_some());
        if let Some(customer) = named.max_by_key(|o| o.completed_us).and_then(|other| other.customer.clone())
        {
            return Former::Is(customer);
        }
        // A record that names the one it was transferred to says nothing of the time before.
        let now = self.picture.subscriptions.get(key).map(|subscription| &subscription.customer);
        match later.iter().all(|other| other.customer.is_some() && other.customer.as_ref() != now) {
            true => Former::NoTransfer,
            false => Former::Unknown,
        }
    }

    /// Gives the tasks that are still to be carried out to whom their orders are by now: one that names somebody is theirs,
    /// and one that names nobody is the customer's to whom the last transfer before it has moved the subscription, which
    /// may have come after the task was made.
    pub(super) fn follow_transfers(&mut self) {
        let mut others: Vec<(TaskId, CustomerId)> = Vec::new();
        for task in self.tasks.values().filter(|task| may_judge(task) && task.kind != TaskKind::Billing) {
            let Some(id) = &task.order_id else { continue };
            let orders = self.completed_orders_of(&(task.source.clone(), task.subscription.clone()));
            let Some(own) = orders.iter().find(|order| order.id == *id) else { continue };
            let moved = || self.moved_before(&(task.source.clone(), task.subscription.clone()), own);
            let whose = own.customer.clone().or_else(moved).filter(|customer| *customer != task.customer);
            others.extend(whose.map(|customer| (task.id.clone(), customer)));
        }
        for (id, customer) in others {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.customer = customer;
            }
        }
    }

    /// To whom the last transfer before an order moved its subscription.
    pub(super) fn moved_before(&self, key: &Key, order: &Order) -> Option<CustomerId> {
        let orders = self.completed_orders_of(key).into_iter();
        let before = orders
            .filter(|other| other.kind == OrderKind::Transfer && other.completed_us < order.completed_us);
        before.max_by_key(|other| other.completed_us)?.customer.clone()
    }

    pub(super) fn completed_orders_of(&self, key: &Key) -> Vec<&'_ Order> {
        let places = self.picture.places.get(key).map_or(&[][..], Vec::as_slice);
        let orders = self.picture.orders_of(&key.0);
        let found = places.iter().filter_map(|at| orders.get(*at)).map(|(_, order)| order);
        found.filter(|o| o.is_completed()).collect()
    }

    /// A task whose order is no longer completed at the source is not carried out.
    fn drop_task_of(&mut self, source: &SourceId, order: &Order) {
        let Some(task) = self.tasks.get_mut(&task_id_of_order(source, &order.id)) else { return };
        match task.state {
            TaskState::New
            | TaskState::NeedsMapping
            | TaskState::Ready
            | TaskState::Planned
            | TaskState::Failed
            | TaskState::Blocked => {
                task.state = TaskState::Ignored;
                task.reason = Some(format!("the order is {} at the source", order.status));
            }
            TaskState::Applying | TaskState::Done | TaskState::InDoubt | TaskState::Ignored => {}
        }
    }

    /// Active subscriptions that no task and no line of ours covers: by hand alone.
    pub(super) fn add_reconciliations(&mut self, source: &SourceId, first_day: Option<Date>) {
        let mut kinds: BTreeMap<SubscriptionId, Vec<(TaskKind, bool)>> = BTreeMap::new();
        for task in self.tasks.values().filter(|t| &t.source == source) {
            let known = kinds.entry(task.subscription.clone()).or_default();
            known.push((task.kind, task.state.is_final()));
        }
        let waiting: BTreeSet<&SubscriptionId> = self
            .picture
            .orders_of(source)
            .iter()
            .filter(|(_, o)| {
                o.kind == OrderKind::Sales && (!o.is_completed() || is_after(self.today, o, completed_on(o)))
            })
            .map(|(_, o)| &o.subscription)
            .collect();
        for (key, subscription) in &self.picture.subscriptions {
            let linked =
                self.picture.links.get(key).is_some_and(|l| l.iter().any(|l| !l.deleted && !l.is_settled()));
            let is_older = first_day.is_some_and(|day| subscription.start < day);
            let covered = match kinds.get(&key.1) {
                None => false,
                Some(kinds) => {
                    !is_older || !leaves_the_base(kinds) || self.picture.is_there(key, subscription)
                }
            };
            let wanted = &key.0 == source
                && subscription.status.bills()
                && subscription.billing_model == BillingModel::Advance
                && subscription.start <= self.today
                && !covered
                && !waiting.contains(&key.1)
                && !linked;
            if wanted {
                let task = reconciliation_task(source, subscription);
                self.fresh.insert(task.id.clone());
                self.tasks.insert(task.id.clone(), task);
            }
        }
    }

    /// A reconciliation that nobody has started yet is not needed once an order took over the line that was there.
    pub(super) fn settle_reconciliations(&mut self) {
        for task in self.tasks.values_mut() {
            let waits = match task.state {
                TaskState::New | TaskState::NeedsMapping | TaskState::Ready => task.decided_by.is_none(),
                TaskState::Planned
                | TaskState::Applying
                | TaskState::Done
                | TaskState::Failed
                | TaskState::InDoubt
                | TaskState::Ignored
                | TaskState::Blocked => false,
            };
            let key = (task.source.clone(), task.subscription.clone());
            let links = self.picture.links.get(&key).map_or(&[][..], Vec::as_slice);
            let taken_over = links.iter().any(|l| l.order.is_none() && l.key.is_none() && !l.deleted);
            if task.kind == TaskKind::Reconciliation && waits && taken_over {
                task.state = TaskState::Done;
                task.reason = Some("the addition that was there is taken over".to_owned());
            }
        }
    }

    /// Tells the tasks of one subscription and one instant apart.
    pub(super) fn take_turns(&mut self) {
        let picture = self.picture;
        for ((source, _), places) in picture.places.iter().filter(|(_, places)| places.len() > 1) {
            let all = picture.orders_of(source);
            let mut of_instant: BTreeMap<i64, Vec<&Order>> = BTreeMap::new();
            for (_, order) in places.iter().filter_map(|at| all.get(*at)) {
                of_instant.entry(order.completed_us).or_default().push(order);
            }
            for orders in of_instant.values().filter(|orders| orders.len() > 1) {
                for (turn, order) in (0..).zip(in_turn(orders)) {
                    if let Some(task) = self.tasks.get_mut(&task_id_of_order(source, &order.id)) {
                        task.turn = turn;
                    }
                }
            }
        }
    }

    /// A cancellation that found nothing to end is looked at again when an order comes in that lies before it: what
    /// that one sells would else be billed for ever.
    pub(super) async fn reopen_empty(
        &mut self,
        store: &dyn Store,
        org: &OrganizationId,
    ) -> Result<(), Failure> {
        let done: Vec<TaskId> = self
            .fresh
            .iter()
            .filter_map(|id| self.tasks.get(id))
            .flat_map(|fresh| {
                let key = (fresh.source.clone(), fresh.subscription.clone());
                let ids = self.order_ids_of(&key);
                ids.into_iter().filter_map(|id| self.tasks.get(&id)).filter(move |task| {
                    task.kind == TaskKind::Cancellation
                        && task.state == TaskState::Done
                        && fresh.sequence() < task.sequence()
                })
            })
            .map(|task| task.id.clone())
            .collect();
        for id in done {
            let plan = match store.find_plan_of_task(org, &id).await? {
                Some(plan) => store.find_plan(org, &plan).await?,
                None => None,
            };
            let wrote =
                plan.is_some_and(|plan| plan.body.plan().changes.iter().any(|change| change.task == id));
            if let Some(task) = self.tasks.get_mut(&id).filter(|_| !wrote) {
                task.state = TaskState::Ready;
                task.reason = None;
            }
        }
        Ok(())
    }

    /// The tasks that the orders of a subscription have.
    fn order_ids_of(&self, key: &Key) -> Vec<TaskId> {
        let places = self.picture.places.get(key).map_or(&[][..], Vec::as_slice);
        let orders = self.picture.orders_of(&key.0);
        places.iter().filter_map(|at| orders.get(*at)).map(|(_, o)| task_id_of_order(&key.0, &o.id)).collect()
    }

    /// Judges every task that is open and waits for nothing but us.
    pub(super) fn judge_all(&mut self) {
        let orders = self.orders_by_id();
        for task in self.tasks.values_mut() {
            if !may_judge(task) {
                continue;
            }
            let order = task.order_id.as_ref().and_then(|id| orders.get(&(&task.source, id)).copied());
            if order.is_some_and(|o| !o.is_completed()) {
                continue;
            }
            let key = (task.source.clone(), task.subscription.clone());
            let facts = Facts {
                mappings: &self.picture.mappings,
                subscription: self.picture.subscriptions.get(&key),
                picture: self.picture.psa.as_ref(),
                broken: &self.broken,
            };
            let was_ignored = task.state == TaskState::Ignored;
            let standing = assess(task, order, facts);
            let said = said_by_a_plan(task, &self.plans_say);
            let found = stand(task, standing);
            if task.state == TaskState::Ready && task.reason.is_none() {
                task.reason = said;
            }
            // A task that was left out before is no news.
            if !(was_ignored && task.state == TaskState::Ignored) {
                self.report.findings.extend(found.iter().cloned());
            }
            self.all_findings.extend(found);
        }
    }

    /// Tasks of one subscription run strictly in the order of completion.
    pub(super) fn block_later_ones(&mut self) {
        let mut order: Vec<TaskId> = self.tasks.keys().cloned().collect();
        order.sort_by(|a, b| {
            self.tasks.get(a).map(Task::sequence).cmp(&self.tasks.get(b).map(Task::sequence))
        });
        let mut stuck: BTreeMap<Key, TaskId> = BTreeMap::new();
        for id in order {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            if task.kind == TaskKind::Reconciliation {
                continue;
            }
            let key = (task.source.clone(), task.subscription.clone());
            match task.state {
                TaskState::New | TaskState::Ready | TaskState::Blocked => {
                    if let Some(earlier) = stuck.get(&key) {
                        task.state = TaskState::Blocked;
                        task.reason = Some(earlier.to_string());
                    }
                }
                TaskState::NeedsMapping | TaskState::Failed | TaskState::InDoubt => {
                    stuck.entry(key).or_insert(id);
                }
                TaskState::Planned | TaskState::Applying | TaskState::Done | TaskState::Ignored => {}
            }
        }
    }
}

/// Whether orders of these kinds go on from what earlier ones sold, which are no tasks: nothing bills that.
fn leaves_the_base(kinds: &[(TaskKind, bool)]) -> bool {
    let brings_it = |kind: TaskKind| match kind {
        TaskKind::Sales | TaskKind::Transfer | TaskKind::Reconciliation => true,
        TaskKind::Change | TaskKind::Billing | TaskKind::Renewal | TaskKind::Cancellation => false,
    };
    !kinds.iter().any(|(kind, _)| brings_it(*kind)) && kinds.iter().any(|(_, is_final)| !is_final)
}

/// Whether a check looks at a task again.
pub(super) fn may_judge(task: &Task) -> bool {
    match task.state {
        TaskState::New | TaskState::NeedsMapping | TaskState::Ready | TaskState::Blocked => true,
        // What a person put aside stays there; what we left out is looked at again.
        TaskState::Ignored => task.decided_by.is_none(),
        TaskState::Planned
        | TaskState::Applying
        | TaskState::Done
        | TaskState::Failed
        | TaskState::InDoubt => false,
    }
}

/// What a plan found wanting, where that is why the task stands as it does: a check looks for other things, and only a plan
/// says that it is mended.
fn said_by_a_plan(task: &Task, plans_say: &BTreeSet<(TaskId, Code)>) -> Option<String> {
    let codes: Option<Vec<Code>> = task.reason.as_deref()?.split(", ").map(Code::from_name).collect();
    let mut codes = codes?;
    codes.retain(|code| plans_say.contains(&(task.id.clone(), *code)));
    let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
    (!codes.is_empty()).then(|| codes.join(", "))
}

/// Whether only a plan, which sees what ConnectWise holds, can have found it: no check finds it again, and none says that it is
/// mended.
pub(super) fn is_of_a_plan(finding: &Finding) -> bool {
    match finding.code {
        // A rule that mappings break is told of the whole task, a line that is in the way of the product.
        Code::Tu2007 => finding.subject.product.is_some(),
        Code::Tu8006 => finding.subject.detail.as_deref() != Some(changed::DETAIL),
        code => !JUDGED.contains(&code), // open set: codes come with what finds them
    }
}

fn stand(task: &mut Task, standing: Standing) -> Vec<Finding> {
    let (state, reason, found) = match standing {
        Standing::Ready if task.kind == TaskKind::Reconciliation => {
            (TaskState::Ready, Some(BY_A_PERSON.to_owned()), Vec::new())
        }
        Standing::Ready => (TaskState::Ready, None, Vec::new()),
        Standing::NeedsMapping(found) => {
            let codes: BTreeSet<String> = found.iter().map(|f| f.code.to_string()).collect();
            let reason = codes.into_iter().collect::<Vec<_>>().join(", ");
            (TaskState::NeedsMapping, Some(reason), found)
        }
        Standing::Ignored(reason, found) => (TaskState::Ignored, Some(reason), found),
    };
    task.state = state;
    task.reason = reason;
    found
}
