//! Webhooks: where an organization wants its events told. The secret is sealed before it reaches a row.

use crate::db::{self, commit, write_tx};
use crate::seal::{Place, SealKey};
use crate::{audit, error, store::SqlStore};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry, SecretText};

/// A webhook, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Whose.
    pub org: OrganizationId,
    /// Id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// Where events are told.
    pub url: String,
    /// The kinds it asks for; none are all.
    pub events: Vec<String>,
    /// Whether events of the organizations below are told as well.
    pub below: bool,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Millis,
    /// Since when nothing arrived, of what was tried.
    pub failing_since: Option<Millis>,
    /// When something last arrived.
    pub succeeded_at: Option<Millis>,
    /// Since when it is off.
    pub disabled_at: Option<Millis>,
    /// Why it is off.
    pub disabled_why: Option<String>,
    /// Until when the former secret signs beside the new one.
    pub former_until: Option<Millis>,
}

const COLUMNS: &str = "org, id, name, url, events, below, created_by, created_at, failing_since, succeeded_at, \
                       disabled_at, disabled_why, former_until";

fn of_row(row: &QueryResult) -> Result<Webhook, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
    let when = |name: &str| row.try_get::<Option<i64>>("", name).map_err(error::of_db);
    Ok(Webhook {
        org: OrganizationId::from(text("org")?),
        id: text("id")?,
        name: text("name")?,
        url: text("url")?,
        events: db::from_doc("the events of a webhook", &text("events")?)?,
        below: row.try_get::<i64>("", "below").map_err(error::of_db)? != 0,
        created_by: text("created_by")?,
        created_at: row.try_get("", "created_at").map_err(error::of_db)?,
        failing_since: when("failing_since")?,
        succeeded_at: when("succeeded_at")?,
        disabled_at: when("disabled_at")?,
        disabled_why: row.try_get("", "disabled_why").map_err(error::of_db)?,
        former_until: when("former_until")?,
    })
}

/// Which of the two secrets of a webhook.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    /// The one that is shown when it is made.
    New,
    /// The one before, for as long as it signs as well.
    Former,
}

impl Which {
    fn column(self) -> &'static str {
        match self {
            Self::New => "sealed_secret",
            Self::Former => "former_secret",
        }
    }

    fn place<'a>(self, org: &'a str, id: &'a str) -> Place<'a> {
        let field = match self {
            Self::New => "webhook_secret",
            Self::Former => "former_webhook_secret",
        };
        Place { organization: org, connection: id, field }
    }
}

/// A sealed secret as it lies in its row.
pub(crate) struct Sealed {
    org: String,
    id: String,
    which: Which,
    pub(crate) text: String,
}

impl Sealed {
    pub(crate) fn place(&self) -> Place<'_> {
        self.which.place(&self.org, &self.id)
    }
}

/// Every sealed secret of webhooks.
pub(crate) async fn all_sealed<C: ConnectionTrait>(db: &C) -> Result<Vec<Sealed>, StoreError> {
    let sql = "SELECT org, id, sealed_secret, former_secret FROM webhook ORDER BY org, id";
    let mut all = Vec::new();
    for row in db::query(db, sql, []).await? {
        let (org, id): (String, String) =
            (row.try_get("", "org").map_err(error::of_db)?, row.try_get("", "id").map_err(error::of_db)?);
        for which in [Which::New, Which::Former] {
            let text: Option<String> = row.try_get("", which.column()).map_err(error::of_db)?;
            all.extend(text.map(|text| Sealed { org: org.clone(), id: id.clone(), which, text }));
        }
    }
    Ok(all)
}

/// Puts a secret that was sealed anew into its row.
pub(crate) async fn reseal(
    tx: &DatabaseTransaction,
    sealed: &Sealed,
    text: String,
) -> Result<(), StoreError> {
    let sql = format!("UPDATE webhook SET {} = $3 WHERE org = $1 AND id = $2", sealed.which.column());
    db::run(tx, &sql, [sealed.org.as_str().into(), sealed.id.as_str().into(), text.into()]).await.map(drop)
}

