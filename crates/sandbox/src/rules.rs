//! Switches for what the vendor's documents leave open or tenants answer differently.
//!
//! A client must not depend on any of these, so a test can turn each one around.

use serde::{Deserialize, Serialize};

/// What an addition's `cancelledDate` means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CancelledDate {
    /// The day is still billed.
    #[default]
    LastBilledDay,
    /// The day is not billed any more.
    FirstUnbilledDay,
}

/// Whether the shown `extPrice` takes `lessIncluded` off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ExtPrice {
    /// (quantity - lessIncluded) x unitPrice.
    #[default]
    Net,
    /// quantity x unitPrice.
    Gross,
}

/// The switches; names are the members of `POST /sandbox/rules`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rules {
    /// Status for a missing `clientId` header: 400, 401 or 403.
    pub missing_client_id_status: u16,
    /// Status for wrong keys: 401, or 404 as some clouds answer.
    pub bad_auth_status: u16,
    /// Decimal places kept of `unitPrice` and `unitCost`; none keeps all.
    pub price_decimals: Option<u32>,
    /// Leading and trailing blanks of texts are cut.
    pub trims_text: bool,
    /// Line breaks in texts come back as blanks, as they do in many fields.
    pub breaks_become_blanks: bool,
    /// Longest address answered, host and query included; none takes any. The vendor asks for 2000 at most and does
    /// not say what happens beyond.
    pub longest_url: Option<usize>,
    /// What `cancelledDate` means.
    pub cancelled_date_is: CancelledDate,
    /// What `extPrice` shows.
    pub ext_price: ExtPrice,
    /// An agreement needs a contact.
    pub contact_required: bool,
    /// A PATCH of `company/identifier` answers 200 and changes nothing.
    pub false_identifier_patch: bool,
    /// An addition that was invoiced may be deleted.
    pub delete_invoiced_addition: bool,
    /// The codebase told by `/login/companyinfo`, ending in a slash.
    pub codebase: String,
    /// Only the told codebase is answered; others are 404, as after an upgrade.
    pub strict_codebase: bool,
    /// `GET /system/info` needs no keys.
    pub open_system_info: bool,
    /// A change of an addition raises the callbacks of its agreement; additions have none of their own.
    pub addition_calls_back: bool,
    /// The address of a callback's signing key asks for the API's keys.
    pub callback_key_needs_keys: bool,
    /// How long a callback's receiver has to answer.
    pub callback_timeout_ms: u64,
    /// How long to wait before each repetition of a callback.
    pub callback_retry_ms: Vec<u64>,
    /// Failed deliveries in a row that disable a callback entry, beside the three days that always do.
    pub callback_disabled_after: Option<u32>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            missing_client_id_status: 400,
            bad_auth_status: 401,
            price_decimals: None,
            trims_text: false,
            breaks_become_blanks: false,
            longest_url: Some(2000),
            cancelled_date_is: CancelledDate::LastBilledDay,
            ext_price: ExtPrice::Net,
            contact_required: true,
            false_identifier_patch: false,
            delete_invoiced_addition: false,
            codebase: "v4_6_release/".to_owned(),
            strict_codebase: false,
            open_system_info: false,
            addition_calls_back: false,
            callback_key_needs_keys: true,
            callback_timeout_ms: 5000,
            callback_retry_ms: vec![2000, 4000],
            callback_disabled_after: None,
        }
    }
}
