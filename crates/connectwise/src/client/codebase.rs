//! Finds the code base of a tenant: the first part of every API path, which changes when the tenant is upgraded.

use serde::Deserialize;
use trueup_transport::{Call, Reply, Sender};

use super::address::{AddressError, SiteAddress};
use super::cond::encode;
use super::error::{ClientError, Kind, into_reply};

/// The router to the tenant's version, which on-premise servers use as well.
pub(crate) const DEFAULT_CODEBASE: &str = "v4_6_release";

/// What the site says about a company at sign-in.
#[derive(Debug, Clone, Deserialize)]
struct CompanyInfo {
    #[serde(rename = "Codebase")]
    codebase: Option<String>,
}

/// Asks the site for the code base of a company. A site without this page is taken to use the router.
pub(crate) async fn fetch_codebase(
    sender: &Sender,
    site: &SiteAddress,
    company: &str,
) -> Result<String, ClientError> {
    let path = format!("/login/companyinfo/{}", encode(company));
    let call = format!("GET {path}");
    let outcome = sender.send(Call::get(site.join(&path, ""))).await;
    let reply = match into_reply(outcome, &call, Kind::Read) {
        Ok(reply) => reply,
        Err(ClientError::Refused(api)) if api.status == 404 => return Ok(DEFAULT_CODEBASE.to_owned()),
        Err(error) => return Err(error),
    };
    read(&reply, company, &call)
}

fn read(reply: &Reply, company: &str, call: &str) -> Result<String, ClientError> {
    let info: Option<CompanyInfo> = serde_json::from_slice(reply.body())
        .map_err(|e| ClientError::NotUnderstood { call: call.to_owned(), why: e.to_string() })?;
    // ConnectWise answers 200 with `null` for a company it does not know.
    let info = info.ok_or_else(|| AddressError::UnknownCompany(company.chars().take(100).collect()))?;
    let codebase = info.codebase.unwrap_or_default();
    let codebase = codebase.trim().trim_matches('/');
    if codebase.is_empty() {
        return Ok(DEFAULT_CODEBASE.to_owned());
    }
    // It becomes a part of every path, so it must not be able to leave its place there.
    if codebase.len() > 40 || !codebase.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        let why = "the code base it names is not of the form v2025_1".to_owned();
        return Err(ClientError::NotUnderstood { call: call.to_owned(), why });
    }
    Ok(codebase.to_owned())
}
