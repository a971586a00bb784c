//! Adding people and giving one-time passwords, for the API and the command line alike.

use super::problem::Problem;
use super::rights::Role;
use super::secrets;
use super::state::INSTALLATION;
use serde_json::json;
use trueup_domain::ids::OrganizationId;
use trueup_engine::ports::Clock;
use trueup_engine::records::NewAuditEntry;
use trueup_store::{Ends, Person, SqlStore};

/// A person to add.
#[derive(Debug)]
pub struct Wanted {
    /// The organization the role holds in, and below; none for the whole installation.
    pub org: Option<OrganizationId>,
    /// The address, as [`address`] gives it.
    pub email: String,
    /// Display name; the address where there is none.
    pub name: Option<String>,
    /// The role.
    pub role: Role,
}

/// An e-mail address in small letters.
///
/// # Errors
/// Why it is none.
pub fn address(text: &str) -> Result<String, String> {
    let email = text.trim().to_lowercase();
    let good = email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
        && email.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !host.ends_with('.')
                && !host.contains('@')
        });
    if good { Ok(email) } else { Err("it is no e-mail address".to_owned()) }
}

/// Adds a person with a one-time password, which is the second part of the answer and is kept nowhere.
///
/// # Errors
/// The address is taken, or the store failed.
pub async fn add(
    store: &SqlStore,
    clock: &dyn Clock,
    actor: &str,
    wanted: Wanted,
) -> Result<(Person, String), Problem> {
    let password = secrets::one_time_password();
    let password_hash = secrets::hash_password(password.clone()).await.map_err(|_| Problem::internal())?;
    let person = Person {
        id: uuid::Uuid::now_v7().simple().to_string(),
        name: wanted.name.unwrap_or_else(|| wanted.email.clone()),
        org: wanted.org,
        email: wanted.email,
        role: wanted.role.name().to_owned(),
        password_hash,
        must_change: true,
        disabled: false,
        created_at: clock.now(),
    };
    let detail = json!({ "email": person.email, "role": person.role });
    let home = person.org.clone().unwrap_or_else(|| OrganizationId::from(INSTALLATION));
    store.add_person(&person, &home, &entry(clock, actor, "user.add", &person, &detail)).await?;
    Ok((person, password))
}

/// Adds an operator whose password holds: for a demonstration on this machine.
///
/// # Errors
/// The address is taken, or the store failed.
pub async fn visitor(
    store: &SqlStore,
    clock: &dyn Clock,
    actor: &str,
    email: &str,
) -> Result<String, Problem> {
    let wanted = Wanted {
        org: None,
        email: address(email).map_err(|reason| Problem::field("email", reason))?,
        name: Some("Demo visitor".to_owned()),
        role: Role::Operator,
    };
    let (person, password) = add(store, clock, actor, wanted).await?;
    let known = Person { must_change: false, ..person.clone() };
    let entry = entry(clock, actor, "user.welcome", &known, &json!({ "email": known.email }));
    let home = OrganizationId::from(INSTALLATION);
    if !store.update_person(&person, &known, Ends::Nothing, (&home, &entry)).await? {
        return Err(changed_meanwhile());
    }
    Ok(password)
}

/// Gives a new one-time password and ends all sessions.
///
/// # Errors
/// The store's.
pub async fn reset(
    store: &SqlStore,
    clock: &dyn Clock,
    actor: &str,
    person: Person,
    audit_of: &OrganizationId,
) -> Result<(Person, String), Problem> {
    let password = secrets::one_time_password();
    let password_hash = secrets::hash_password(password.clone()).await.map_err(|_| Problem::internal())?;
    let changed = Person { password_hash, must_change: true, ..person.clone() };
    let detail = json!({ "email": changed.email });
    let entry = entry(clock, actor, "user.reset", &changed, &detail);
    if !store.update_person(&person, &changed, Ends::Sessions, (audit_of, &entry)).await? {
        return Err(changed_meanwhile());
    }
    Ok((changed, password))
}

/// What is answered where a person is no longer as it was read.
pub fn changed_meanwhile() -> Problem {
    Problem::conflict(
        "somebody changed this person meanwhile, and nothing else was saved",
        "Look at the person as it is now, then try again.",
    )
}

fn entry(
    clock: &dyn Clock,
    actor: &str,
    action: &str,
    person: &Person,
    detail: &serde_json::Value,
) -> NewAuditEntry {
    NewAuditEntry {
        at: clock.now(),
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: format!("user/{}", person.id),
        addition: None,
        detail: detail.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn an_address_has_a_name_and_a_host() {
        assert_eq!(address(" Ann@Example.COM ").as_deref(), Ok("ann@example.com"));
        for bad in
            ["", "ann", "@example.com", "ann@", "ann@host", "a b@example.com", "a@b@example.com", "a@.com."]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
