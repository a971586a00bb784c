//! Two public clients of ConnectWise, written by others, against the sandbox: over https as they are, over http with
//! the one change that plain http needs.
//!
//! They come from `conformance/requirements.txt`. `cargo test-all` installs them and names their Python in
//! `TRUEUP_TEST_PYTHON`; a plain `cargo test` without it says that this is skipped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test stops where it fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use trueup_sandbox::{Sandbox, SandboxConfig};

/// Calls that have to be in the report, so that a script that stops early cannot pass.
const CALLS: usize = 32;

fn python() -> Option<PathBuf> {
    match std::env::var_os("TRUEUP_TEST_PYTHON") {
        Some(python) => Some(python.into()),
        None if std::env::var_os("CI").is_some() => {
            panic!("TRUEUP_TEST_PYTHON is not set: run the suite with `cargo test-all`, which sets it up")
        }
        None => {
            println!("skipped: the public clients are not there; `cargo test-all` installs them");
            None
        }
    }
}

/// Runs the script in a process of its own while the sandbox serves; shows all it said when it failed.
fn report(python: &Path, sandbox: &Sandbox, name: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let access = folder.join(format!("{name}.json"));
    let line = json!({
        "url": sandbox.url(),
        "company": sandbox.company(),
        "public_key": sandbox.public_key(),
        "private_key": sandbox.private_key(),
        "client_id": sandbox.client_id(),
    });
    std::fs::write(&access, line.to_string()).unwrap();
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/conformance.py")).arg(&access);
    // A proxy of the surroundings is not for this machine's own addresses.
    command.env("NO_PROXY", "127.0.0.1").env("PYTHONDONTWRITEBYTECODE", "1");
    command.env_remove("REQUESTS_CA_BUNDLE");
    if let Some(authority) = sandbox.authority() {
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, authority).unwrap();
        command.env("REQUESTS_CA_BUNDLE", &file);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

#[track_caller]
fn passed(report: &str) {
    let good = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(good, CALLS, "{report}");
    assert!(report.trim_end().ends_with("0 failed"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_clients_run_over_http() {
    let Some(python) = python() else { return };
    let sandbox = trueup_sandbox::start(SandboxConfig::default()).await.unwrap();
    passed(&report(&python, &sandbox, "http"));
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_clients_run_unmodified_over_https() {
    let Some(python) = python() else { return };
    let sandbox = trueup_sandbox::start_tls(SandboxConfig::default()).await.unwrap();
    assert!(sandbox.url().starts_with("https://127.0.0.1:"));
    passed(&report(&python, &sandbox, "https"));
    sandbox.shutdown().await;
}
