//! Webhooks: where an organization wants its events told, and what became of each delivery.

use crate::output::documents::instant;
use crate::serve::extract::{Body, Find};
use crate::serve::outbox::{self, sign};
use crate::serve::page::{self, Page};
use crate::serve::problem::Problem;
use crate::serve::state::{Scope, Service, checked};
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use trueup_engine::ports::{Clock, Store};
use trueup_store::{Attempt, Delivery, DeliveryState, EVENT_KINDS, Sending, Webhook};
use utoipa::{IntoParams, ToSchema};

/// Webhooks of one organization.
const MOST: usize = 20;

/// A webhook.
#[derive(Serialize, ToSchema)]
pub struct WebhookDoc {
    /// Id.
    id: String,
    /// What it is for.
    name: String,
    /// Where events are sent.
    url: String,
    /// The kinds of events that are sent; none are all.
    events: Vec<String>,
    /// Whether events of the organizations below are sent as well.
    below: bool,
    /// Whether it is on.
    enabled: bool,
    /// Since when it is off.
    disabled_at: Option<String>,
    /// Why it is off.
    disabled_why: Option<String>,
    /// Since when nothing arrived of what was sent; nothing where the last one arrived.
    failing_since: Option<String>,
    /// When something last arrived.
    succeeded_at: Option<String>,
    /// Until when the former secret signs as well; nothing where the newest one alone signs.
    former_until: Option<String>,
    /// Who made it.
    created_by: String,
    /// When.
    created_at: String,
    /// The secret that deliveries are signed with; shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<&Webhook> for WebhookDoc {
    fn from(webhook: &Webhook) -> Self {
        Self {
            id: webhook.id.clone(),
            name: webhook.name.clone(),
            url: webhook.url.clone(),
            events: webhook.events.clone(),
            below: webhook.below,
            enabled: webhook.disabled_at.is_none(),
            disabled_at: webhook.disabled_at.map(instant),
            disabled_why: webhook.disabled_why.clone(),
            failing_since: webhook.failing_since.map(instant),
            succeeded_at: webhook.succeeded_at.map(instant),
            former_until: webhook.former_until.map(instant),
            created_by: webhook.created_by.clone(),
            created_at: instant(webhook.created_at),
            secret: None,
        }
    }
}

/// Webhooks.
#[derive(Serialize, ToSchema)]
pub struct WebhooksDoc {
    /// Oldest first.
    items: Vec<WebhookDoc>,
    /// The kinds of events there are.
    kinds: Vec<&'static str>,
}

/// A new webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Where events are sent: a public address over https, or one that the operator lists.
    #[schema(max_length = 2000)]
    url: String,
    /// The kinds of events that are sent; all where none are named.
    #[serde(default)]
    #[schema(max_items = 20)]
    events: Vec<String>,
    /// Whether events of the organizations below are sent as well.
    #[serde(default)]
    below: bool,
}

/// What can be changed about a webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookChange {
    /// What it is for.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// Where events are sent.
    #[schema(max_length = 2000)]
    url: Option<String>,
    /// The kinds of events that are sent; none are all.
    #[schema(max_items = 20)]
    events: Option<Vec<String>>,
    /// Whether events of the organizations below are sent as well.
    below: Option<bool>,
    /// Whether it is on. What waits when it is switched off is given up; it can be sent again by hand.
    enabled: Option<bool>,
}

/// An attempt of a delivery.
#[derive(Serialize, ToSchema)]
pub struct AttemptDoc {
    /// When it began.
    at: String,
    /// How long it took.
    took_ms: i64,
    /// The status of the answer.
    #[schema(value_type = Option<i32>)]
    status: Option<u16>,
    /// The beginning of the answer.
    answer: Option<String>,
    /// Why it did not arrive; nothing where it did.
    error: Option<String>,
}

impl From<&Attempt> for AttemptDoc {
    fn from(attempt: &Attempt) -> Self {
        Self {
            at: instant(attempt.at),
            took_ms: attempt.took_ms,
            status: attempt.status,
            answer: attempt.answer.clone(),
            error: attempt.error.clone(),
        }
    }
}

/// A delivery.
#[derive(Serialize, ToSchema)]
pub struct DeliveryDoc {
    /// Id.
    id: String,
    /// The event's id: the header `webhook-id`, the same however often it is sent.
    event: String,
    /// The kind of event.
    kind: String,
    /// The organization in which it happened.
    organization: String,
    /// `waiting`, `done` or `failed`.
    state: &'static str,
    /// Attempts since it was last begun.
    tries: u32,
    /// Since when.
    created_at: String,
    /// When it is tried next; nothing where that is at once, or never.
    next_at: Option<String>,
    /// When it arrived or was given up.
    ended_at: Option<String>,
}

