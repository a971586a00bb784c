//! `trueup webhook`: where events are told.

use crate::app::App;
use crate::compose;
use crate::config::Options;
use crate::failure::{CliError, Exit};
use crate::output::documents::instant;
use crate::serve::outbox::{self, sign};
use clap::Subcommand;
use serde_json::{Value, json};
use trueup_engine::ports::Clock;
use trueup_engine::records::{NewAuditEntry, SecretText};
use trueup_store::{Delivery, SqlStore, Webhook};

/// Rows of a list.
const MOST: u32 = 200;

/// Webhooks.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Events are sent by a worker of `trueup serve`. They are signed in the way of Standard Webhooks \
                  (webhook-id, webhook-timestamp, webhook-signature) and come at least once."
)]
pub enum WebhookCommand {
    /// Adds a webhook; its secret is shown once
    Add {
        /// What it is for
        name: String,
        /// Where events are sent
        url: String,
        /// A kind of event, such as finding.opened; may be repeated [default: all]
        #[arg(long = "event", value_name = "KIND")]
        events: Vec<String>,
        /// Sends events of the organizations below as well
        #[arg(long)]
        below: bool,
    },
    /// Lists the webhooks
    List,
    /// Sends a test at once
    Test {
        /// The webhook
        id: String,
    },
    /// Lists the last deliveries
    Deliveries {
        /// The webhook
        id: String,
    },
    /// Gives a webhook a new secret, which is shown once
    Rotate {
        /// The webhook
        id: String,
        /// For so many hours the former secret signs as well; 0 where others may know it
        #[arg(long, value_name = "N", default_value_t = 24)]
        overlap_hours: u32,
    },
    /// Removes a webhook with its log
    Remove {
        /// The webhook
        id: String,
    },
}

/// Runs one of the commands.
///
/// # Errors
/// The store's, an address that may not be called, or an unknown webhook.
pub async fn run(options: Options, command: WebhookCommand) -> Result<Exit, CliError> {
    let store = compose::sql_store(&options).await?;
    let app = App::over(store.clone(), options).await?;
    let done = match command {
        WebhookCommand::Add { name, url, events, below } => {
            add(&app, &store, name, &url, &events, below).await
        }
        WebhookCommand::List => list(&app, &store).await,
        WebhookCommand::Test { id } => test(&app, &store, &id).await,
        WebhookCommand::Deliveries { id } => deliveries(&app, &store, &id).await,
        WebhookCommand::Rotate { id, overlap_hours } => rotate(&app, &store, &id, overlap_hours).await,
        WebhookCommand::Remove { id } => remove(&app, &store, &id).await,
    };
    let closed = app.store().close().await;
    let exit = done?;
    closed?;
    Ok(exit)
}

fn entry(app: &App, action: &str, id: &str, detail: &Value) -> NewAuditEntry {
    NewAuditEntry {
        at: app.clock.now(),
        actor: app.actor().to_owned(),
        action: action.to_owned(),
        object: format!("webhook/{id}"),
        addition: None,
        detail: detail.to_string(),
    }
}

async fn find(app: &App, store: &SqlStore, id: &str) -> Result<Webhook, CliError> {
    store.find_webhook(app.org(), id).await?.ok_or_else(|| {
        CliError::usage(format!("there is no webhook `{id}`"), "`trueup webhook list` shows them.")
    })
}

async fn add(
    app: &App,
    store: &SqlStore,
    name: String,
    url: &str,
    events: &[String],
    below: bool,
) -> Result<Exit, CliError> {
    let refused = |what: &str, reason: String| {
        CliError::usage(
            format!("`{what}` cannot be used: {reason}"),
            "Correct it, or list the host as allowed.",
        )
    };
    let url = outbox::checked_url(&app.options, url).map_err(|reason| refused(url, reason))?;
    let events = outbox::known_events(events).map_err(|reason| refused("--event", reason))?;
    let parts = (name, url.to_string(), events, below);
    let webhook = outbox::new_webhook(app.org(), app.actor(), app.clock.now(), parts);
    let secret = sign::new_secret();
    let detail =
        json!({ "name": webhook.name, "url": webhook.url, "events": webhook.events, "below": webhook.below });
    store.add_webhook(&webhook, &secret, &entry(app, "webhook.add", &webhook.id, &detail)).await?;
    show_once(app, &webhook, &secret, &format!("Added {} ({}).", webhook.name, webhook.id));
    Ok(Exit::Done)
}

/// A webhook with its secret, which nobody sees again.
fn show_once(app: &App, webhook: &Webhook, secret: &SecretText, words: &str) {
    let mut document = document(webhook);
    if let Some(object) = document.as_object_mut() {
        object.insert("secret".to_owned(), json!(secret.reveal()));
    }
    app.out.show(&document, |out| {
        out.line(words);
        out.line(&format!("Secret, shown once: {}", secret.reveal()));
    });
}

