//! Ids as types: a raw integer or string stops at the edge of the program.
//!
//! Text ids are short, and there are a dozen of them in every change of a plan: one of up to 23 bytes lies in place, and a
//! longer one is shared by all its copies.

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, ToSmolStr as _};
use std::fmt;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(SmolStr);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }
        impl From<fmt::Arguments<'_>> for $name {
            fn from(text: fmt::Arguments<'_>) -> Self {
                Self(text.to_smolstr())
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(SmolStr::new(text))
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(SmolStr::from(text))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(crate) use number_id;

text_id!(
    /// An organization of trueup's own tree, by its slug.
    OrganizationId
);
text_id!(
    /// The name of a source; ids of feed records are unique within one source and type.
    SourceId
);
text_id!(
    /// A customer's id at the source.
    CustomerId
);
text_id!(
    /// A product's id at the source.
    ProductId
);
text_id!(
    /// A subscription's id at the source.
    SubscriptionId
);
text_id!(
    /// An order's id at the source.
    OrderId
);
text_id!(
    /// The id of one line of an order.
    LineId
);
text_id!(
    /// A task of trueup.
    TaskId
);
text_id!(
    /// A stored plan.
    PlanId
);
text_id!(
    /// One change of a plan, unique within it.
    ChangeId
);
number_id!(
    /// A company record in ConnectWise.
    CompanyId
);
number_id!(
    /// An agreement in ConnectWise.
    AgreementId
);
number_id!(
    /// An addition of an agreement in ConnectWise.
    AdditionId
);
number_id!(
    /// A product definition (catalog item) in ConnectWise.
    CatalogItemId
);
