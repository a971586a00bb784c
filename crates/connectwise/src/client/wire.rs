//! Records as ConnectWise spells them: only the fields that are used.
//!
//! Unknown fields and unknown words are let pass, since the vendor adds both without notice. A managed field of another
//! type is an error: guessing there would bill somebody wrongly.

mod each;
mod finance;
mod procurement;
mod service;
mod system;

use serde::{Deserialize, Serialize};

use crate::client::value::WireDate;

pub use each::{Each, Unread};
pub use finance::*;
pub use procurement::*;
pub use service::*;
pub use system::*;

/// Names of fields in conditions and projections.
pub mod names {
    /// The id of a record.
    pub const ID: &str = "id";
    /// The short unique text of a record.
    pub const IDENTIFIER: &str = "identifier";
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
    pub const COMPANY_FIELDS: &str = "id,identifier,name,status,deletedFlag,currency,accountNumber,billToCompany,taxIdentifier,website,\
         invoiceToEmailAddress,phoneNumber,addressLine1,city,state,zip,country,defaultContact,_info";
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
    CallbackEntry,
    ServiceBoard,
    BoardStatus,
    BoardSubtype,
    TypeAssociation,
    Priority,
    Member,
    Ticket,
    ServiceNote
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

/// A new company.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewCompany {
    /// The short unique text.
    pub identifier: String,
    /// The name.
    pub name: String,
    /// The account number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_number: Option<String>,
    /// The tax id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_identifier: Option<String>,
    /// The web site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    /// Where invoices are mailed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_to_email_address: Option<String>,
    /// The telephone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// The street.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_line1: Option<String>,
    /// The city.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// The state or region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The postcode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zip: Option<String>,
}

/// A new agreement.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewAgreement {
    /// The name, 100 characters.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub agreement_type: ById,
    /// Whose.
    pub company: ById,
    /// Who is written to.
    pub contact: ById,
    /// First day.
    pub start_date: WireDate,
    /// First billed day.
    pub bill_start_date: WireDate,
    /// How often it is billed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_cycle: Option<ById>,
    /// The currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<ById>,
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
    /// The tax id.
    #[serde(default)]
    pub tax_identifier: Option<String>,
    /// The web site.
    #[serde(default)]
    pub website: Option<String>,
    /// Where invoices are mailed to.
    #[serde(default)]
    pub invoice_to_email_address: Option<String>,
    /// The telephone.
    #[serde(default)]
    pub phone_number: Option<String>,
    /// The street.
    #[serde(default)]
    pub address_line1: Option<String>,
    /// The city.
    #[serde(default)]
    pub city: Option<String>,
    /// The state or region.
    #[serde(default)]
    pub state: Option<String>,
    /// The postcode.
    #[serde(default)]
    pub zip: Option<String>,
    /// The country.
    #[serde(default)]
    pub country: Option<Reference>,
    /// The main contact.
    #[serde(default)]
    pub default_contact: Option<Reference>,
    /// The company that pays in its place.
    pub bill_to_company: Option<Reference>,
    /// When it was changed.
    #[serde(rename = "_info", default)]
    pub info: Info,
}
