//! Starts a sandbox, prints where it is and how to get in as one line of JSON, and serves until it is stopped.
//!
//! `cargo run -p trueup-sandbox --example serve -- [PORT]`

use std::io::Write as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => 0,
    };
    let sandbox = trueup_sandbox::start(trueup_sandbox::SandboxConfig { port, ..Default::default() }).await?;
    let line = serde_json::json!({
        "url": sandbox.url(),
        "company": sandbox.company(),
        "public_key": sandbox.public_key(),
        "private_key": sandbox.private_key(),
        "client_id": sandbox.client_id(),
    });
    writeln!(std::io::stdout(), "{line}")?;
    std::io::stdout().flush()?;
    std::future::pending::<()>().await;
    Ok(())
}
