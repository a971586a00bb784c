//! Why amounts are left out (TU6005), and what to do about those that no setting brings back.

use crate::money::Money;

/// It would be a credit, and none are written.
pub const CREDITS_OFF: &str = "credits are off";

/// It is of days before the first billed one.
pub const BEFORE_GO_LIVE: &str =
    "it lies before go-live, and is billed or given back by hand where it was not yet";

/// It is of days that were used and that neither an invoice nor the order bills.
pub const NEVER_INVOICED: &str = "they were never invoiced, and the order has no line for them";

/// It is of days that were used, and no line is known that bills them.
pub const NOBODY_KNOWN: &str = "no line of trueup is known to bill these days";

/// What to do about an amount; none where the words of the code say it.
pub fn fix(why: &str, amount: Money) -> Option<&'static str> {
    match why {
        CREDITS_OFF => Some(
            "Credit it by hand where it is owed. With `credits` on, what would be left out so from then on is a line of its own.",
        ),
        BEFORE_GO_LIVE | NEVER_INVOICED | NOBODY_KNOWN if amount.is_negative() => {
            Some("Credit it by hand where it is owed and was not credited yet.")
        }
        BEFORE_GO_LIVE | NEVER_INVOICED | NOBODY_KNOWN => {
            Some("Bill it by hand where it is owed and was not billed yet.")
        }
        _ => None, // open set: reasons
    }
}
