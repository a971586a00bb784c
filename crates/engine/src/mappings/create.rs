//! Making in ConnectWise what it lacks: the company of a customer, the catalog item of a product, an agreement.
//!
//! What is to be made is written down before it is asked for, and looked up by its identifier before it is asked for
//! again: whatever broke in between, it is there once. What nobody can say yet waits, as lines do.

use super::{Judging, Saved, Site, save};
use crate::failure::Failure;
use crate::ports::{NewAgreement, NewCompany, NewItem, Psa, PsaError, StoreError, WriteError};
use crate::records::Millis;
use crate::settings;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use trueup_domain::finding::Code;
use trueup_domain::ids::{CompanyId, CustomerId, SourceId};
use trueup_domain::mapping::{Mapping, Mappings};
use trueup_domain::mapping_rules::{MappingKey, key_of};
use trueup_domain::psa::{Agreement, AgreementStatus, CatalogItem, Company, CompanyState, Snapshot};

/// How long a maker holds what it makes.
const LEASE_MS: i64 = 240_000;

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A company.
    Company(Box<NewCompany>),
    /// A catalog item.
    Item(NewItem),
    /// An agreement.
    Agreement(NewAgreement),
}

/// The record that is there.
#[derive(Clone, Debug, PartialEq)]
enum There {
    Company(Box<Company>),
    Item(CatalogItem),
    Agreement(Agreement),
}

impl There {
    fn id(&self) -> i64 {
        match self {
            Self::Company(company) => company.id.0,
            Self::Item(item) => item.id.0,
            Self::Agreement(agreement) => agreement.id.0,
        }
    }

    /// As a part of what is known of ConnectWise.
    fn picture(self) -> Snapshot {
        let mut part = Snapshot::default();
        match self {
            Self::Company(company) => part.companies = BTreeMap::from([(company.id, *company)]),
            Self::Item(item) => part.catalog = BTreeMap::from([(item.id, item)]),
            Self::Agreement(agreement) => part.agreements = BTreeMap::from([(agreement.id, agreement)]),
        }
        part
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Its id in ConnectWise.
    pub id: i64,
    /// Whether trueup made it; otherwise it was there.
    pub created: bool,
    /// What became of the mapping.
    pub saved: Saved,
}

/// Where a making stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    /// It may have been sent.
    Sending,
    /// Nobody can say whether it was carried out.
    InDoubt,
    /// It was certainly not.
    Refused,
    /// It is there.
    Done,
}

/// What is written down about a making.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Intent {
    state: Stage,
    at: i64,
    /// When a look-up first missed it after the settle time.
    #[serde(default)]
    absent_at: Option<i64>,
    actor: String,
}

impl Wanted {
    /// What names it: the same name is the same thing.
    fn name(&self) -> String {
        match self {
            Self::Company(company) => format!("company/{}", company.identifier),
            Self::Item(item) => format!("catalog_item/{}", item.identifier),
            Self::Agreement(agreement) => format!("agreement/{}/{}", agreement.company, agreement.name),
        }
    }

    /// The same for lock and intent: what [`same`] takes for one has one of them.
    fn key(&self) -> String {
        match self {
            Self::Company(company) => format!("company/{}", folded(&company.identifier)),
            Self::Item(item) => format!("catalog_item/{}", folded(&item.identifier)),
            Self::Agreement(agreement) => {
                format!("agreement/{}/{}", agreement.company, folded(&agreement.name))
            }
        }
    }

    /// Whether ConnectWise itself refuses a second one.
    fn is_unique(&self) -> bool {
        match self {
            Self::Company(_) | Self::Item(_) => true,
            Self::Agreement(_) => false,
        }
    }

