//! The words that settings take, as types.

use serde::{Deserialize, Serialize};

/// Where price and cost come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceSource {
    /// The order.
    #[default]
    Marketplace,
    /// The existing addition, else the catalog item.
    Connectwise,
}

/// Where a prorated amount is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundingPlace {
    /// The unit amount is rounded, then multiplied.
    #[default]
    Unit,
    /// The line is rounded once.
    Line,
}

/// Who bills a part period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProrationBy {
    /// A line of ours.
    #[default]
    Trueup,
    /// ConnectWise, from the dates.
    Connectwise,
    /// Nobody.
    None,
}

/// How a part period is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineMode {
    /// A one-time line for the part.
    #[default]
    ProrateLine,
    /// One line with an averaged unit price.
    Single,
    /// The full line and a correction line.
    Dual,
    /// Lines dated by the commitment, corrections as in dual.
    Commitment,
}

/// To which state the day of a change belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeDay {
    /// To the new one.
    #[default]
    New,
    /// To the old one.
    Old,
}

/// A switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    /// Off.
    #[default]
    Off,
    /// On.
    On,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// How a change of quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuantityChange {
    /// The old addition ends, a new one begins.
    #[default]
    EndAndCreate,
    /// The addition is edited where that bills the right amount.
    EditInPlace,
}

/// What ConnectWise's cancelled date means on a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelledDate {
    /// The last billed day.
    #[default]
    LastBilledDay,
    /// The first day that is not billed.
    FirstUnbilledDay,
}

/// Where the key of a line lives.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkerPlace {
    /// A custom field captioned `trueup key` where the tenant has one, else the serial number.
    #[default]
    Auto,
    /// The serial number.
    SerialNumber,
    /// The custom field with this caption.
    CustomField(String),
    /// Nowhere: the journal and the natural key alone.
    None,
}
