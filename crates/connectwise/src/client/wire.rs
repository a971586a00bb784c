//! Records as ConnectWise spells them: only the fields that are used.
//!
//! Unknown fields and unknown words are let pass, since the vendor adds both without notice. A managed field of another
//! type is an error: guessing there would bill somebody wrongly.

mod finance;
mod procurement;
mod system;

use serde::{Deserialize, Serialize};

pub use finance::*;
pub use procurement::*;
pub use system::*;

/// Names of fields in conditions and projections.
pub mod names {
    /// The id of a record.
    pub const ID: &str = "id";
    /// The id of the company of a record.
    pub const COMPANY_ID: &str = "company/id";
    /// Whether a company is in the recycle bin.
    pub const DELETED: &str = "deletedFlag";
    /// Whether an agreement is cancelled.
    pub const CANCELLED: &str = "cancelledFlag";
    /// The caption of a custom field.
    pub const CAPTION: &str = "caption";
    /// When a record was changed; every kind of record can be filtered by it.
    pub const LAST_UPDATED: &str = "lastUpdated";
    /// Query parameter: conditions on the children of a record.
    pub const CHILD_CONDITIONS: &str = "childConditions";
    /// Query parameter: conditions on custom fields.
    pub const CUSTOM_FIELD_CONDITIONS: &str = "customFieldConditions";
    /// The fields of a company that are read: it has a hundred, and a page of whole ones is several megabytes.
    pub const COMPANY_FIELDS: &str =
        "id,identifier,name,status,deletedFlag,currency,accountNumber,billToCompany,_info";
}

/// A record with an id.
pub trait Record {
    /// The id.
    fn id(&self) -> i64;
}

macro_rules! record {
    ($($name:ident),+) => {
        $(impl Record for $name {
            fn id(&self) -> i64 {
                self.id
            }
        })+
    };
}
record!(
    Company,
    Agreement,
    Addition,
    CatalogItem,
    BillingCycle,
    Currency,
    Invoice,
    SetupRow,
    UserDefinedField,
    SecurityRole,
    SecurityRoleSetting,
    ApiMember,
    Named,
    CallbackEntry
);

/// A reference to another record. Which of its keys are there depends on the kind of record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Reference {
    /// The id.
    pub id: Option<i64>,
    /// The short unique text.
    pub identifier: Option<String>,
    /// The name.
    pub name: Option<String>,
}

/// A reference by id, as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ById {
    /// The id.
    pub id: i64,
}

/// When a record was last changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct Info {
    /// The instant as ConnectWise writes it, in whole seconds.
    #[serde(rename = "lastUpdated")]
    pub last_updated: Option<String>,
    /// Who changed it.
    #[serde(rename = "updatedBy")]
    pub updated_by: Option<String>,
}

/// A company.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Company {
    /// The id.
    pub id: i64,
    /// The short unique text.
    pub identifier: String,
    /// The name.
    pub name: String,
    /// Its status, a record of the tenant's own table.
    pub status: Option<Reference>,
    /// Whether it is in the recycle bin.
    #[serde(default)]
    pub deleted_flag: Option<bool>,
    /// Its currency.
    pub currency: Option<CurrencyReference>,
    /// The account number, which other systems use for their own id.
    pub account_number: Option<String>,
    /// The company that pays in its place.
    pub bill_to_company: Option<Reference>,
    /// When it was changed.
    #[serde(rename = "_info", default)]
    pub info: Info,
}
