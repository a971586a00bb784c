//! Rotating the key: every sealed secret is opened with the old key and sealed with a new one, in one transaction.
//!
//! The new key lies beside the old one before the first secret is sealed with it, and takes its place after the last:
//! at every instant in between both files are there and each secret opens with one of them. A rotation that was
//! interrupted is gone on with by rotating again.

use crate::connections::{self, Column, Entity};
use crate::db::{self, commit, write_tx};
use crate::store::SqlStore;
use crate::{audit, error, webhooks};
use sea_orm::entity::prelude::*;
use std::path::PathBuf;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// Secrets that were sealed anew.
    pub secrets: u64,
    /// Whether it went on with a rotation that was interrupted.
    pub resumed: bool,
    /// Where the old key lies now; none where nothing is sealed yet.
    pub previous: Option<PathBuf>,
}

impl SqlStore {
    /// Seals every secret under a new key. Nothing is changed where one secret does not open.
    ///
    /// # Errors
    /// [`StoreError::KeyMissing`] where a secret cannot be opened, and the database's and the disk's.
    pub async fn rotate_key(&self, at: Millis, actor: &str) -> Result<Rotated, StoreError> {
        let tx = write_tx(self).await?;
        db::guard(&tx, "", "seal key").await?;
        let rows = Entity::find().all(&*tx).await.map_err(error::of_db)?;
        let hooks = webhooks::all_sealed(&*tx).await?;
        let Some(old) = self.keys.find()? else {
            // Without rows there is nothing to rotate; with rows this says what is missing.
            return match rows.is_empty() && hooks.is_empty() {
                true => Ok(Rotated { secrets: 0, resumed: false, previous: None }),
                false => Err(self.keys.get().err().unwrap_or(StoreError::KeyMissing("no key".to_owned()))),
            };
        };
        let (new, resumed) = self.keys.next_key()?;
        let sealed = async {
            let mut secrets = 0;
            for row in &rows {
                let place = connections::place(&row.org, &row.name);
                if new.open(place, &row.sealed_private_key).is_ok() {
                    continue;
                }
                let text = old.open(place, &row.sealed_private_key)?;
                Entity::update_many()
                    .col_expr(Column::SealedPrivateKey, Expr::value(new.seal(place, &text)?))
                    .filter(Column::Org.eq(row.org.as_str()))
                    .filter(Column::Name.eq(row.name.as_str()))
                    .exec(&*tx)
                    .await
                    .map_err(error::of_db)?;
                secrets += 1;
            }
            for sealed in &hooks {
                if new.open(sealed.place(), &sealed.text).is_ok() {
                    continue;
                }
                let text = old.open(sealed.place(), &sealed.text)?;
                webhooks::reseal(&tx, sealed, new.seal(sealed.place(), &text)?).await?;
                secrets += 1;
            }
            let entry = NewAuditEntry {
                at,
                actor: actor.to_owned(),
                action: "key.rotate".to_owned(),
                object: "key".to_owned(),
                addition: None,
                detail: format!(
                    "{{\"secrets\":{secrets},\"from\":\"{}\",\"to\":\"{}\"}}",
                    old.fingerprint(),
                    new.fingerprint()
                ),
            };
            // It concerns no single organization; no slug can be this.
            audit::append_in(&tx, &OrganizationId::from("*"), vec![&entry]).await?;
            Ok(secrets)
        }
        .await;
        let secrets = match sealed {
            Ok(secrets) => secrets,
            Err(error) => {
                if !resumed {
                    self.keys.forget_next();
                }
                return Err(error);
            }
        };
        commit(tx).await?;
        let previous = self.keys.take_next()?;
        Ok(Rotated { secrets, resumed, previous: Some(previous) })
    }
}
