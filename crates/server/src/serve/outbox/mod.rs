//! What is told to others: takes deliveries from the outbox, sends them, and writes down what became of each attempt.
//!
//! A delivery is claimed before it is sent and counted when its attempt is written down. A process that dies in between
//! leaves the claim to run out: the event is sent again, under the same id.

pub mod sign;

use super::identity::Identity;
use super::state::Service;
use crate::clock::SystemClock;
use crate::compose;
use crate::config::Options;
use futures::FutureExt;
use rand::Rng;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::OrganizationId;
use trueup_engine::outbox::{is_dead, next_attempt};
use trueup_engine::ports::{Clock, Store, StoreError};
use trueup_engine::records::{Millis, NewAuditEntry, SecretText};
use trueup_store::{Attempt, Delivery, EVENT_KINDS, Outcome, Sending, SqlStore, Webhook};
use trueup_transport::{
    Call, HostError, HostRules, Outcome as Sent, Redactor, Refusal, Safety, Sender, SenderConfig,
};
use url::Url;

/// The channel of webhooks.
pub const WEBHOOK: &str = "webhook";
/// Deliveries under way at once, of different webhooks.
const AT_ONCE: usize = 16;
/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The other side has to answer within this time.
const ANSWER: Duration = Duration::from_secs(15);
/// A claim holds for so long: longer than an attempt takes.
const CLAIM_MS: Millis = 60_000;
/// Longer answers are none.
const LONGEST_ANSWER: usize = 256 * 1024;
/// So much of an answer is kept, in characters.
const KEPT_ANSWER: usize = 500;
/// The longest address.
const LONGEST_URL: usize = 2_000;
/// The former secret of a webhook signs beside the new one for so long: about as long as what fails is tried again.
const OVERLAP_HOURS: u32 = 24;
const LONGEST_OVERLAP_HOURS: u32 = 168;
/// The name in the audit.
const ACTOR: &str = "trueup";

