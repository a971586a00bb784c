//! Tasks: one order (or level change) to bring into ConnectWise, and the states it passes through.

use crate::amendment::Amendment;
use crate::feed::{Order, OrderKind, OrderLine};
use crate::ids::{CustomerId, OrderId, SourceId, SubscriptionId, TaskId};
use crate::period::Period;
use crate::settings::PriceSource;
use serde::{Deserialize, Serialize};

/// What a task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A sales order.
    Sales,
    /// A change order.
    Change,
    /// A billing order.
    Billing,
    /// A cancellation order.
    Cancellation,
    /// A renewal order.
    Renewal,
    /// A transfer order.
    Transfer,
    /// The present state of a subscription; by hand alone.
    Reconciliation,
}

impl TaskKind {
    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Change => "change",
            Self::Billing => "billing",
            Self::Cancellation => "cancellation",
            Self::Renewal => "renewal",
            Self::Transfer => "transfer",
            Self::Reconciliation => "reconciliation",
        }
    }

    /// The kind that a name means.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Sales,
            Self::Change,
            Self::Billing,
            Self::Cancellation,
            Self::Renewal,
            Self::Transfer,
            Self::Reconciliation,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

impl From<OrderKind> for TaskKind {
    fn from(kind: OrderKind) -> Self {
        match kind {
            OrderKind::Sales => Self::Sales,
            OrderKind::Change => Self::Change,
            OrderKind::Billing => Self::Billing,
            OrderKind::Cancellation => Self::Cancellation,
            OrderKind::Renewal => Self::Renewal,
            OrderKind::Transfer => Self::Transfer,
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Found, not looked at.
    New,
    /// A customer, product, fee or agreement has no mapping.
    NeedsMapping,
    /// Can be planned.
    Ready,
    /// A stored plan answers it.
    Planned,
    /// Its plan is being carried out.
    Applying,
    /// ConnectWise holds what it asks for.
    Done,
    /// ConnectWise refused, or it cannot be computed.
    Failed,
    /// An operation has no clear outcome yet.
    InDoubt,
    /// Left out, with reason, by whom and when.
    Ignored,
    /// Waits for an earlier task of the same subscription.
    Blocked,
}

impl TaskState {
    /// All states.
    pub const ALL: [Self; 10] = [
        Self::New,
        Self::NeedsMapping,
        Self::Ready,
        Self::Planned,
        Self::Applying,
        Self::Done,
        Self::Failed,
        Self::InDoubt,
        Self::Ignored,
        Self::Blocked,
    ];

    /// The word in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::NeedsMapping => "needs_mapping",
            Self::Ready => "ready",
            Self::Planned => "planned",
            Self::Applying => "applying",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::InDoubt => "in_doubt",
            Self::Ignored => "ignored",
            Self::Blocked => "blocked",
        }
    }

    /// The state that a name means.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_final(self) -> bool {
        match self {
            Self::Done | Self::Ignored => true,
            Self::New
            | Self::NeedsMapping
            | Self::Ready
            | Self::Planned
            | Self::Applying
            | Self::Failed
            | Self::InDoubt
            | Self::Blocked => false,
        }
    }
}

/// One order, or one subscription's state, to bring into ConnectWise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Id, made from source and order (or subscription): the same order always gives the same task.
    pub id: TaskId,
    /// Source.
    pub source: SourceId,
    /// Kind.
    pub kind: TaskKind,
    /// Whose.
    pub customer: CustomerId,
    /// Of which subscription.
    pub subscription: SubscriptionId,
    /// From which order; none for a reconciliation.
    pub order_id: Option<OrderId>,
    /// Completion instant in UTC microseconds: tasks of one subscription run in this order.
    pub completed_us: i64,
    /// Which one it is among those that were completed at the same instant ([`crate::turns`]).
    #[serde(default)]
    pub turn: u32,
    /// Where it stands.
    pub state: TaskState,
    /// Why it stands there: the reason of `ignored`, the code of `failed`, the task of `blocked`.
    pub reason: Option<String>,
    /// Who put it there, where a person did.
    pub decided_by: Option<String>,
    /// Price source of this task alone.
    pub price_source: Option<PriceSource>,
    /// What a person set of the lines that it proposes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amendments: Vec<Amendment>,
    /// How often what was written for it was taken back: its next lines are others, with keys of their own.
    #[serde(default)]
    pub undone: u32,
}

impl Task {
    /// Tasks of one subscription are carried out in the order of this.
    pub fn sequence(&self) -> (i64, u32, Option<&OrderId>) {
        (self.completed_us, self.turn, self.order_id.as_ref())
    }
}

/// What a task asks for, with the records it needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    /// Bring an order in.
    Order(Box<Order>),
    /// Make the subscription's present lines exist; no part periods.
    Reconcile {
        /// The period asked for; none means the one that holds today.
        period: Option<Period>,
        /// Whether lines may be proposed for periods that are invoiced (they move to the next open one).
        confirm_invoiced: bool,
        /// What orders of the subscription do beside it.
        #[serde(default)]
        beside: Beside,
    },
}

impl Demand {
    /// The orders whose products it may have to bill.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        let (own, beside) = match self {
            Self::Order(order) => (Some(order.as_ref()), None),
            Self::Reconcile { beside, .. } => (None, Some(beside.carried.iter().chain(&beside.open))),
        };
        own.into_iter().chain(beside.into_iter().flatten())
    }

    /// Whether it changes a product by a difference alone, so that the orders before it tell from how many.
    pub fn tells_a_difference(&self) -> bool {
        match self {
            Self::Order(order) => {
                order.kind == OrderKind::Change && order.lines.iter().any(OrderLine::is_difference)
            }
            Self::Reconcile { .. } => false,
        }
    }
}

/// What trueup carries out of a subscription by its orders, so that a reconciliation leaves it to them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// Orders that were carried out, in their sequence.
    pub carried: Vec<Order>,
    /// Orders that will be, in their sequence.
    pub open: Vec<Order>,
    /// The first day that is not sold any more, where the subscription ended.
    pub ended: Option<jiff::civil::Date>,
    /// Of the orders that were carried out those that the subscription's record may be older than: it came in before them, or
    /// with them.
    #[serde(default)]
    pub newer: Vec<OrderId>,
}

/// The id of the task of an order.
pub fn task_id_of_order(source: &SourceId, order: &OrderId) -> TaskId {
    TaskId::from(crate::plan::short_hash("tk", &["order", source.as_str(), order.as_str()], 14))
}

/// The id of the reconciliation task of a subscription.
pub fn task_id_of_subscription(source: &SourceId, subscription: &SubscriptionId) -> TaskId {
    TaskId::from(crate::plan::short_hash("tk", &["subscription", source.as_str(), subscription.as_str()], 14))
}
