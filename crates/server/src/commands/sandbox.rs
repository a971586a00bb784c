//! `trueup sandbox`: the stateful ConnectWise sandbox alone, until it is stopped.

use crate::failure::{CliError, Exit};
use crate::output;
use clap::Args;
use jiff::civil::Date;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use trueup_sandbox::SandboxConfig;

/// Flags of `sandbox`.
#[derive(Args, Debug)]
pub struct SandboxArgs {
    /// The port on 127.0.0.1; 0 takes any that is free
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Records to begin with (JSON)
    #[arg(long, value_name = "FILE")]
    pub seed: Option<PathBuf>,
    /// Speak https alone; the certificate to trust is written to this file (sandbox-ca.pem)
    #[arg(long, value_name = "CA_FILE", num_args = 0..=1, default_missing_value = "sandbox-ca.pem")]
    pub tls: Option<PathBuf>,
}

/// Runs until it is interrupted.
pub async fn run(args: SandboxArgs, today: Option<Date>) -> Result<Exit, CliError> {
    let seed = args.seed.as_deref().map(read_seed).transpose()?;
    let config = SandboxConfig { port: args.port, seed, today: today.map(|day| day.to_string()) };
    let started = match args.tls {
        Some(_) => trueup_sandbox::start_tls(config).await,
        None => trueup_sandbox::start(config).await,
    };
    let sandbox = started.map_err(|error| {
        CliError::usage(error.to_string(), "Choose another port (--port 0 takes any), or correct the seed.")
    })?;
    let ca_file = match (&args.tls, sandbox.authority()) {
        (Some(path), Some(authority)) => Some(write_authority(path, authority)?),
        _ => None,
    };
    let mut line = json!({
        "url": sandbox.url(),
        "company": sandbox.company(),
        "public_key": sandbox.public_key(),
        "private_key": sandbox.private_key(),
        "client_id": sandbox.client_id(),
    });
    if let Some(path) = ca_file {
        line["ca_file"] = json!(path);
    }
    output::print(&line.to_string());
    wait_for_stop().await;
    sandbox.shutdown().await;
    Ok(Exit::Done)
}

/// Writes the certificate that clients have to trust; answers where, whatever folder they run in.
fn write_authority(path: &Path, authority: &str) -> Result<PathBuf, CliError> {
    let failed = |error: std::io::Error| {
        CliError::usage(
            format!("the certificate cannot be written to {}: {error}", path.display()),
            "Name a file in a folder that can be written to.",
        )
    };
    std::fs::write(path, authority).map_err(failed)?;
    std::path::absolute(path).map_err(failed)
}

fn read_seed(path: &Path) -> Result<Value, CliError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        CliError::usage(
            format!("the seed {} cannot be read: {error}", path.display()),
            "Name a readable file.",
        )
    })?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::usage(format!("{} is not JSON: {error}", path.display()), "Correct the seed.")
    })
}

/// Until Ctrl-C, or the signal that service managers send.
async fn wait_for_stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = interrupt.await;
}