/// The key to seal with. Where anything is sealed already, it is the one that opens that.
async fn sealing_key(store: &SqlStore, tx: &DatabaseTransaction) -> Result<SealKey, StoreError> {
    db::see_everybody(tx).await?;
    db::guard(tx, "", "seal key").await?;
    let sealed = all_sealed(tx).await?;
    if let Some(key) = store.keys.find()? {
        if let Some(first) = sealed.first() {
            key.open(first.place(), &first.text)?;
        }
        return Ok(key);
    }
    let kept = !db::query(tx, "SELECT name FROM connection LIMIT 1", []).await?.is_empty();
    if kept || !sealed.is_empty() { store.keys.get() } else { store.keys.create() }
}

impl SqlStore {
    /// Adds a webhook with its secret, and the audit entry.
    ///
    /// # Errors
    /// The database's, or the key's.
    pub async fn add_webhook(
        &self,
        webhook: &Webhook,
        secret: &SecretText,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let key = sealing_key(self, &tx).await?;
        let sql = "INSERT INTO webhook (org, id, name, url, events, below, sealed_secret, created_by, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let values = [
            webhook.org.as_str().into(),
            webhook.id.as_str().into(),
            webhook.name.as_str().into(),
            webhook.url.as_str().into(),
            db::to_doc("the events of a webhook", &webhook.events)?.into(),
            i64::from(webhook.below).into(),
            key.seal(Which::New.place(webhook.org.as_str(), &webhook.id), secret.reveal())?.into(),
            webhook.created_by.as_str().into(),
            webhook.created_at.into(),
        ];
        db::run(&*tx, sql, values).await?;
        audit::append_in(&tx, &webhook.org, vec![entry]).await?;
        commit(tx).await
    }

    /// Changes what a webhook is and whether it is on, with the audit entry. One that is switched on again is not
    /// failing any more; one that is switched off gives up what waits.
    ///
    /// # Errors
    /// The database's.
    pub async fn update_webhook(&self, webhook: &Webhook, entry: &NewAuditEntry) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = "UPDATE webhook SET name = $3, url = $4, events = $5, below = $6, disabled_at = $7, \
                   disabled_why = $8, failing_since = $9 WHERE org = $1 AND id = $2";
        let values = [
            webhook.org.as_str().into(),
            webhook.id.as_str().into(),
            webhook.name.as_str().into(),
            webhook.url.as_str().into(),
            db::to_doc("the events of a webhook", &webhook.events)?.into(),
            i64::from(webhook.below).into(),
            webhook.disabled_at.into(),
            webhook.disabled_why.clone().into(),
            webhook.failing_since.into(),
        ];
        db::run(&*tx, sql, values).await?;
        if let Some(at) = webhook.disabled_at {
            give_up(&tx, &webhook.org, &webhook.id, at).await?;
        }
        audit::append_in(&tx, &webhook.org, vec![entry]).await?;
        commit(tx).await
    }

    /// Gives a webhook another secret, with the audit entry. The one that it had signs beside the new one until
    /// `former_until`; without that, and of the one before it, nothing is kept.
    ///
    /// # Errors
    /// The database's, or the key's.
    pub async fn replace_webhook_secret(
        &self,
        (org, id): (&OrganizationId, &str),
        secret: &SecretText,
        former_until: Option<Millis>,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let key = sealing_key(self, &tx).await?;
        let former = match former_until {
            Some(_) => {
                let sql = "SELECT sealed_secret FROM webhook WHERE org = $1 AND id = $2";
                let rows = db::query(&*tx, sql, [org.as_str().into(), id.into()]).await?;
                let row = rows.first().ok_or_else(|| nowhere(id))?;
                let sealed: String = row.try_get("", Which::New.column()).map_err(error::of_db)?;
                let text = key.open(Which::New.place(org.as_str(), id), &sealed)?;
                Some(key.seal(Which::Former.place(org.as_str(), id), &text)?)
            }
            None => None,
        };
        let sealed = key.seal(Which::New.place(org.as_str(), id), secret.reveal())?;
        let sql = "UPDATE webhook SET sealed_secret = $3, former_secret = $4, former_until = $5 \
                   WHERE org = $1 AND id = $2";
        let values = [org.as_str().into(), id.into(), sealed.into(), former.into(), former_until.into()];
        db::run(&*tx, sql, values).await?;
        audit::append_in(&tx, org, vec![entry]).await?;
        commit(tx).await
    }

    /// Takes a webhook away with its deliveries. Returns whether there was one.
    ///
    /// # Errors
    /// The database's.
    pub async fn delete_webhook(
        &self,
        org: &OrganizationId,
        id: &str,
        entry: &NewAuditEntry,
    ) -> Result<bool, StoreError> {
        let key = [org.as_str().into(), id.into()];
        let tx = write_tx(self).await?;
        let there = db::run(&*tx, "DELETE FROM webhook WHERE org = $1 AND id = $2", key.clone()).await? > 0;
        if there {
            let sql = "DELETE FROM delivery_attempt WHERE org = $1 AND delivery IN (\
                       SELECT id FROM delivery WHERE org = $1 AND target = $2)";
            db::run(&*tx, sql, key.clone()).await?;
            db::run(&*tx, "DELETE FROM delivery WHERE org = $1 AND target = $2", key).await?;
            audit::append_in(&tx, org, vec![entry]).await?;
        }
        commit(tx).await?;
        Ok(there)
    }

    /// The webhooks of an organization, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_webhooks(&self, org: &OrganizationId) -> Result<Vec<Webhook>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook WHERE org = $1 ORDER BY created_at, id");
        db::query(&self.db, &sql, [org.as_str().into()]).await?.iter().map(of_row).collect()
    }

    /// One webhook.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_webhook(&self, org: &OrganizationId, id: &str) -> Result<Option<Webhook>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook WHERE org = $1 AND id = $2");
        db::query(&self.db, &sql, [org.as_str().into(), id.into()]).await?.first().map(of_row).transpose()
    }

    /// The secrets that sign for a webhook at that time: the newest one first.
    ///
    /// # Errors
    /// The database's, or [`StoreError::KeyMissing`] where one cannot be opened.
    pub async fn open_webhook_secrets(
        &self,
        org: &OrganizationId,
        id: &str,
        at: Millis,
    ) -> Result<Vec<SecretText>, StoreError> {
        match self.open_once(org, id, at).await {
            // The key may have been rotated between reading the row and reading the key.
            Err(StoreError::KeyMissing(_)) => self.open_once(org, id, at).await,
            opened => opened,
        }
    }

    async fn open_once(
        &self,
        org: &OrganizationId,
        id: &str,
        at: Millis,
    ) -> Result<Vec<SecretText>, StoreError> {
        let sql = "SELECT sealed_secret, former_secret, former_until FROM webhook WHERE org = $1 AND id = $2";
        let rows = db::query(&self.db, sql, [org.as_str().into(), id.into()]).await?;
        let row = rows.first().ok_or_else(|| nowhere(id))?;
        let until: Option<Millis> = row.try_get("", "former_until").map_err(error::of_db)?;
        let key = self.keys.get()?;
        let mut secrets = Vec::new();
        for which in [Which::New, Which::Former] {
            if which == Which::Former && until.is_none_or(|until| at >= until) {
                continue;
            }
            let sealed: Option<String> = row.try_get("", which.column()).map_err(error::of_db)?;
            if let Some(sealed) = sealed {
                secrets.push(SecretText::new(key.open(which.place(org.as_str(), id), &sealed)?));
            }
        }
        Ok(secrets)
    }
}

fn nowhere(id: &str) -> StoreError {
    StoreError::Damaged(format!("there is no webhook {id}"))
}

/// What waits for a webhook that is off is given up: it can be sent again by hand.
async fn give_up(
    tx: &DatabaseTransaction,
    org: &OrganizationId,
    id: &str,
    at: Millis,
) -> Result<(), StoreError> {
    let sql = "UPDATE delivery SET state = 'failed', ended_at = $3, next_at = 0 \
               WHERE org = $1 AND target = $2 AND state = 'waiting'";
    db::run(tx, sql, [org.as_str().into(), id.into(), at.into()]).await.map(drop)
}
