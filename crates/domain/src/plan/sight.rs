//! What a plan saw of the agreements that it writes to.

use crate::ids::{AdditionId, CompanyId};
use crate::money::{Currency, Quantity};
use crate::period::BillingCycle;
use crate::psa::{AdditionState, Agreement, AgreementStatus};
use jiff::civil::Date;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// What the plan saw of an agreement; if any of it changed, the plan is stale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementSight {
    /// State.
    pub status: AgreementStatus,
    /// First day that is not invoiced.
    pub next_invoice: Option<Date>,
    /// Whether it prorates.
    pub prorates: bool,
    /// Last day.
    pub end: Option<Date>,
    /// Whose it is and how it bills; none of a plan that was made before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<AgreementTerms>,
    /// Every addition that bills one of the plan's catalog items, with the managed fields that were seen.
    pub additions: SeenAdditions,
}

/// What the lines of a plan were reckoned by, beside the days of the agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreementTerms {
    /// Whose it is.
    pub company: CompanyId,
    /// In which currency it bills.
    pub currency: Option<Currency>,
    /// How often it bills.
    pub billing_cycle: Option<BillingCycle>,
    /// Whether its periods lie on the calendar.
    pub by_calendar: bool,
    /// First day that it bills.
    pub bill_start: Option<Date>,
    /// How many units of an addition that was seen are billed nothing, where there are any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub included: BTreeMap<AdditionId, Quantity>,
}

impl AgreementTerms {
    /// The terms of an agreement, with what is included in each addition that was seen of it.
    pub fn of(agreement: &Agreement, included: impl Iterator<Item = (AdditionId, Quantity)>) -> Self {
        Self {
            company: agreement.company,
            currency: agreement.currency,
            billing_cycle: agreement.billing_cycle,
            by_calendar: agreement.by_calendar,
            bill_start: agreement.bill_start.or(agreement.start),
            included: included.filter(|(_, units)| !units.is_zero()).collect(),
        }
    }

    /// How many units of an addition are billed nothing.
    pub fn included_in(&self, addition: AdditionId) -> Quantity {
        self.included.get(&addition).copied().unwrap_or(Quantity::ZERO)
    }
}

/// Additions by their ids, with the managed fields that were seen; serialised as a map. There are few of an agreement:
/// they lie beside each other in the order of their ids, in no more room than they need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "BTreeMap<AdditionId, AdditionState>")]
pub struct SeenAdditions(Box<[(AdditionId, AdditionState)]>);

impl SeenAdditions {
    /// Whether an addition was seen.
    pub fn contains(&self, id: AdditionId) -> bool {
        self.0.binary_search_by_key(&id, |(seen, _)| *seen).is_ok()
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (AdditionId, &AdditionState)> {
        self.0.iter().map(|(id, state)| (*id, state))
    }
}

impl From<BTreeMap<AdditionId, AdditionState>> for SeenAdditions {
    fn from(sorted: BTreeMap<AdditionId, AdditionState>) -> Self {
        Self(sorted.into_iter().collect())
    }
}

impl FromIterator<(AdditionId, AdditionState)> for SeenAdditions {
    /// Of several with the same id the last counts.
    fn from_iter<I: IntoIterator<Item = (AdditionId, AdditionState)>>(seen: I) -> Self {
        let seen: Box<[_]> = seen.into_iter().collect();
        // What was read lies in this order as a rule.
        if seen.is_sorted_by(|(a, _), (b, _)| a < b) {
            Self(seen)
        } else {
            seen.into_iter().collect::<BTreeMap<_, _>>().into()
        }
    }
}

impl Serialize for SeenAdditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}
