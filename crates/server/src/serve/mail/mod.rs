//! Mails about findings: decides from the settings who is told of what, and sends what lies in the outbox.
//!
//! A decision and the mails that follow from it are one transaction, so that no finding is told twice or left out. A
//! process that dies between the other side's word and writing it down sends a mail again with the same `Message-ID`,
//! by which receivers know it.

mod talk;
mod text;

use self::talk::Failure;
use super::identity::Identity;
use super::outbox;
use super::state::Service;
use crate::deployment::MailOptions;
use lettre::Message;
use lettre::message::header::ContentType;
use rand::Rng;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use trueup_domain::finding::{Code, Finding, Subject};
use trueup_domain::ids::OrganizationId;
use trueup_engine::notify::{Notify, Told};
use trueup_engine::outbox::next_attempt;
use trueup_engine::ports::{Clock, Store, StoreError};
use trueup_engine::records::Millis;
use trueup_engine::settings;
use trueup_store::{Attempt, Mailing, Outcome, Sending};

/// The channel of mails.
const CHANNEL: &str = "mail";
/// How often findings that came up are looked for: what comes up together is told together.
const LOOK: Duration = Duration::from_secs(2);
/// The server has to answer within this time.
const ANSWER: Duration = Duration::from_secs(30);
/// Events of one organization taken at once.
const AT_ONCE: u32 = 500;
/// The mark under which the last digest is kept.
const MARK: &str = "mail.digest";

/// Decides and sends until `stopping`.
pub async fn work(service: Service, identity: Arc<Identity>, mut stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        if let Err(error) = decide(&service).await {
            tracing::error!(%error, "findings cannot be told by mail");
        }
        while !*stopping.borrow() {
            match send_next(&service, &identity).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "the outbox of mails cannot be read");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.changed() => {}
        }
    }
}

async fn decide(service: &Service) -> Result<(), StoreError> {
    for org in service.store.list_mail_waiting("new").await? {
        let notify = notify_of(service, &org).await;
        let events = service.store.list_mail_events(&org, "new", AT_ONCE).await?;
        let mut now = Vec::new();
        let mut moved = Vec::new();
        for (id, body) in events {
            let to = match &notify {
                Some(notify) => {
                    let sorted = notify.sort(findings_of(&body));
                    now.extend(sorted.now);
                    let later = sorted.later && notify.has_digest(service.clock.now());
                    if later { "digest" } else { "" }
                }
                None => "",
            };
            moved.push((id, to));
        }
        let mails = match &notify {
            Some(notify) => mails(service, &org, notify, &now, false).await?,
            None => Vec::new(),
        };
        service.store.post_mails(&org, ("new", &moved), &mails).await?;
    }
    for org in service.store.list_mail_waiting("digest").await? {
        digest(service, &org).await?;
    }
    Ok(())
}

/// Tells what waits, where the time of the day has come. What came up before the settings were changed goes by those of
/// now.
async fn digest(service: &Service, org: &OrganizationId) -> Result<(), StoreError> {
    let now = service.clock.now();
    let Some(notify) = notify_of(service, org).await else { return forget(service, org).await };
    let last = service.store.load_mark(org, MARK).await?.and_then(|text| text.parse::<Millis>().ok());
    let Some(last) = last else {
        // The first one is that of the next time: what came up a minute ago is not told at once.
        return service.store.save_mark(org, MARK, &now.to_string()).await;
    };
    // A mark from a clock that was ahead must not silence the digest.
    let Some(due) = notify.due(Some(last.min(now)), now) else { return Ok(()) };
    loop {
        let events = service.store.list_mail_events(org, "digest", AT_ONCE).await?;
        if events.is_empty() {
            break;
        }
        let mut findings = Vec::new();
        for (_, body) in &events {
            findings.extend(findings_of(body).into_iter().filter(|f| notify.is_for_digest(f)));
        }
        findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
        let moved: Vec<(String, &str)> = events.into_iter().map(|(id, _)| (id, "")).collect();
        let mails = mails(service, org, &notify, &findings, true).await?;
        if !service.store.post_mails(org, ("digest", &moved), &mails).await? {
            // Another worker is at it.
            return Ok(());
        }
    }
    service.store.save_mark(org, MARK, &due.to_string()).await
}

/// Nobody is to be told any more.
async fn forget(service: &Service, org: &OrganizationId) -> Result<(), StoreError> {
    let events = service.store.list_mail_events(org, "digest", AT_ONCE).await?;
    let moved: Vec<(String, &str)> = events.into_iter().map(|(id, _)| (id, "")).collect();
    service.store.post_mails(org, ("digest", &moved), &[]).await.map(drop)
}

