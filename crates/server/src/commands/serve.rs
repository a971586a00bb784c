//! `trueup serve`: the service.

use crate::cli::{Role, ServeArgs};
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::serve::{self, Start};

/// Runs the command.
pub async fn run(args: ServeArgs, options: Options) -> Result<Exit, CliError> {
    let start = Start {
        api: matches!(args.role, Role::All | Role::Api),
        worker: matches!(args.role, Role::All | Role::Worker),
        listen: args.listen,
        public_url: args.public_url,
        metrics_listen: args.metrics_listen,
        behind_proxy: args.behind_proxy,
        visitor: None,
    };
    serve::run(start, options).await
}

/// Prints the OpenAPI document.
pub fn openapi() -> Result<Exit, CliError> {
    let text = serve::document().to_pretty_json().map_err(|error| {
        CliError::usage(format!("the document cannot be written: {error}"), "Report this.")
    })?;
    crate::output::print(&text);
    Ok(Exit::Done)
}
