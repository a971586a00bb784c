//! Bugs that the schedules must catch.

/// The planted bugs. Each stands in the tests alone, at the least place where its effect can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A create without an answer is sent again at once.
    BlindRetry,
    /// What is in doubt is believed after less than the server's own time.
    ShortSettle,
    /// Lists are read by the number of the page.
    PageNumbers,
    /// Leases tell no two workers apart.
    NoFence,
    /// Prices go through floating point.
    FloatMoney,
    /// What was completed before the newest order known is not looked at.
    NoOverlap,
    /// An agreement that looks empty is taken for empty.
    TrustsEmptyList,
    /// The address in a `Link` header is called.
    FollowsLink,
}
