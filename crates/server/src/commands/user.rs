//! `trueup user`: people who sign in to the service.

use crate::app::App;
use crate::cli::UserCommand;
use crate::compose;
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::{self, Output};
use crate::serve::people::{self, Wanted};
use crate::serve::rights::{self, Role};
use serde_json::json;

/// Runs one of the commands.
pub async fn run(options: Options, command: UserCommand) -> Result<Exit, CliError> {
    let (email, role, name) = match command {
        UserCommand::Roles => {
            let table = rights::as_document();
            Output::new(options.format).show(&table, |_| output::print(rights::as_markdown().trim_end()));
            return Ok(Exit::Done);
        }
        UserCommand::Add { email, role, name } => (email, role, name),
    };
    let email = people::address(&email).map_err(|reason| {
        CliError::usage(format!("`{email}` cannot be added: {reason}"), "Check the address.")
    })?;
    let role = Role::from_name(&role).ok_or_else(|| {
        let all: Vec<&str> = Role::ALL.iter().map(|r| r.name()).collect();
        CliError::usage(format!("`{role}` is no role"), format!("Use one of {}.", all.join(", ")))
    })?;
    let out = Output::new(options.format);
    let store = compose::sql_store(&options).await?;
    let app = App::over(store.clone(), options).await?;
    let org = (role != Role::Operator).then(|| app.org().clone());
    let wanted = Wanted { org, email, name, role };
    let (person, password) = people::add(&store, &app.clock, app.actor(), wanted).await?;
    let document = json!({
        "id": person.id, "email": person.email, "role": person.role, "organization": person.org,
        "one_time_password": password,
    });
    out.show(&document, |out| {
        out.line(&format!("Added {} as {}.", person.email, person.role));
        out.line(&format!(
            "One-time password, shown once and to be changed at the first sign-in: {password}"
        ));
    });
    Ok(Exit::Done)
}
