//! Access to ConnectWise: whether it answers, and whether the API member sees everything. Nothing is concluded from what
//! a member sees that does not see all of it: a line that somebody else made would be written a second time.

use crate::failure::Failure;
use crate::ports::{Clock, Psa, PsaError, Right, Store};
use crate::quantity;
use std::collections::BTreeMap;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::{AgreementId, OrganizationId};

/// Functions of a security role of which a run needs to see every record: with `Inquire My` the others are missing from
/// the answers, and nothing says so.
const SEEN_WHOLE: [(&str, &str); 4] = [
    ("Companies", "Company Maintenance"),
    ("Finance", "Agreements"),
    ("Finance", "Invoicing"),
    ("Procurement", "Product Catalog"),
];

/// Codes that say why ConnectWise did not answer as it should, whatever was asked.
const OF_THE_CONNECTION: [Code; 6] =
    [Code::Tu1001, Code::Tu1002, Code::Tu1003, Code::Tu1005, Code::Tu1006, Code::Tu1007];

/// For what rights are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rights {
    /// To read, and to conclude from what is read.
    ToRead,
    /// To write as well.
    ToWrite,
}

/// Those of the rights that matter which the API member certainly lacks, in words.
///
/// # Errors
/// ConnectWise could not be asked.
pub(crate) async fn lacking(
    psa: &dyn Psa,
    matters: impl Fn(&Right) -> bool,
) -> Result<Vec<String>, PsaError> {
    let rights = psa.list_rights().await?;
    let missing = rights.iter().filter(|right| right.is_missing() && matters(right));
    Ok(missing.map(ToString::to_string).collect())
}

/// What is kept about the access of one organization through one connection.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) org: &'a OrganizationId,
    pub(crate) connection: &'a str,
}

impl Account<'_> {
    /// Stops what is about to read, where the member would not see everything.
    ///
    /// # Errors
    /// TU1004, which is kept as a finding as well; or ConnectWise could not be asked.
    pub(crate) async fn sees_all(self, psa: &dyn Psa) -> Result<(), Failure> {
        let counts_alone = quantity::bills_alone(self.store, self.org).await?;
        let reads = move |right: &Right| {
            right.level.starts_with("Inquire")
                && !(counts_alone && right.is_for_orders_alone())
                && SEEN_WHOLE.contains(&(right.module.as_str(), right.function.as_str()))
        };
        let lacking = lacking(psa, reads).await?;
        self.rights(Rights::ToRead, &lacking).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        let message =
            format!("the API member lacks {}; nothing was concluded and nothing written", lacking.join("; "));
        Err(PsaError { code: Code::Tu1004, message, their_words: None }.into())
    }

    /// Keeps which rights lack, or that none does.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn rights(self, needed: Rights, lacking: &[String]) -> Result<(), Failure> {
        let general = match needed {
            Rights::ToRead => "rights/read",
            Rights::ToWrite => "rights",
        };
        let found = if lacking.is_empty() {
            Vec::new()
        } else {
            let message = format!("The API member lacks {}; nothing was written.", lacking.join("; "));
            vec![self.finding(Code::Tu1004, message)]
        };
        self.keep(general, &found).await
    }

    /// Hands on what came of asking ConnectWise, and keeps why it did not answer, or that it did. That something went wrong
    /// weighs more than that it could not be kept.
    ///
    /// # Errors
    /// Those of what was done, else the store's.
    pub(crate) async fn told<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let refused = match &done {
            Err(Failure::Psa(error)) => Some(error),
            Ok(_) | Err(Failure::Store(_) | Failure::Setting(_) | Failure::Wrong { .. }) => None,
        };
        let kept = self.answered(refused).await;
        let done = done?;
        kept?;
        Ok(done)
    }

    /// Keeps why ConnectWise did not answer, or that it did.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn answered(self, refused: Option<&PsaError>) -> Result<(), Failure> {
        let found: Vec<Finding> = refused
            .filter(|error| OF_THE_CONNECTION.contains(&error.code))
            .map(|error| {
                let finding = self.finding(error.code, error.message.clone());
                match &error.their_words {
                    Some(words) => finding.their_words(words.clone()),
                    None => finding,
                }
            })
            .into_iter()
            .collect();
        // Another fault says nothing about the connection.
        if refused.is_some() && found.is_empty() {
            return Ok(());
        }
        self.keep(&format!("connection/{}", self.connection), &found).await
    }

    /// Keeps which agreements could not be understood, or that all could.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn unread(self, unread: &BTreeMap<AgreementId, PsaError>) -> Result<(), Failure> {
        let of = |(agreement, error): (&AgreementId, &PsaError)| {
            let subject = Subject {
                agreement: Some(*agreement),
                detail: Some(format!("connection {}", self.connection)),
                ..Subject::default()
            };
            let message = format!("{}; the agreement stays as it was known.", error.message);
            Finding::new(error.code, subject, message)
        };
        let found: Vec<Finding> = unread.iter().map(of).collect();
        self.keep(&format!("unread/{}", self.connection), &found).await
    }

    fn finding(self, code: Code, message: String) -> Finding {
        let subject =
            Subject { detail: Some(format!("connection {}", self.connection)), ..Subject::default() };
        Finding::new(code, subject, message)
    }

    async fn keep(self, general: &str, found: &[Finding]) -> Result<(), Failure> {
        let (now, today) = (self.clock.now(), self.clock.today());
        Ok(self.store.record_findings(self.org, general, now, today, found).await?)
    }
}