/// The settings of mails, where somebody is to be told and there is a server to send by.
async fn notify_of(service: &Service, org: &OrganizationId) -> Option<Notify> {
    service.options.mail.as_ref()?;
    let all = settings::effective(service.store.as_ref(), org, &service.options.overlays).await;
    let values = all.map(|all| all.into_iter().map(|s| (s.key.to_owned(), s.value)).collect());
    match values.map(|values| Notify::new(&values)) {
        Ok(Ok(notify)) => (!notify.to.is_empty()).then_some(notify),
        Ok(Err(error)) => {
            tracing::error!(%error, %org, "the settings of mails cannot be read");
            None
        }
        Err(error) => {
            tracing::error!(?error, %org, "the settings of mails cannot be read");
            None
        }
    }
}

fn findings_of(body: &str) -> Vec<Told> {
    let event: Value = serde_json::from_str(body).unwrap_or_default();
    event.pointer("/data/findings").cloned().and_then(|f| serde_json::from_value(f).ok()).unwrap_or_default()
}

async fn mails(
    service: &Service,
    org: &OrganizationId,
    notify: &Notify,
    findings: &[Told],
    is_digest: bool,
) -> Result<Vec<Mailing>, StoreError> {
    if findings.is_empty() {
        return Ok(Vec::new());
    }
    let name = service.store.find_organization(org).await?.map_or_else(|| org.to_string(), |row| row.name);
    let console = service.public_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    let (subject, text) = text::about(notify.language, &name, findings, is_digest, console.as_deref());
    let to_one = |to: &String| Mailing { to: to.clone(), subject: subject.clone(), text: text.clone() };
    Ok(notify.to.iter().map(to_one).collect())
}

/// Sends the mail that waits longest; whether there was one.
async fn send_next(service: &Service, identity: &Identity) -> Result<bool, StoreError> {
    let Some(options) = &service.options.mail else { return Ok(false) };
    let owner = identity.claim();
    let Some((sending, claimed_at)) = outbox::claim(service, CHANNEL, &owner).await? else {
        return Ok(false);
    };
    let (at, began) = (service.clock.now(), Instant::now());
    let sent = tokio::time::timeout(ANSWER, send(options, &sending)).await;
    let took_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
    let failure = match sent {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(_) => Some(Failure::for_now("no answer within the time allowed".to_owned())),
    };
    let tries = sending.delivery.tries.saturating_add(1);
    let end = claimed_at.saturating_add(took_ms);
    let next = next_attempt(tries, end, None, rand::rng().next_u32());
    let outcome = match (&failure, next) {
        (None, _) => Outcome::Arrived,
        (Some(failure), Some(next)) if !failure.for_good => Outcome::Again(next),
        (Some(_), _) => Outcome::GivenUp,
    };
    let status = failure.as_ref().and_then(|f| f.status);
    let error = failure.as_ref().map(|f| f.words.clone());
    let attempt = Attempt { at, took_ms, status, answer: None, error };
    service.store.finish_attempt(&sending.delivery, &owner, &attempt, outcome).await?;
    match failure {
        None => say(service, &sending, None).await?,
        // A plain no of the server is no passing trouble, also where a later no may be a yes.
        Some(failure) if outcome == Outcome::GivenUp || failure.is_refusal() => {
            say(service, &sending, Some(&failure.words)).await?;
        }
        Some(_) => {}
    }
    Ok(true)
}

/// Says that an address gets no mail, and why; or that it gets them again.
async fn say(service: &Service, sending: &Sending, why: Option<&str>) -> Result<(), StoreError> {
    let (org, to) = (&sending.delivery.org, &sending.delivery.target);
    let scope = format!("mail/{to}");
    let subject = Subject { detail: Some(scope.clone()), ..Subject::default() };
    let finding = why.map(|why| {
        Finding::new(Code::Tu9201, subject, format!("A mail to {to} was not taken: {why}"))
            .fix("Correct the address in the setting notify.to, or the mail server of the deployment.")
    });
    let (now, today) = (service.clock.now(), service.clock.today());
    service.store.record_findings(org, &scope, now, today, finding.as_slice()).await
}

async fn send(options: &MailOptions, sending: &Sending) -> Result<(), Failure> {
    let event: Value = serde_json::from_str(&sending.body).unwrap_or_default();
    let mailing: Mailing = serde_json::from_value(event.get("data").cloned().unwrap_or(json!(null)))
        .map_err(|error| Failure::for_good(format!("the mail cannot be read back: {error}")))?;
    let host = options.from.rsplit('@').next().unwrap_or("localhost").trim_end_matches('>');
    let from = options.from.parse();
    let message = Message::builder()
        .from(from.map_err(|e| Failure::for_now(format!("the sender's address is none: {e}")))?)
        .to(mailing.to.parse().map_err(|e| Failure::for_good(format!("the address is none: {e}")))?)
        .subject(mailing.subject)
        .message_id(Some(format!("<{}@{host}>", sending.delivery.event)))
        .header(ContentType::TEXT_PLAIN)
        .body(mailing.text)
        .map_err(|error| Failure::for_good(error.to_string()))?;
    talk::hand_over(options, &message, ANSWER).await
}
