//! For which way of billing the dates of a line were written.

use super::AdditionLink;
use crate::psa::AdditionState;
use serde::{Deserialize, Serialize};

/// Whether the agreement prorated when trueup gave a line its first and its last day; none where trueup did not, or nobody
/// remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prorated {
    /// Of the first day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begin: Option<bool>,
    /// Of the last day, or of having none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<bool>,
}

impl Prorated {
    /// Of a line that is made on an agreement.
    pub fn of(prorates: Option<bool>) -> Self {
        Self { begin: prorates, end: prorates }
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a day was given for the other way of billing.
    pub fn differs_from(self, prorates: bool) -> bool {
        [self.begin, self.end].into_iter().flatten().any(|then| then != prorates)
    }
}

impl AdditionLink {
    /// The link after the line was changed on an agreement that prorates, or does not: the days that it was given are for that.
    pub fn dated(mut self, before: &AdditionState, prorates: Option<bool>) -> Self {
        if before.effective != self.written.effective {
            self.prorated.begin = prorates;
        }
        if before.cancelled != self.written.cancelled {
            self.prorated.end = prorates;
        }
        self
    }
}
