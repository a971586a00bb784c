//! `trueup setting`: the settings that decide what is written, with the level each value comes from.

use crate::app::App;
use crate::failure::{CliError, Exit};
use clap::Subcommand;
use serde_json::{Value, json};
use trueup_domain::settings::row_of;
use trueup_engine::records::Seen;
use trueup_engine::settings::{self, EffectiveSetting};

/// Settings.
#[derive(Debug, Subcommand)]
pub enum SettingCommand {
    /// Lists all settings
    List,
    /// Shows one setting
    Get {
        /// The key
        key: String,
    },
    /// Sets one setting of the organization
    Set {
        /// The key
        key: String,
        /// The value
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Lets a setting be inherited again
    Reset {
        /// The key
        key: String,
    },
}

/// Runs one of the commands.
pub async fn run(app: &App, command: SettingCommand) -> Result<Exit, CliError> {
    match command {
        SettingCommand::List => {
            let all = settings::effective(app.store(), app.org(), &app.options.overlays).await?;
            let documents: Vec<Value> = all.iter().map(document).collect();
            app.out.show(&json!({ "settings": documents }), |out| {
                let rows = all
                    .iter()
                    .map(|s| {
                        vec![
                            s.key.to_owned(),
                            s.value.clone(),
                            s.level.describe(),
                            s.allowed.clone(),
                            s.meaning.into(),
                        ]
                    })
                    .collect();
                out.table(&["key", "value", "from", "allowed", "meaning"], rows);
            });
            Ok(Exit::Done)
        }
        SettingCommand::Get { key } => show(app, &key).await,
        SettingCommand::Set { key, value } => change(app, &key, Some(&value)).await,
        SettingCommand::Reset { key } => change(app, &key, None).await,
    }
}

fn document(setting: &EffectiveSetting) -> Value {
    json!({
        "key": setting.key,
        "value": setting.value,
        "from": setting.level.describe(),
        "default": setting.default,
        "allowed": setting.allowed,
        "meaning": setting.meaning,
    })
}

async fn show(app: &App, key: &str) -> Result<Exit, CliError> {
    row_of(key)?;
    let all = settings::effective(app.store(), app.org(), &app.options.overlays).await?;
    for setting in all.iter().filter(|s| s.key == key) {
        app.out.show(&document(setting), |out| {
            out.line(&format!("{} = {} ({})", setting.key, setting.value, setting.level.describe()));
        });
    }
    Ok(Exit::Done)
}

async fn change(app: &App, key: &str, value: Option<&str>) -> Result<Exit, CliError> {
    settings::set(app.store(), &app.clock, app.org(), app.actor(), key, Seen::Any, value).await?;
    show(app, key).await
}
