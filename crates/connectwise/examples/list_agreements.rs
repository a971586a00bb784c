//! Lists the agreements of a ConnectWise tenant with the number of their additions.
//!
//! ```sh
//! export CW_URL=https://api-na.myconnectwise.net CW_COMPANY=training CW_PUBLIC_KEY=… CW_CLIENT_ID=… CW_PRIVATE_KEY=…
//! cargo run -p trueup-connectwise --example list_agreements
//! ```

use std::env::{VarError, var};

use secrecy::SecretString;
use trueup_connectwise::client::address::AllowedHosts;
use trueup_connectwise::client::wire::names;
use trueup_connectwise::client::{ClientConfig, Cond, ConnectWiseClient, Credentials, Query};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let credentials = credentials()?;
    let mut config = ClientConfig::new(var("CW_URL")?, credentials);
    // For a sandbox on this machine.
    config.allowed = AllowedHosts { loopback: true, ..AllowedHosts::default() };
    let client = ConnectWiseClient::new(config)?;

    let active = Query::filter(Cond::eq(names::CANCELLED, false));
    for agreement in client.list_agreements(&active).await? {
        let additions = client.list_additions(agreement.id).await?;
        let company = agreement.company.name.unwrap_or_default();
        println!("{:>8}  {company}: {} ({} additions)", agreement.id, agreement.name, additions.len());
    }
    println!("{} calls", client.stats().calls);
    Ok(())
}

fn credentials() -> Result<Credentials, VarError> {
    Ok(Credentials {
        company: var("CW_COMPANY")?,
        public_key: var("CW_PUBLIC_KEY")?,
        private_key: SecretString::from(var("CW_PRIVATE_KEY")?),
        client_id: var("CW_CLIENT_ID")?,
    })
}
