//! Who buys: organizations, customers and their contact persons.

use super::Ext;
use crate::ids::{CustomerId, OrganizationId};
use crate::money::Currency;
use serde::{Deserialize, Serialize};

/// A node of the organization tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    /// Id at the source.
    pub id: OrganizationId,
    /// Display name.
    pub name: String,
    /// `operator`, `partner`, `customer` or `site`.
    pub kind: String,
    /// The node above.
    pub parent: Option<OrganizationId>,
    /// Free text.
    pub status: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// First line.
    pub line1: Option<String>,
    /// Second line.
    pub line2: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Region or state.
    pub region: Option<String>,
    /// Postcode.
    pub postcode: Option<String>,
    /// Country.
    pub country: Option<String>,
}

/// A customer of the source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Id at the source.
    pub id: CustomerId,
    /// Display name.
    pub name: String,
    /// The partner of the tree it belongs to.
    pub organization: Option<OrganizationId>,
    /// The customer above.
    pub parent: Option<CustomerId>,
    /// Short code.
    pub code: Option<String>,
    /// Mail or web domain.
    pub domain: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Fax.
    pub fax: Option<String>,
    /// Web site.
    pub website: Option<String>,
    /// Tax id.
    pub tax_id: Option<String>,
    /// Billing currency.
    pub currency: Option<Currency>,
    /// Kind of account at the source.
    pub account_type: Option<String>,
    /// Free text.
    pub status: Option<String>,
    /// Postal address.
    pub address: Option<Address>,
    /// Main contact.
    pub contact: Option<String>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}

/// A contact person of a customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contact {
    /// Id at the source.
    pub id: String,
    /// Whose contact it is.
    pub customer: CustomerId,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Job title.
    pub job_title: Option<String>,
    /// Telephone.
    pub phone: Option<String>,
    /// Mobile telephone.
    pub mobile: Option<String>,
    /// Fax.
    pub fax: Option<String>,
    /// `admin`, `billing` or `technical`.
    pub role: Option<String>,
    /// Whether it is the main contact.
    pub primary: Option<bool>,
    /// Unknown fields.
    #[serde(default)]
    pub ext: Ext,
}
