//! New companies and agreements: what ConnectWise wants of them beside what we know.

use trueup_domain::finding::Code;
use trueup_domain::psa::Company;
use trueup_engine::ports::{NewAgreement, NewCompany, PsaError, WriteError};

use super::failure::{lookup_missing, write_error};
use super::{convert, cut, not_sent, usual};
use crate::client::wire::{self, ById};
use crate::client::{ConnectWiseClient, WireDate};

pub(super) async fn company(client: &ConnectWiseClient, wanted: &NewCompany) -> Result<Company, WriteError> {
    let profile = wanted.profile.clone();
    let address = [&profile.street, &profile.city, &profile.region, &profile.postcode];
    if address.iter().all(|part| part.is_none()) {
        return Err(WriteError::Refused(PsaError {
            code: Code::Tu2008,
            message: "ConnectWise wants an address of a company (street, city, region or postcode), and the customer \
                      has none; fill it in at the source, or give it along"
                .into(),
            their_words: None,
        }));
    }
    let short = |text: Option<String>, length| text.map(|text| cut(&text, length));
    let company = wire::NewCompany {
        identifier: cut(&wanted.identifier, 156),
        name: cut(&wanted.name, 156),
        account_number: profile.account_number,
        tax_identifier: profile.tax_id,
        website: short(profile.website, 255),
        invoice_to_email_address: profile.email,
        phone_number: short(profile.phone, 30),
        address_line1: short(profile.street, 50),
        city: short(profile.city, 50),
        state: short(profile.region, 50),
        zip: short(profile.postcode, 12),
    };
    let record = client.create_company(&company).await.map_err(write_error)?;
    Ok(convert::company(&record))
}

pub(super) async fn agreement(
    client: &ConnectWiseClient,
    wanted: &NewAgreement,
) -> Result<wire::Agreement, WriteError> {
    let types = client.list_agreement_types().await.map_err(not_sent)?;
    let agreement_type = match &wanted.agreement_type {
        Some(name) => types
            .iter()
            .find(|row| {
                row.inactive_flag != Some(true)
                    && row.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name.trim()))
            })
            .map(|row| ById { id: row.id })
            .ok_or_else(|| WriteError::Refused(lookup_missing(&format!("agreement type `{name}`"))))?,
        None => usual(&types, "agreement type")?,
    };
    let billing_cycle = match wanted.billing_cycle {
        Some(cycle) => {
            let rows = client.list_billing_cycles().await.map_err(not_sent)?;
            let row = rows.iter().find(|row| {
                convert::billing_cycle(row).is_some_and(|c| c.normalised() == cycle.normalised())
            });
            let missing = || lookup_missing(&format!("billing cycle of {}", cycle.slug()));
            Some(ById { id: row.ok_or_else(|| WriteError::Refused(missing()))?.id })
        }
        None => None,
    };
    let currency = match wanted.currency {
        Some(currency) => {
            let rows = client.list_currencies().await.map_err(not_sent)?;
            let row = rows.iter().find(|row| convert::currency_of(row) == Some(currency));
            let missing = || lookup_missing(&format!("currency {currency}"));
            Some(ById { id: row.ok_or_else(|| WriteError::Refused(missing()))?.id })
        }
        None => None,
    };
    let contacts = client.list_contacts_of(wanted.company.0).await.map_err(not_sent)?;
    let agreement = wire::NewAgreement {
        name: cut(&wanted.name, 100),
        agreement_type,
        company: ById { id: wanted.company.0 },
        contact: usual(&contacts, "contact of this company")?,
        start_date: WireDate(wanted.start),
        bill_start_date: WireDate(wanted.start),
        billing_cycle,
        currency,
    };
    client.create_agreement(&agreement).await.map_err(write_error)
}