impl From<&Delivery> for DeliveryDoc {
    fn from(delivery: &Delivery) -> Self {
        let waits = delivery.state == DeliveryState::Waiting && delivery.next_at > 0;
        Self {
            id: delivery.id.clone(),
            event: delivery.event.clone(),
            kind: delivery.kind.clone(),
            organization: delivery.event_org.to_string(),
            state: delivery.state.name(),
            tries: delivery.tries,
            created_at: instant(delivery.created_at),
            next_at: waits.then(|| instant(delivery.next_at)),
            ended_at: delivery.ended_at.map(instant),
        }
    }
}

/// A delivery with everything about it.
#[derive(Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// The delivery.
    #[serde(flatten)]
    delivery: DeliveryDoc,
    /// What is sent.
    #[schema(value_type = Object)]
    body: serde_json::Value,
    /// The attempts, oldest first.
    attempts: Vec<AttemptDoc>,
}

/// Which deliveries are listed.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveryQuery {
    /// Only those that are `waiting`, `done` or `failed`.
    #[param(pattern = "^(waiting|done|failed)$")]
    state: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

fn url_of(service: &Service, text: &str) -> Result<String, Problem> {
    let url = outbox::checked_url(&service.options, text).map_err(|reason| Problem::field("url", reason))?;
    Ok(url.to_string())
}

async fn find(service: &Service, scope: &Scope) -> Result<Webhook, Problem> {
    let id = scope.part("webhook");
    service.store.find_webhook(&scope.org, id).await?.ok_or_else(|| Problem::none("webhook", id))
}

async fn find_delivery(service: &Service, scope: &Scope) -> Result<Sending, Problem> {
    let (webhook, id) = (find(service, scope).await?, scope.part("delivery"));
    let found = service.store.find_delivery(&scope.org, &webhook.id, id).await?;
    found.ok_or_else(|| Problem::none("delivery", id))
}

/// The webhooks of an organization
#[utoipa::path(get, path = "/api/v1/organizations/{org}/webhooks", tag = "webhooks",
    params(("org" = String, Path, description = "The organization")),
    responses((status = 200, description = "Without their secrets", body = WebhooksDoc)))]
pub async fn list(State(service): State<Service>, scope: Scope) -> Result<Json<WebhooksDoc>, Problem> {
    let all = service.store.list_webhooks(&scope.org).await?;
    Ok(Json(WebhooksDoc { items: all.iter().map(WebhookDoc::from).collect(), kinds: EVENT_KINDS.to_vec() }))
}

/// Add a webhook
///
/// Events are sent as Standard Webhooks: the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`, the last
/// an HMAC-SHA256 under the secret, which the answer shows once. An event comes at least once: the same id again is the
/// same event.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/webhooks", tag = "webhooks",
    params(("org" = String, Path, description = "The organization")), request_body = NewWebhook,
    responses((status = 201, description = "With its secret, shown once", body = WebhookDoc)))]
pub async fn add(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<NewWebhook>,
) -> Result<Response, Problem> {
    let (name, url) = (checked("name", &body.name, 100)?, url_of(&service, &body.url)?);
    let events = outbox::known_events(&body.events).map_err(|reason| Problem::field("events", reason))?;
    if service.store.list_webhooks(&scope.org).await?.len() >= MOST {
        return Err(Problem::conflict(
            format!("the organization has {MOST} webhooks already"),
            "Remove one that is not needed.",
        ));
    }
    let actor = scope.app(&service).actor().to_owned();
    let webhook =
        outbox::new_webhook(&scope.org, &actor, service.clock.now(), (name, url, events, body.below));
    let secret = sign::new_secret();
    let detail =
        json!({ "name": webhook.name, "url": webhook.url, "events": webhook.events, "below": webhook.below });
    let entry = service.entry(&actor, "webhook.add", format!("webhook/{}", webhook.id), &detail);
    service.store.add_webhook(&webhook, &secret, &entry).await?;
    let location = format!("/api/v1/organizations/{}/webhooks/{}", scope.org, webhook.id);
    let document = WebhookDoc { secret: Some(secret.reveal().to_owned()), ..WebhookDoc::from(&webhook) };
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)).into_response())
}

/// One webhook
#[utoipa::path(get, path = "/api/v1/organizations/{org}/webhooks/{webhook}", tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook")),
    responses((status = 200, description = "Without its secret", body = WebhookDoc)))]
pub async fn show(State(service): State<Service>, scope: Scope) -> Result<Json<WebhookDoc>, Problem> {
    Ok(Json(WebhookDoc::from(&find(&service, &scope).await?)))
}

