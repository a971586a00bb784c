//! The definition table: every resource, its fields, their types, limits and references.
//!
//! The engine knows nothing about agreements or invoices; what a record looks like is data here, and only what a
//! table cannot say (invoicing, proration, date rules) lives in its own module. Field names, enum values and
//! maximum lengths are the vendor's (ConnectWise "Manage Public Endpoints" 2026.4).

mod company;
mod finance;
mod procurement;
mod service;
mod system;

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// A whole number.
    Int,
    /// A double in the vendor's schema, an exact decimal here.
    Num,
    /// A boolean.
    Bool,
    /// Text.
    Text,
    /// A date-time `yyyy-MM-ddTHH:mm:ssZ`.
    Date,
    /// One of a list of words.
    Enum(&'static [&'static str]),
    /// A reference to a record of another resource, named by its path.
    Ref(&'static str),
    /// A reference to something the sandbox does not hold; kept as sent.
    AnyRef,
    /// A list of references.
    RefList(&'static str),
    /// An array or object kept as sent.
    Opaque,
    /// The custom fields of the record.
    CustomFields,
}

/// One field of a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The JSON name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// A body without it is refused.
    pub required: bool,
    /// A full replacement without it is refused.
    pub required_on_put: bool,
    /// Longest text, 0 for no limit.
    pub max: usize,
    /// Set by the server; a value in a body is ignored.
    pub server: bool,
    /// Refused when a record is replaced.
    pub create_only: bool,
}

impl Field {
    const fn of(name: &'static str, kind: Kind) -> Self {
        Field {
            name,
            kind,
            required: false,
            required_on_put: false,
            max: 0,
            server: false,
            create_only: false,
        }
    }
    const fn req(mut self) -> Self {
        self.required = true;
        self
    }
    const fn put(mut self) -> Self {
        self.required_on_put = true;
        self
    }
    const fn server(mut self) -> Self {
        self.server = true;
        self
    }
    const fn create_only(mut self) -> Self {
        self.create_only = true;
        self
    }
}

const fn int(name: &'static str) -> Field {
    Field::of(name, Kind::Int)
}
const fn num(name: &'static str) -> Field {
    Field::of(name, Kind::Num)
}
const fn flag(name: &'static str) -> Field {
    Field::of(name, Kind::Bool)
}
const fn date(name: &'static str) -> Field {
    Field::of(name, Kind::Date)
}
const fn text(name: &'static str, max: usize) -> Field {
    let mut field = Field::of(name, Kind::Text);
    field.max = max;
    field
}
const fn one_of(name: &'static str, words: &'static [&'static str]) -> Field {
    Field::of(name, Kind::Enum(words))
}
const fn link(name: &'static str, target: &'static str) -> Field {
    Field::of(name, Kind::Ref(target))
}
const fn any(name: &'static str) -> Field {
    Field::of(name, Kind::AnyRef)
}
const fn opaque(name: &'static str) -> Field {
    Field::of(name, Kind::Opaque)
}
const CUSTOM: Field = Field::of("customFields", Kind::CustomFields);

/// One resource of the API.
#[derive(Debug)]
pub(crate) struct Resource {
    /// Path below `apis/3.0/`, `{id}` standing for the parent's id.
    pub path: &'static str,
    /// The name the vendor uses in error bodies (`addition object is invalid`).
    pub name: &'static str,
    /// The name in "not found" messages.
    pub label: &'static str,
    /// Role function guarding it, `Module/Function`.
    pub function: &'static str,
    /// The unique text field, if the vendor keeps one unique.
    pub key: Option<&'static str>,
    /// Message for a second record with the same key.
    pub taken: &'static str,
    /// What a reference to a record of this resource shows: member and the field it comes from.
    pub reference: &'static [(&'static str, &'static str)],
    /// Fields of the `/info` twin; none when there is no twin.
    pub info: &'static [&'static str],
    /// Methods answered beside GET, as letters: A add (POST), U update (PUT, PATCH), D delete.
    pub writes: &'static str,
    /// The fields, in the order they are printed, `id` and `_info` left out.
    pub fields: &'static [Field],
}

const BY_NAME: &[(&str, &str)] = &[("name", "name")];
const BY_IDENTIFIER: &[(&str, &str)] = &[("identifier", "identifier"), ("name", "name")];

impl Resource {
    const fn table(
        path: &'static str,
        name: &'static str,
        label: &'static str,
        function: &'static str,
        fields: &'static [Field],
    ) -> Self {
        Resource {
            path,
            name,
            label,
            function,
            key: None,
            taken: "",
            reference: BY_NAME,
            info: &[],
            writes: "AUD",
            fields,
        }
    }
    const fn keyed(mut self, key: &'static str, taken: &'static str) -> Self {
        self.key = Some(key);
        self.taken = taken;
        self
    }
    const fn shown(mut self, reference: &'static [(&'static str, &'static str)]) -> Self {
        self.reference = reference;
        self
    }
    const fn with_info(mut self, fields: &'static [&'static str]) -> Self {
        self.info = fields;
        self
    }
    const fn writes(mut self, letters: &'static str) -> Self {
        self.writes = letters;
        self
    }

    /// The field with this exact name, and its position.
    pub(crate) fn field(&self, name: &str) -> Option<(usize, &'static Field)> {
        self.fields.iter().enumerate().find(|(_, field)| field.name == name)
    }

    /// The field with this name whatever its case, and its position.
    pub(crate) fn field_any_case(&self, name: &str) -> Option<(usize, &'static Field)> {
        self.fields.iter().enumerate().find(|(_, field)| field.name.eq_ignore_ascii_case(name))
    }

    /// The path of the resource whose records own these, if any.
    pub(crate) fn parent_path(&self) -> Option<&'static str> {
        self.path.split_once("/{id}/").map(|(parent, _)| parent)
    }
}