async fn rotate(app: &App, store: &SqlStore, id: &str, hours: u32) -> Result<Exit, CliError> {
    let mut webhook = find(app, store, id).await?;
    webhook.former_until = outbox::overlap(app.clock.now(), Some(hours)).map_err(|reason| {
        CliError::usage(format!("`--overlap-hours {hours}` cannot be used: {reason}"), "Give fewer.")
    })?;
    let secret = sign::new_secret();
    let until = webhook.former_until.map(instant);
    let entry = entry(app, "webhook.rotate", id, &json!({ "former_until": until }));
    store.replace_webhook_secret((app.org(), id), &secret, webhook.former_until, &entry).await?;
    let words = match until {
        Some(until) => format!("Until {until} the former secret signs as well."),
        None => "The former secret signs nothing any more.".to_owned(),
    };
    show_once(app, &webhook, &secret, &words);
    Ok(Exit::Done)
}

fn document(webhook: &Webhook) -> Value {
    json!({
        "id": webhook.id, "name": webhook.name, "url": webhook.url, "events": webhook.events,
        "below": webhook.below, "enabled": webhook.disabled_at.is_none(),
        "disabled_why": webhook.disabled_why, "failing_since": webhook.failing_since.map(instant),
        "former_until": webhook.former_until.map(instant),
    })
}

async fn list(app: &App, store: &SqlStore) -> Result<Exit, CliError> {
    let all = store.list_webhooks(app.org()).await?;
    let documents: Vec<Value> = all.iter().map(document).collect();
    app.out.show(&json!({ "webhooks": documents }), |out| {
        let rows = all.iter().map(|w| {
            let events = if w.events.is_empty() { "all".to_owned() } else { w.events.join(", ") };
            let state = match (&w.disabled_why, w.failing_since) {
                (Some(why), _) => format!("off: {why}"),
                (None, Some(since)) => format!("failing since {}", instant(since)),
                (None, None) => "on".to_owned(),
            };
            vec![w.id.clone(), w.name.clone(), w.url.clone(), events, state]
        });
        out.table(&["id", "name", "address", "events", "state"], rows.collect());
    });
    Ok(Exit::Done)
}

fn delivered(delivery: &Delivery) -> Value {
    json!({
        "id": delivery.id, "event": delivery.event, "kind": delivery.kind, "state": delivery.state.name(),
        "organization": delivery.event_org, "tries": delivery.tries, "created_at": instant(delivery.created_at),
    })
}

async fn test(app: &App, store: &SqlStore, id: &str) -> Result<Exit, CliError> {
    let webhook = find(app, store, id).await?;
    let id = store
        .add_test_delivery(app.org(), &webhook.id, &entry(app, "webhook.test", &webhook.id, &json!({})))
        .await?;
    let gone = || CliError::usage("the test is gone", "Send another one.");
    let found = store.find_delivery(app.org(), &webhook.id, &id).await?.ok_or_else(gone)?;
    let now = store.server_time().await?.unwrap_or_else(|| app.clock.now());
    outbox::deliver_this((store, &app.options, &app.clock), &found.delivery, now).await?;
    let found = store.find_delivery(app.org(), &webhook.id, &id).await?.ok_or_else(gone)?;
    let last = store.list_attempts(app.org(), &id).await?.pop();
    let arrived = last.as_ref().is_some_and(|attempt| attempt.error.is_none());
    let mut document = delivered(&found.delivery);
    if let (Some(object), Some(last)) = (document.as_object_mut(), &last) {
        object.insert("status".to_owned(), json!(last.status));
        object.insert("took_ms".to_owned(), json!(last.took_ms));
        object.insert("error".to_owned(), json!(last.error));
        object.insert("answer".to_owned(), json!(last.answer));
    }
    app.out.show(&document, |out| match last {
        Some(last) => {
            let words = last.error.unwrap_or_else(|| "it arrived".to_owned());
            out.line(&format!("{}: {words} ({} ms).", webhook.url, last.took_ms));
        }
        None => out.line("A worker sends it."),
    });
    Ok(if arrived { Exit::Done } else { Exit::OutOfReach })
}

async fn deliveries(app: &App, store: &SqlStore, id: &str) -> Result<Exit, CliError> {
    let webhook = find(app, store, id).await?;
    let all = store.list_deliveries(app.org(), &webhook.id, None, None, MOST).await?;
    let documents: Vec<Value> = all.iter().map(delivered).collect();
    app.out.show(&json!({ "deliveries": documents }), |out| {
        let rows = all.iter().map(|d| {
            vec![
                instant(d.created_at),
                d.kind.clone(),
                d.state.name().to_owned(),
                d.tries.to_string(),
                d.id.clone(),
            ]
        });
        out.table(&["since", "event", "state", "tries", "id"], rows.collect());
    });
    Ok(Exit::Done)
}

async fn remove(app: &App, store: &SqlStore, id: &str) -> Result<Exit, CliError> {
    let webhook = find(app, store, id).await?;
    let detail = json!({ "name": webhook.name, "url": webhook.url });
    store.delete_webhook(app.org(), &webhook.id, &entry(app, "webhook.remove", &webhook.id, &detail)).await?;
    let scope = outbox::scope_of(&webhook.id);
    app.store().record_findings(app.org(), &scope, app.clock.now(), app.clock.today(), &[]).await?;
    app.out.show(&document(&webhook), |out| out.line(&format!("Removed {}.", webhook.name)));
    Ok(Exit::Done)
}