/// Change a webhook
///
/// Switched on again, it counts as working until something fails; what happened meanwhile is not sent.
#[utoipa::path(patch, path = "/api/v1/organizations/{org}/webhooks/{webhook}", tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook")),
    request_body = WebhookChange, responses((status = 200, description = "As it is now", body = WebhookDoc)))]
pub async fn change(
    State(service): State<Service>,
    scope: Scope,
    Body(body): Body<WebhookChange>,
) -> Result<Json<WebhookDoc>, Problem> {
    let before = find(&service, &scope).await?;
    let mut after = before.clone();
    if let Some(name) = body.name {
        after.name = checked("name", &name, 100)?;
    }
    if let Some(url) = body.url {
        after.url = url_of(&service, &url)?;
    }
    if let Some(events) = body.events {
        after.events = outbox::known_events(&events).map_err(|reason| Problem::field("events", reason))?;
    }
    after.below = body.below.unwrap_or(after.below);
    match body.enabled {
        Some(true) => (after.disabled_at, after.disabled_why, after.failing_since) = (None, None, None),
        Some(false) if after.disabled_at.is_none() => {
            after.disabled_at = Some(service.clock.now());
            after.disabled_why = Some(format!("{} switched it off.", scope.actor()));
        }
        Some(false) | None => {}
    }
    let told = |w: &Webhook| json!({ "name": w.name, "url": w.url, "events": w.events, "below": w.below, "enabled": w.disabled_at.is_none() });
    let detail = json!({ "before": told(&before), "after": told(&after) });
    let actor = scope.app(&service).actor().to_owned();
    let entry = service.entry(&actor, "webhook.change", format!("webhook/{}", before.id), &detail);
    service.store.update_webhook(&after, &entry).await?;
    if before.disabled_at.is_some() && after.disabled_at.is_none() {
        settle(&service, &after).await?;
    }
    Ok(Json(WebhookDoc::from(&after)))
}

/// What was said about a webhook holds no more.
async fn settle(service: &Service, webhook: &Webhook) -> Result<(), Problem> {
    let (scope, now, today) = (outbox::scope_of(&webhook.id), service.clock.now(), service.clock.today());
    Ok(service.store.record_findings(&webhook.org, &scope, now, today, &[]).await?)
}

/// Remove a webhook
///
/// Its log of deliveries goes with it.
#[utoipa::path(delete, path = "/api/v1/organizations/{org}/webhooks/{webhook}", tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook")),
    responses((status = 204, description = "Removed")))]
pub async fn remove(State(service): State<Service>, scope: Scope) -> Result<StatusCode, Problem> {
    let webhook = find(&service, &scope).await?;
    let actor = scope.app(&service).actor().to_owned();
    let detail = json!({ "name": webhook.name, "url": webhook.url });
    let entry = service.entry(&actor, "webhook.remove", format!("webhook/{}", webhook.id), &detail);
    service.store.delete_webhook(&scope.org, &webhook.id, &entry).await?;
    settle(&service, &webhook).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How a webhook gets a new secret.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RotateQuery {
    /// For so many hours what is sent is signed with the former secret as well; 24 where nothing is said. With 0 the former
    /// one, which others may know, signs nothing any more.
    #[param(minimum = 0, maximum = 168)]
    overlap_hours: Option<u32>,
}

/// Give a webhook a new secret
///
/// What is sent from now on is signed with it, and for a while with the former one as well: `webhook-signature` then holds two
/// signatures with a blank between them, so that the receiver may take over the new one at any time within. Of the secrets
/// before these two none signs any more.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/webhooks/{webhook}/rotate", tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook"),
        RotateQuery),
    responses((status = 200, description = "With its secret, shown once", body = WebhookDoc)))]
pub async fn rotate(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<RotateQuery>,
) -> Result<Json<WebhookDoc>, Problem> {
    let mut webhook = find(&service, &scope).await?;
    webhook.former_until = outbox::overlap(service.clock.now(), query.overlap_hours)
        .map_err(|reason| Problem::field("overlap_hours", reason))?;
    let secret = sign::new_secret();
    let actor = scope.app(&service).actor().to_owned();
    let detail = json!({ "former_until": webhook.former_until.map(instant) });
    let entry = service.entry(&actor, "webhook.rotate", format!("webhook/{}", webhook.id), &detail);
    let place = (&scope.org, webhook.id.as_str());
    service.store.replace_webhook_secret(place, &secret, webhook.former_until, &entry).await?;
    Ok(Json(WebhookDoc { secret: Some(secret.reveal().to_owned()), ..WebhookDoc::from(&webhook) }))
}

/// Send a test to a webhook
///
/// It is sent once, at once; the answer tells how it went.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/webhooks/{webhook}/test", tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook")),
    responses((status = 200, description = "The delivery with its attempt", body = DeliveryDetail)))]