/// Paths of the resources the rules speak about.
pub(crate) mod paths {
    pub(crate) const COMPANIES: &str = "company/companies";
    pub(crate) const COMPANY_STATUSES: &str = "company/companies/statuses";
    pub(crate) const COMPANY_TYPES: &str = "company/companies/types";
    pub(crate) const COMMUNICATION_TYPES: &str = "company/communicationTypes";
    pub(crate) const COMMUNICATIONS: &str = "company/contacts/{id}/communications";
    pub(crate) const COUNTRIES: &str = "company/countries";
    pub(crate) const CONTACTS: &str = "company/contacts";
    pub(crate) const SITES: &str = "company/companies/{id}/sites";
    pub(crate) const AGREEMENTS: &str = "finance/agreements";
    pub(crate) const AGREEMENT_TYPES: &str = "finance/agreements/types";
    pub(crate) const ADDITIONS: &str = "finance/agreements/{id}/additions";
    pub(crate) const ADJUSTMENTS: &str = "finance/agreements/{id}/adjustments";
    pub(crate) const INVOICES: &str = "finance/invoices";
    pub(crate) const PAYMENTS: &str = "finance/invoices/{id}/payments";
    pub(crate) const BILLING_CYCLES: &str = "finance/billingCycles";
    pub(crate) const BILLING_TERMS: &str = "finance/billingTerms";
    pub(crate) const BILLING_STATUSES: &str = "finance/billingStatuses";
    pub(crate) const CURRENCIES: &str = "finance/currencies";
    pub(crate) const TAX_CODES: &str = "finance/taxCodes";
    pub(crate) const CATALOG: &str = "procurement/catalog";
    pub(crate) const CATEGORIES: &str = "procurement/categories";
    pub(crate) const SUBCATEGORIES: &str = "procurement/subcategories";
    pub(crate) const PRODUCT_TYPES: &str = "procurement/types";
    pub(crate) const UNITS: &str = "procurement/unitOfMeasures";
    pub(crate) const MEMBERS: &str = "system/members";
    pub(crate) const API_MEMBERS: &str = "system/apiMembers";
    pub(crate) const LOCATIONS: &str = "system/locations";
    pub(crate) const DEPARTMENTS: &str = "system/departments";
    pub(crate) const CUSTOM_FIELDS: &str = "system/userDefinedFields";
    pub(crate) const SECURITY_ROLES: &str = "system/securityroles";
    pub(crate) const CALLBACKS: &str = "system/callbacks";
    pub(crate) const BOARDS: &str = "service/boards";
    pub(crate) const BOARD_STATUSES: &str = "service/boards/{id}/statuses";
    pub(crate) const BOARD_TYPES: &str = "service/boards/{id}/types";
    pub(crate) const BOARD_SUBTYPES: &str = "service/boards/{id}/subtypes";
    pub(crate) const BOARD_ITEMS: &str = "service/boards/{id}/items";
    pub(crate) const ASSOCIATIONS: &str = "service/boards/{id}/typeSubTypeItemAssociations";
    pub(crate) const SOURCES: &str = "service/sources";
    pub(crate) const PRIORITIES: &str = "service/priorities";
    pub(crate) const TICKETS: &str = "service/tickets";
    pub(crate) const TICKET_NOTES: &str = "service/tickets/{id}/notes";
}

/// A resource by its place in the table.
pub(crate) type ResourceId = usize;

static ALL: LazyLock<Vec<&'static Resource>> = LazyLock::new(|| {
    [company::RESOURCES, finance::RESOURCES, procurement::RESOURCES, system::RESOURCES, service::RESOURCES]
        .into_iter()
        .flatten()
        .collect()
});

static BY_PATH: LazyLock<HashMap<String, ResourceId>> = LazyLock::new(|| {
    ALL.iter().enumerate().map(|(id, resource)| (resource.path.to_ascii_lowercase(), id)).collect()
});

/// Every resource.
pub(crate) fn all() -> &'static [&'static Resource] {
    &ALL
}

/// The resource with this path, whatever its case.
pub(crate) fn find(path: &str) -> Option<ResourceId> {
    BY_PATH.get(path).or_else(|| BY_PATH.get(&path.to_ascii_lowercase())).copied()
}

/// The definition of a resource.
pub(crate) fn get(id: ResourceId) -> &'static Resource {
    ALL[id]
}