    /// The one that is there, where there is one and it is the same thing.
    async fn look(&self, psa: &dyn Psa) -> Result<Option<There>, Failure> {
        let taken = |what: &str, name: &str, why: &str| {
            Err(Failure::wrong(
                format!("the {what} cannot be made: ConnectWise has `{name}` under its name already{why}"),
                "Map it to that one where it is the same, or choose another identifier or name.",
            ))
        };
        match self {
            Self::Company(wanted) => match psa.find_companies(&wanted.identifier).await?.into_iter().next() {
                None => Ok(None),
                Some(found) if found.state != CompanyState::Active => {
                    taken("company", &found.name, ", which is inactive or in the recycle bin")
                }
                Some(found) if same(&found.name, &wanted.name) => Ok(Some(There::Company(Box::new(found)))),
                Some(found) => taken("company", &found.name, ""),
            },
            Self::Item(wanted) => {
                match psa.find_catalog_items(&wanted.identifier).await?.into_iter().next() {
                    None => Ok(None),
                    Some(found) if found.inactive || found.bundle => {
                        taken("catalog item", &found.description, ", which cannot be used")
                    }
                    Some(found) if same(&found.description, &wanted.description) => {
                        Ok(Some(There::Item(found)))
                    }
                    Some(found) => taken("catalog item", &found.description, ""),
                }
            }
            Self::Agreement(wanted) => {
                let of_company = psa.list_agreements(Some(&[wanted.company])).await?;
                let found = of_company.into_iter().find(|found| {
                    found.company == wanted.company
                        && found.status != AgreementStatus::Cancelled
                        && same(&found.name, &wanted.name)
                });
                match found {
                    None => Ok(None),
                    Some(found) if is_billed_so(&found, wanted) => Ok(Some(There::Agreement(found))),
                    Some(found) => {
                        taken("agreement", &found.name, ", with another billing cycle or currency")
                    }
                }
            }
        }
    }

    async fn send(&self, psa: &dyn Psa) -> Result<There, WriteError> {
        match self {
            Self::Company(wanted) => {
                psa.create_company(wanted).await.map(|made| There::Company(Box::new(made)))
            }
            Self::Item(wanted) => psa.create_catalog_item(wanted).await.map(There::Item),
            Self::Agreement(wanted) => psa.create_agreement(wanted).await.map(There::Agreement),
        }
    }
}

fn is_billed_so(found: &Agreement, wanted: &NewAgreement) -> bool {
    let cycle = wanted.billing_cycle.map(|cycle| cycle.normalised());
    (cycle.is_none() || found.billing_cycle.map(|own| own.normalised()) == cycle)
        && (wanted.currency.is_none() || found.currency == wanted.currency)
}

/// Whether a text is another one as ConnectWise keeps it: it may have cut it.
pub(crate) fn same(theirs: &str, ours: &str) -> bool {
    let (theirs, ours) = (folded(theirs), folded(ours));
    theirs == ours || (theirs.chars().count() >= KEPT && ours.starts_with(&theirs))
}

fn folded(text: &str) -> String {
    text.trim().to_lowercase()
}

/// The shortest length that a name is cut to.
const KEPT: usize = 50;

/// Makes something, or takes the one that is there, and maps to it.
///
/// # Errors
/// [`Failure::Psa`] with TU1004 where a right lacks, with TU7003 where nobody can say yet whether it was made;
/// [`Failure::Wrong`] where the identifier is taken by something else or somebody makes it right now.
pub async fn make(
    site: Site<'_>,
    (connection, psa): (&str, &dyn Psa),
    wanted: &Wanted,
    map: impl Fn(i64) -> Mapping,
) -> Result<Made, Failure> {
    let lane = format!("create/{}", wanted.key());
    let owner = uuid::Uuid::now_v7().simple().to_string();
    let now = site.clock.now();
    let Some(lease) = site.store.acquire_lease(site.org, &lane, &owner, now, LEASE_MS).await? else {
        return Err(Failure::wrong(
            format!("{} is being made right now", wanted.name()),
            "Wait a few minutes, then look whether it is there.",
        ));
    };
    let made = carry_out(site, psa, wanted, (&lane, &key_of(&map(0))), now.saturating_add(LEASE_MS)).await;
    // A lease that cannot be given back runs out by itself.
    let _ = site.store.release_lease(site.org, &lease).await;
    let (there, created) = made?;
    let id = there.id();
    // Otherwise its mapping would be said to name something that was not there when ConnectWise was last read.
    site.store.add_to_picture(site.org, connection, site.clock.now(), &there.picture()).await?;
    let saved = save(site, &[map(id)], Judging::ByRules).await?;
    Ok(Made { id, created, saved })
}

