//! People who sign in to the service. A password is kept as its argon2id hash alone.

use crate::db::{self, commit, write_tx};
use crate::{audit, error, store::SqlStore};
use sea_orm::{DatabaseTransaction, QueryResult, Value};
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::StoreError;
use trueup_engine::records::{Millis, NewAuditEntry};

/// A person.
#[derive(Clone, PartialEq, Eq)]
pub struct Person {
    /// Id.
    pub id: String,
    /// The organization the role holds in, and below; none for the whole installation.
    pub org: Option<OrganizationId>,
    /// E-mail address in small letters; unique.
    pub email: String,
    /// Display name.
    pub name: String,
    /// The role's word.
    pub role: String,
    /// The hash in the PHC string format.
    pub password_hash: String,
    /// Whether the password has to be changed before anything else.
    pub must_change: bool,
    /// Whether the person may not sign in.
    pub disabled: bool,
    /// When the person was added.
    pub created_at: Millis,
}

/// What ends with a change of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends<'a> {
    /// Nothing.
    Nothing,
    /// Every session but the one with this hash.
    SessionsBut(&'a str),
    /// Every session.
    Sessions,
    /// Every session, and every token that the person made; it counts as revoked at this instant.
    SessionsAndTokens(Millis),
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person")
            .field("id", &self.id)
            .field("org", &self.org)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "id, org, email, name, role, password_hash, must_change, disabled, created_at";

fn of_row(row: &QueryResult) -> Result<Person, StoreError> {
    let text = |name: &str| row.try_get::<String>("", name).map_err(error::of_db);
    let number = |name: &str| row.try_get::<i64>("", name).map_err(error::of_db);
    let org: Option<String> = row.try_get("", "org").map_err(error::of_db)?;
    Ok(Person {
        id: text("id")?,
        org: org.map(OrganizationId::from),
        email: text("email")?,
        name: text("name")?,
        role: text("role")?,
        password_hash: text("password_hash")?,
        must_change: number("must_change")? != 0,
        disabled: number("disabled")? != 0,
        created_at: number("created_at")?,
    })
}

fn values(person: &Person) -> [Value; 9] {
    [
        person.id.as_str().into(),
        person.org.as_ref().map(ToString::to_string).into(),
        person.email.as_str().into(),
        person.name.as_str().into(),
        person.role.as_str().into(),
        person.password_hash.as_str().into(),
        i64::from(person.must_change).into(),
        i64::from(person.disabled).into(),
        person.created_at.into(),
    ]
}

/// Keeps a person as it was read until the end of the transaction; whether it still is so.
pub(crate) async fn hold(tx: &DatabaseTransaction, person: &Person) -> Result<bool, StoreError> {
    // A write, so that other transactions wait on either database.
    let sql = "UPDATE person SET id = id WHERE id = $1 AND COALESCE(org, '') = COALESCE($2, '') AND email = $3 \
               AND name = $4 AND role = $5 AND password_hash = $6 AND must_change = $7 AND disabled = $8 \
               AND created_at = $9";
    Ok(db::run(tx, sql, values(person)).await? > 0)
}

impl SqlStore {
    /// Adds a person, with the audit entry of the organization concerned.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the address is taken.
    pub async fn add_person(
        &self,
        person: &Person,
        audit_of: &OrganizationId,
        entry: &NewAuditEntry,
    ) -> Result<(), StoreError> {
        let tx = write_tx(self).await?;
        let sql = format!("INSERT INTO person ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        db::run(&*tx, &sql, values(person)).await.map_err(|error| match error {
            StoreError::Conflict(_) => {
                StoreError::Conflict(format!("a person with the address {}", person.email))
            }
            other => other,
        })?;
        audit::append_in(&tx, audit_of, vec![entry]).await?;
        commit(tx).await
    }

    /// Saves what changed about a person, with the audit entry and what ends by it: where the person still is as `before`
    /// says. Returns whether that was so; else nothing is changed, because a password takes its time to be hashed, and
    /// who is shut out meanwhile must not come in again by it.
    ///
    /// # Errors
    /// The database's.
    pub async fn update_person(
        &self,
        before: &Person,
        after: &Person,
        ends: Ends<'_>,
        (audit_of, entry): (&OrganizationId, &NewAuditEntry),
    ) -> Result<bool, StoreError> {
        let tx = write_tx(self).await?;
        if !hold(&tx, before).await? {
            return Ok(false);
        }
        let sql = "UPDATE person SET org = $2, email = $3, name = $4, role = $5, password_hash = $6, \
                   must_change = $7, disabled = $8, created_at = $9 WHERE id = $1";
        db::run(&*tx, sql, values(after)).await?;
        let kept = match ends {
            Ends::Nothing => None,
            Ends::SessionsBut(hash) => Some(hash),
            Ends::Sessions | Ends::SessionsAndTokens(_) => Some(""),
        };
        if let Some(hash) = kept {
            let sql = "DELETE FROM session WHERE person = $1 AND hash <> $2";
            db::run(&*tx, sql, [before.id.as_str().into(), hash.into()]).await?;
        }
        audit::append_in(&tx, audit_of, vec![entry]).await?;
        if let Ends::SessionsAndTokens(at) = ends {
            // A token may be of any organization below the person's.
            db::see_everybody(&tx).await?;
            let sql = "UPDATE api_token SET revoked_at = $2 WHERE created_by = $1 AND revoked_at IS NULL";
            db::run(&*tx, sql, [before.id.as_str().into(), at.into()]).await?;
        }
        commit(tx).await?;
        Ok(true)
    }

    /// One person by id.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_person(&self, id: &str) -> Result<Option<Person>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM person WHERE id = $1");
        db::query(&self.db, &sql, [id.into()]).await?.first().map(of_row).transpose()
    }

    /// One person by address, in small letters.
    ///
    /// # Errors
    /// The database's.
    pub async fn find_person_by_email(&self, email: &str) -> Result<Option<Person>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM person WHERE email = $1");
        db::query(&self.db, &sql, [email.into()]).await?.first().map(of_row).transpose()
    }

    /// The people whose role holds in exactly this organization (none: in the whole installation), by address.
    ///
    /// # Errors
    /// The database's.
    pub async fn list_people(&self, org: Option<&OrganizationId>) -> Result<Vec<Person>, StoreError> {
        let rows = match org {
            Some(org) => {
                let sql = format!("SELECT {COLUMNS} FROM person WHERE org = $1 ORDER BY email");
                db::query(&self.db, &sql, [org.as_str().into()]).await?
            }
            None => {
                let sql = format!("SELECT {COLUMNS} FROM person WHERE org IS NULL ORDER BY email");
                db::query(&self.db, &sql, []).await?
            }
        };
        rows.iter().map(of_row).collect()
    }

    /// Whether anybody can sign in at all.
    ///
    /// # Errors
    /// The database's.
    pub async fn has_people(&self) -> Result<bool, StoreError> {
        Ok(!db::query(&self.db, "SELECT id FROM person LIMIT 1", []).await?.is_empty())
    }
}