pub async fn test(State(service): State<Service>, scope: Scope) -> Result<Json<DeliveryDetail>, Problem> {
    let webhook = find(&service, &scope).await?;
    let actor = scope.app(&service).actor().to_owned();
    let entry = service.entry(&actor, "webhook.test", format!("webhook/{}", webhook.id), &json!({}));
    let id = service.store.add_test_delivery(&scope.org, &webhook.id, &entry).await?;
    at_once(&service, &webhook, &id).await
}

/// Tries a delivery at once, and shows it.
async fn at_once(service: &Service, webhook: &Webhook, id: &str) -> Result<Json<DeliveryDetail>, Problem> {
    let gone = || Problem::none("delivery", id);
    let found = service.store.find_delivery(&webhook.org, &webhook.id, id).await?.ok_or_else(gone)?;
    let parts = (&*service.store, &service.options, &service.clock);
    // Where a worker took it first, it is being sent.
    outbox::deliver_this(parts, &found.delivery, service.queue_time().await?).await?;
    let found = service.store.find_delivery(&webhook.org, &webhook.id, id).await?.ok_or_else(gone)?;
    detail(service, found).await
}

async fn detail(service: &Service, found: Sending) -> Result<Json<DeliveryDetail>, Problem> {
    let attempts = service.store.list_attempts(&found.delivery.org, &found.delivery.id).await?;
    Ok(Json(DeliveryDetail {
        delivery: DeliveryDoc::from(&found.delivery),
        body: serde_json::from_str(&found.body).map_err(|_| Problem::internal())?,
        attempts: attempts.iter().map(AttemptDoc::from).collect(),
    }))
}

/// The deliveries of a webhook
///
/// They are kept for 30 days.
#[utoipa::path(get, path = "/api/v1/organizations/{org}/webhooks/{webhook}/deliveries", tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook"),
        DeliveryQuery),
    responses((status = 200, description = "Newest first", body = Page<DeliveryDoc>)))]
pub async fn deliveries(
    State(service): State<Service>,
    scope: Scope,
    Find(query): Find<DeliveryQuery>,
) -> Result<Json<Page<DeliveryDoc>>, Problem> {
    let limit = page::limit(query.limit)?;
    let after = page::decode(query.cursor.as_deref())?;
    let webhook = find(&service, &scope).await?;
    let state = match query.state.as_deref() {
        None => None,
        Some(word) => Some(
            [DeliveryState::Waiting, DeliveryState::Done, DeliveryState::Failed]
                .into_iter()
                .find(|state| state.name() == word)
                .ok_or_else(|| Problem::field("state", "it is none of waiting, done, failed"))?,
        ),
    };
    let before = after.as_ref().map(|(_, id)| id.as_str());
    let rows = service.store.list_deliveries(&scope.org, &webhook.id, state, before, limit + 1).await?;
    let mark = |row: &Delivery| (String::new(), row.id.clone());
    Ok(Json(Page::of(rows, limit, mark, |row| DeliveryDoc::from(&row))))
}

/// One delivery
#[utoipa::path(get, path = "/api/v1/organizations/{org}/webhooks/{webhook}/deliveries/{delivery}", tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook"),
        ("delivery" = String, Path, description = "The delivery")),
    responses((status = 200, description = "With what is sent and every attempt", body = DeliveryDetail)))]
pub async fn delivery(State(service): State<Service>, scope: Scope) -> Result<Json<DeliveryDetail>, Problem> {
    detail(&service, find_delivery(&service, &scope).await?).await
}

/// Send a delivery again
///
/// It is tried at once, and again over about a day where it does not arrive. The event keeps its id.
#[utoipa::path(post, path = "/api/v1/organizations/{org}/webhooks/{webhook}/deliveries/{delivery}/redeliver",
    tag = "webhooks",
    params(("org" = String, Path, description = "The organization"), ("webhook" = String, Path, description = "The webhook"),
        ("delivery" = String, Path, description = "The delivery")),
    responses((status = 200, description = "The delivery with its attempts", body = DeliveryDetail)))]
pub async fn redeliver(
    State(service): State<Service>,
    scope: Scope,
) -> Result<Json<DeliveryDetail>, Problem> {
    let found = find_delivery(&service, &scope).await?;
    let webhook = find(&service, &scope).await?;
    if webhook.disabled_at.is_some() {
        return Err(Problem::conflict("the webhook is switched off", "Switch it on first."));
    }
    let actor = scope.app(&service).actor().to_owned();
    let told = json!({ "delivery": found.delivery.id, "event": found.delivery.event });
    let entry = service.entry(&actor, "webhook.redeliver", format!("webhook/{}", webhook.id), &told);
    service.store.send_again(&found.delivery, &entry).await?;
    at_once(&service, &webhook, &found.delivery.id).await
}