async fn carry_out(
    site: Site<'_>,
    psa: &dyn Psa,
    wanted: &Wanted,
    (mark, of): (&str, &MappingKey),
    held_until: Millis,
) -> Result<(There, bool), Failure> {
    let known = site.store.list_mappings(site.org).await?;
    let mapped = known.iter().find(|m| &key_of(m) == of).and_then(|m| m.psa_id);
    let open = intent_of(site, wanted, mark)
        .await?
        .filter(|intent| matches!(intent.state, Stage::Sending | Stage::InDoubt));
    let there = wanted.look(psa).await?;
    if let Some(id) = mapped.filter(|id| there.as_ref().is_none_or(|there| there.id() != *id)) {
        let (kind, _, source_id, _) = of;
        return Err(Failure::wrong(
            format!("{} {source_id} is mapped to {id} already", kind.name()),
            "Release that mapping first, where another one is to be made.",
        ));
    }
    if let Some(there) = there {
        if let Some(intent) = &open {
            // It was ours: the answer was lost, not the record.
            tell(site, mark, intent.at, Stage::Done).await?;
            told(site, wanted, there.id(), "its answer had been lost").await?;
        }
        return Ok((there, open.is_some()));
    }
    if let Some(intent) = open {
        must_be_absent(site, wanted, mark, intent).await?;
    }
    let at = site.clock.now();
    if at >= held_until {
        let message =
            format!("it took too long to find out whether {} is there; nothing was sent", wanted.name());
        return Err(Failure::wrong(message, "Ask again."));
    }
    tell(site, mark, at, Stage::Sending).await?;
    match in_time(site, wanted.send(psa), held_until).await {
        Ok(there) => {
            tell(site, mark, at, Stage::Done).await?;
            told(site, wanted, there.id(), "answered").await?;
            Ok((there, true))
        }
        Err(WriteError::Refused(error)) => {
            tell(site, mark, at, Stage::Refused).await?;
            Err(Failure::Psa(error))
        }
        Err(WriteError::InDoubt(error)) => {
            tell(site, mark, at, Stage::InDoubt).await?;
            Err(unknown(wanted, error.their_words))
        }
    }
}

/// What was written down. What cannot be read is no leave to send: an agreement would be made twice.
async fn intent_of(site: Site<'_>, wanted: &Wanted, mark: &str) -> Result<Option<Intent>, Failure> {
    let mut text = site.store.load_mark(site.org, mark).await?;
    if text.is_none() {
        // Written by a version that went by the exact name.
        text = site.store.load_mark(site.org, &format!("create/{}", wanted.name())).await?;
    }
    let parsed = text.map(|text| serde_json::from_str(&text).map_err(|error| damaged(mark, &error)));
    Ok(parsed.transpose()?)
}

fn damaged(mark: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Damaged(format!("what is written down under {mark}: {error}"))
}

/// The answer, if it comes while the maker holds what it makes; afterwards somebody else may be at it.
async fn in_time(
    site: Site<'_>,
    sent: impl Future<Output = Result<There, WriteError>>,
    held_until: Millis,
) -> Result<There, WriteError> {
    match futures::future::select(Box::pin(sent), site.clock.sleep_until(held_until)).await {
        futures::future::Either::Left((answer, _)) => answer,
        futures::future::Either::Right(_) => Err(WriteError::InDoubt(PsaError {
            code: Code::Tu7003,
            message: "no answer came in time".to_owned(),
            their_words: None,
        })),
    }
}