/// Delivers until `stopping`; what is under way then is finished.
pub async fn work(service: Service, identity: Arc<Identity>, mut stopping: watch::Receiver<bool>) {
    let mut under_way = JoinSet::new();
    while !*stopping.borrow() {
        while under_way.try_join_next().is_some() {}
        let mut claimed = None;
        if under_way.len() < AT_ONCE {
            let owner = identity.claim();
            match claim(&service, WEBHOOK, &owner).await {
                Ok(found) => claimed = found.map(|(sending, at)| (owner, sending, at)),
                Err(error) => tracing::error!(%error, "the outbox cannot be read"),
            }
        }
        if let Some((owner, sending, at)) = claimed {
            let service = service.clone();
            under_way.spawn(async move {
                let parts = (&*service.store, &service.options, &service.clock);
                if let Err(error) = deliver(parts, &sending, &owner, at).boxed().await {
                    tracing::error!(%error, delivery = sending.delivery.id, "an attempt cannot be written down");
                }
            });
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.changed() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Claims what is due longest; and when it was claimed, by the time of the queue.
///
/// # Errors
/// The store's.
pub async fn claim(
    service: &Service,
    channel: &str,
    owner: &str,
) -> Result<Option<(Sending, Millis)>, StoreError> {
    let now = service.queue_time().await?;
    let found = service.store.claim_delivery(channel, owner, now, now.saturating_add(CLAIM_MS)).await?;
    Ok(found.map(|sending| (sending, now)))
}

/// What sending stands on.
pub type Parts<'a> = (&'a SqlStore, &'a Options, &'a SystemClock);

/// Claims one delivery and tries it at once, whatever else waits. Returns whether it was free.
///
/// # Errors
/// The store's.
pub async fn deliver_this(parts: Parts<'_>, delivery: &Delivery, now: Millis) -> Result<bool, StoreError> {
    let owner = format!("hand-{}", uuid::Uuid::now_v7().simple());
    let place = (&delivery.org, delivery.id.as_str());
    let Some(sending) = parts.0.claim_this(place, &owner, now, now.saturating_add(CLAIM_MS)).await? else {
        return Ok(false);
    };
    deliver(parts, &sending, &owner, now).boxed().await?;
    Ok(true)
}

/// Sends a claimed delivery once, and writes down what became of it.
async fn deliver(
    (store, options, clock): Parts<'_>,
    sending: &Sending,
    owner: &str,
    claimed_at: Millis,
) -> Result<(), StoreError> {
    let delivery = &sending.delivery;
    let Some(webhook) = store.find_webhook(&delivery.org, &delivery.target).await? else {
        // Taken away since: its deliveries went with it.
        return Ok(());
    };
    let at = clock.now();
    let began = Instant::now();
    let said = match store.open_webhook_secrets(&webhook.org, &webhook.id, at).await {
        Ok(secrets) => send(options, &webhook, sending, &secrets, at).await,
        Err(error) => Said { error: Some(error.to_string()), ..Said::default() },
    };
    let took_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let (end, end_of_queue) = (clock.now(), claimed_at.saturating_add(took_ms));
    let tries = delivery.tries.saturating_add(1);
    let outcome = if said.error.is_none() {
        Outcome::Arrived
    } else if said.is_gone() || delivery.kind == trueup_store::TEST_EVENT {
        // A test tells at once how it went; nobody waits for a second one.
        Outcome::GivenUp
    } else {
        match next_attempt(tries, end_of_queue, said.asked, rand::rng().next_u32()) {
            Some(next) => Outcome::Again(next),
            None => Outcome::GivenUp,
        }
    };
    let is_gone = said.is_gone();
    let attempt = Attempt { at, took_ms, status: said.status, answer: said.answer, error: said.error };
    store.finish_attempt(delivery, owner, &attempt, outcome).await?;
    if outcome == Outcome::Arrived || webhook.disabled_at.is_some() {
        return Ok(());
    }
    let Some(webhook) = store.find_webhook(&delivery.org, &delivery.target).await? else { return Ok(()) };
    let why = if is_gone {
        "It answered 410: it is gone.".to_owned()
    } else if is_dead(webhook.failing_since, end) {
        "Nothing that was sent there in three days arrived.".to_owned()
    } else {
        return Ok(());
    };
    switch_off(store, clock, webhook, end, why).await
}

async fn switch_off(
    store: &SqlStore,
    clock: &SystemClock,
    webhook: Webhook,
    at: Millis,
    why: String,
) -> Result<(), StoreError> {
    let message = format!(
        "The webhook `{}` is switched off: {why} What happens until it is switched on again is not told there.",
        webhook.name
    );
    let entry = NewAuditEntry {
        at,
        actor: ACTOR.to_owned(),
        action: "webhook.disable".to_owned(),
        object: format!("webhook/{}", webhook.id),
        addition: None,
        detail: json!({ "name": webhook.name, "why": why }).to_string(),
    };
    let off = Webhook { disabled_at: Some(at), disabled_why: Some(why), ..webhook };
    store.update_webhook(&off, &entry).await?;
    let subject = Subject { detail: Some(scope_of(&off.id)), ..Subject::default() };
    let finding = Finding::new(Code::Tu9201, subject, message);
    store.record_findings(&off.org, &scope_of(&off.id), clock.now(), clock.today(), &[finding]).await
}

/// The scope of findings about a webhook.
pub fn scope_of(webhook: &str) -> String {
    format!("webhook/{webhook}")
}

/// What an attempt came to.
#[derive(Default)]
struct Said {
    status: Option<u16>,
    answer: Option<String>,
    error: Option<String>,
    /// How long the other side asks to wait.
    asked: Option<Millis>,
}

impl Said {
    fn is_gone(&self) -> bool {
        self.status == Some(410)
    }
}

async fn send(
    options: &Options,
    webhook: &Webhook,
    sending: &Sending,
    secrets: &[SecretText],
    at: Millis,
) -> Said {
    let failed = |error: String| Said { error: Some(error), ..Said::default() };
    // Looked at anew: the operator's lists may have changed since the address was entered.
    let url = match checked_url(options, &webhook.url) {
        Ok(url) => url,
        Err(reason) => return failed(reason),
    };
    let (seconds, id) = (at.div_euclid(1_000), &sending.delivery.event);
    let Some(signature) = sign::signatures(secrets, id, seconds, &sending.body) else {
        return failed("the secret of the webhook is none; give it a new one".to_owned());
    };
    let sender = Sender::new(SenderConfig {
        rules: rules(options, &url),
        redactor: Redactor::new(secrets.iter().map(|secret| secret.reveal().to_owned().into())),
        attempt_timeout: ANSWER,
        deadline: ANSWER,
        max_body_bytes: LONGEST_ANSWER,
        max_retries: 0,
        max_throttle_retries: 0,
        in_totals: false,
        ..SenderConfig::default()
    });
    let sender = match sender {
        Ok(sender) => sender,
        Err(error) => return failed(error.to_string()),
    };
    let header = axum::http::HeaderName::from_static;
    let call = Call::post(url)
        .safety(Safety::Once)
        .header(header("webhook-id"), id)
        .header(header("webhook-timestamp"), &seconds.to_string())
        .header(header("webhook-signature"), &signature)
        .body("application/json", sending.body.clone());
    let sent = sender.send(call).await;
    let reply = sent.reply();
    let answer = reply.map(|reply| {
        let text = sender.clean(&String::from_utf8_lossy(reply.body()));
        text.chars().filter(|c| !c.is_control() || *c == '\n').take(KEPT_ANSWER).collect::<String>()
    });
    let error = match &sent {
        Sent::Done(_) => None,
        Sent::Refused(Refusal::Throttled { reply: Some(reply), .. }) => {
            Some(format!("the other side answered {}", reply.status()))
        }
        Sent::Refused(refusal) => Some(refusal.to_string()),
        Sent::InDoubt(doubt) => Some(doubt.to_string()),
    };
    let asked = reply
        .filter(|reply| matches!(reply.status().as_u16(), 429 | 503))
        .and_then(|reply| reply.header("retry-after")?.trim().parse::<i64>().ok())
        .map(|seconds| seconds.saturating_mul(1_000));
    Said {
        status: reply.map(|reply| reply.status().as_u16()),
        answer: answer.filter(|text| !text.is_empty()),
        error,
        asked,
    }
}

/// Which addresses a webhook may call: any public host over https, and those that the operator lists.
fn rules(options: &Options, url: &Url) -> HostRules {
    let loopback = compose::is_loopback(url.as_str()) && options.lets_loopback(url.as_str());
    options
        .allowed_private_hosts
        .iter()
        .fold(HostRules::any_public(), |rules, host| rules.allow_private_host(host))
        .allow_loopback(loopback)
}

/// An address that a webhook may have.
///
/// # Errors
/// Why it may not.
pub fn checked_url(options: &Options, text: &str) -> Result<Url, String> {
    if text.len() > LONGEST_URL {
        return Err(format!("it is longer than {LONGEST_URL} characters"));
    }
    let mut url = Url::parse(text.trim()).map_err(|error| format!("it is no address: {error}"))?;
    url.set_fragment(None);
    rules(options, &url).check_url(&url).map_err(|error: HostError| error.to_string())?;
    Ok(url)
}

/// Until when the former secret of a webhook signs beside a new one; nothing where it signs no more from `now` on.
///
/// # Errors
/// Why it may not be so long.
pub fn overlap(now: Millis, hours: Option<u32>) -> Result<Option<Millis>, String> {
    match hours.unwrap_or(OVERLAP_HOURS) {
        0 => Ok(None),
        hours if hours <= LONGEST_OVERLAP_HOURS => {
            Ok(Some(now.saturating_add(i64::from(hours) * 60 * 60 * 1_000)))
        }
        _ => Err(format!("it is more than {LONGEST_OVERLAP_HOURS} hours")),
    }
}

/// A webhook as it is made: name, address, kinds of events, and whether those below count.
pub fn new_webhook(
    org: &OrganizationId,
    actor: &str,
    at: Millis,
    (name, url, events, below): (String, String, Vec<String>, bool),
) -> Webhook {
    Webhook {
        org: org.clone(),
        id: format!("wh_{}", uuid::Uuid::now_v7().simple()),
        name,
        url,
        events,
        below,
        created_by: actor.to_owned(),
        created_at: at,
        failing_since: None,
        succeeded_at: None,
        disabled_at: None,
        disabled_why: None,
        former_until: None,
    }
}

/// The kinds of events that are asked for, each known and once.
///
/// # Errors
/// One is unknown.
pub fn known_events(words: &[String]) -> Result<Vec<String>, String> {
    for word in words {
        if !EVENT_KINDS.contains(&word.as_str()) {
            return Err(format!("`{word}` is none of {}", EVENT_KINDS.join(", ")));
        }
    }
    Ok(EVENT_KINDS
        .iter()
        .filter(|kind| words.iter().any(|word| word == *kind))
        .map(|k| (*k).to_owned())
        .collect())
}