/// Nothing is sent again before it is certain that the first call will not be carried out any more.
async fn must_be_absent(site: Site<'_>, wanted: &Wanted, mark: &str, intent: Intent) -> Result<(), Failure> {
    let settings = settings::load(site.store, site.org, site.overlays).await?;
    let settle = i64::try_from(settings.settle_seconds).unwrap_or(i64::MAX).saturating_mul(1000);
    let now = site.clock.now();
    if now.saturating_sub(intent.at) < settle {
        return Err(unknown(wanted, None));
    }
    if wanted.is_unique() {
        return Ok(());
    }
    match intent.absent_at {
        Some(at) if now.saturating_sub(at) >= settle => Ok(()),
        Some(_) => Err(unknown(wanted, None)),
        None => {
            write(site, mark, &Intent { absent_at: Some(now), ..intent }).await?;
            Err(unknown(wanted, None))
        }
    }
}

fn unknown(wanted: &Wanted, their_words: Option<String>) -> Failure {
    Failure::Psa(PsaError {
        code: Code::Tu7003,
        message: format!(
            "nobody can say yet whether {} was made in ConnectWise; ask again in some minutes, it is looked up before \
             anything is sent",
            wanted.name()
        ),
        their_words,
    })
}

async fn tell(site: Site<'_>, mark: &str, at: i64, state: Stage) -> Result<(), Failure> {
    let intent = Intent { state, at, absent_at: None, actor: site.actor.to_owned() };
    write(site, mark, &intent).await
}

async fn write(site: Site<'_>, mark: &str, intent: &Intent) -> Result<(), Failure> {
    let text = serde_json::to_string(intent).map_err(|error| damaged(mark, &error))?;
    Ok(site.store.save_mark(site.org, mark, &text).await?)
}

async fn told(site: Site<'_>, wanted: &Wanted, id: i64, how: &str) -> Result<(), Failure> {
    let (action, object) = match wanted {
        Wanted::Company(_) => ("company.create", format!("company/{id}")),
        Wanted::Item(_) => ("catalog_item.create", format!("catalog_item/{id}")),
        Wanted::Agreement(_) => ("agreement.create", format!("agreement/{id}")),
    };
    let detail = serde_json::json!({ "name": wanted.name(), "how": how });
    Ok(site.store.append_audit(site.org, &[site.entry(action, object, &detail)]).await?)
}

/// The company that a customer is mapped to, as an agreement needs it.
///
/// # Errors
/// [`Failure::Wrong`] where there is none.
pub async fn company_of(
    site: Site<'_>,
    source: &SourceId,
    customer: &CustomerId,
) -> Result<CompanyId, Failure> {
    let all = site.store.list_mappings(site.org).await?;
    Mappings::on(all, site.clock.today()).company_of(source, customer).ok_or_else(|| {
        Failure::wrong(
            format!("customer {customer} has no company in ConnectWise yet"),
            "Map or create its company first.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(name: &str) -> Wanted {
        Wanted::Agreement(NewAgreement {
            name: name.to_owned(),
            company: CompanyId(12),
            agreement_type: None,
            billing_cycle: None,
            currency: None,
            start: jiff::civil::date(2026, 1, 1),
        })
    }

    #[test]
    fn what_is_taken_for_one_is_made_by_one() {
        assert!(same("Cloud", " cloud "));
        assert_eq!(agreement("Cloud").key(), agreement(" cloud ").key());
        assert_ne!(agreement("Cloud").key(), agreement("Clouds").key());
    }

    #[test]
    fn what_is_written_down_keeps_its_form_and_damage_is_no_leave_to_send() {
        let written = r#"{"state":"in_doubt","at":7,"actor":"ann"}"#;
        let intent: Intent = serde_json::from_str(written).unwrap();
        assert_eq!((intent.state, intent.at, intent.absent_at), (Stage::InDoubt, 7, None));
        assert!(serde_json::from_str::<Intent>(r#"{"state":"maybe","at":7,"actor":"ann"}"#).is_err());
        assert!(serde_json::from_str::<Intent>("").is_err());
    }
}
