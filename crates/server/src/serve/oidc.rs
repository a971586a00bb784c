//! Signing in by another service (OpenID Connect): the code flow with PKCE, nonce and state.
//!
//! What belongs to one sign-in under way lies in a cookie of the browser that began it, signed, so that any process of the
//! API can end it. The other service is called through the one sender, under the same rules for addresses as everything.

use super::state::Service;
use crate::compose;
use crate::config::Options;
use crate::deployment::OidcOptions;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthenticationFlow, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    IdTokenFields, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    StandardErrorResponse, StandardTokenResponse, TokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use trueup_engine::ports::Clock;
use trueup_engine::records::Millis;
use trueup_transport::{Call, HostRules, Outcome, Safety, Sender, SenderConfig};
use url::Url;

/// A sign-in has to be ended within this time.
pub const UNDER_WAY_MS: Millis = 10 * 60 * 1_000;
/// What the other service says about itself is asked anew after so long.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);
/// It has to answer within this time.
const ANSWER: Duration = Duration::from_secs(10);
/// Longer answers are none.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Every claim of a token beside the usual ones.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Claims {}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type OwnClient = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What is known of the other service.
#[derive(Default)]
pub struct Provider(Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>);

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The other service is out of reach, or does not say what it has to.
    #[error("the service for sign-in does not answer as it should: {0}")]
    Provider(String),
    /// What came back does not belong to the sign-in that this browser began.
    #[error("what came back does not belong to a sign-in of this browser: {0}")]
    Foreign(&'static str),
    /// The token is not one of the other service for this one.
    #[error("the token cannot be believed: {0}")]
    Token(String),
    /// The other service does not say that the address is the person's.
    #[error("the service for sign-in does not vouch for an address")]
    NoAddress,
}

/// Who the other service says it is.
#[derive(Clone, Debug)]
pub struct Known {
    /// The address, which it vouches for.
    pub email: String,
    /// The name.
    pub name: Option<String>,
    /// The groups.
    pub groups: Vec<String>,
}

/// A sign-in under way, as the browser's cookie holds it.
#[derive(Debug, Serialize, Deserialize)]
pub struct UnderWay {
    state: String,
    nonce: String,
    verifier: String,
    at: Millis,
    /// Where the browser goes afterwards.
    pub back: String,
}

/// Where the other service sends the browser back to.
pub fn redirect_url(service: &Service) -> Option<String> {
    let base = service.public_url.as_ref()?;
    Some(format!("{}/api/v1/session/oidc/callback", base.as_str().trim_end_matches('/')))
}

fn rules(options: &Options, issuer: &str) -> HostRules {
    let loopback = compose::is_loopback(issuer) && options.lets_loopback(issuer);
    options
        .allowed_private_hosts
        .iter()
        .fold(HostRules::any_public(), |rules, host| rules.allow_private_host(host))
        .allow_loopback(loopback)
}

fn sender(options: &Options, oidc: &OidcOptions) -> Result<Sender, OidcError> {
    Sender::new(SenderConfig {
        rules: rules(options, &oidc.issuer),
        attempt_timeout: ANSWER,
        deadline: ANSWER,
        max_body_bytes: LONGEST_ANSWER,
        max_retries: 1,
        max_throttle_retries: 0,
        in_totals: false,
        ..SenderConfig::default()
    })
    .map_err(|error| OidcError::Provider(error.to_string()))
}

/// One exchange with the other service.
async fn exchange(sender: Sender, request: HttpRequest) -> Result<HttpResponse, OidcError> {
    let failed = |words: String| OidcError::Provider(words);
    let (parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|error| failed(error.to_string()))?;
    let mut call = Call::new(parts.method, url).safety(Safety::Once);
    for (name, value) in &parts.headers {
        let text = value.to_str().map_err(|error| failed(error.to_string()))?;
        // Any of them may carry the secret.
        call = call.secret_header(name.clone(), &text.to_owned().into());
    }
    if !body.is_empty() {
        call = call.body("application/x-www-form-urlencoded", body);
    }
    let outcome = sender.send(call).await;
    let Some(reply) = outcome.reply() else {
        return Err(failed(match outcome {
            Outcome::Done(_) => "nothing came back".to_owned(),
            Outcome::Refused(refusal) => refusal.to_string(),
            Outcome::InDoubt(doubt) => doubt.to_string(),
        }));
    };
    let mut response = HttpResponse::new(reply.body().to_vec());
    *response.status_mut() = reply.status();
    if let Some(kind) = reply.header("content-type").and_then(|text| text.parse().ok()) {
        response.headers_mut().insert(axum::http::header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

fn provider_error(error: &dyn std::error::Error) -> OidcError {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words = format!("{words}: {inner}");
        cause = inner.source();
    }
    OidcError::Provider(words.chars().take(500).collect())
}

async fn metadata(
    service: &Service,
    oidc: &OidcOptions,
    anew: bool,
) -> Result<Arc<CoreProviderMetadata>, OidcError> {
    let mut known = service.provider.0.lock().await;
    if let Some((at, metadata)) = known.as_ref().filter(|(at, _)| !anew && at.elapsed() < KNOWN_FOR) {
        let _ = at;
        return Ok(metadata.clone());
    }
    let issuer = IssuerUrl::new(oidc.issuer.clone()).map_err(|error| provider_error(&error))?;
    let sender = sender(&service.options, oidc)?;
    let http = |request: HttpRequest| exchange(sender.clone(), request);
    let found =
        CoreProviderMetadata::discover_async(issuer, &http).await.map_err(|error| provider_error(&error))?;
    let found = Arc::new(found);
    *known = Some((Instant::now(), found.clone()));
    Ok(found)
}

fn client(
    oidc: &OidcOptions,
    redirect: String,
    metadata: &CoreProviderMetadata,
) -> Result<OwnClient, OidcError> {
    let secret = oidc.client_secret.as_ref().map(|secret| ClientSecret::new(secret.reveal().to_owned()));
    let client =
        Client::from_provider_metadata(metadata.clone(), ClientId::new(oidc.client_id.clone()), secret);
    let redirect = RedirectUrl::new(redirect).map_err(|error| provider_error(&error))?;
    Ok(client.set_redirect_uri(redirect))
}

/// Begins a sign-in: where the browser goes, and what its cookie holds meanwhile.
///
/// # Errors
/// The other service is out of reach.
pub async fn begin(
    service: &Service,
    oidc: &OidcOptions,
    redirect: String,
    back: String,
) -> Result<(Url, String), OidcError> {
    let metadata = metadata(service, oidc, false).await?;
    let client = client(oidc, redirect, &metadata)?;
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("email".to_owned()))
        .add_scope(Scope::new("profile".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let under_way = UnderWay {
        state: state.secret().clone(),
        nonce: nonce.secret().clone(),
        verifier: verifier.secret().clone(),
        at: service.clock.now(),
        back,
    };
    let cookie = sealed(oidc, &under_way)?;
    Ok((url, cookie))
}

fn mac_of(oidc: &OidcOptions, text: &str) -> Result<Vec<u8>, OidcError> {
    // Every process of the API has this secret, and nobody else but the other service.
    let secret = oidc.client_secret.as_ref().map_or("", |secret| secret.reveal());
    let key = format!("trueup sign-in {} {secret}", oidc.client_id);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| OidcError::Foreign("its cookie cannot be signed"))?;
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes().to_vec())
}

fn sealed(oidc: &OidcOptions, under_way: &UnderWay) -> Result<String, OidcError> {
    let json = serde_json::to_vec(under_way).map_err(|_| OidcError::Foreign("it cannot be kept"))?;
    let text = URL_SAFE_NO_PAD.encode(json);
    let mac = URL_SAFE_NO_PAD.encode(mac_of(oidc, &text)?);
    Ok(format!("{text}.{mac}"))
}

/// What a cookie holds, where it is one of ours and not too old.
///
/// # Errors
/// It is neither.
pub fn opened(oidc: &OidcOptions, cookie: Option<&str>, now: Millis) -> Result<UnderWay, OidcError> {
    let foreign = OidcError::Foreign;
    let (text, mac) = cookie.and_then(|c| c.split_once('.')).ok_or(foreign("none was begun here"))?;
    let wanted = URL_SAFE_NO_PAD.encode(mac_of(oidc, text)?);
    if !super::secrets::equal(&wanted, mac) {
        return Err(foreign("its cookie was changed"));
    }
    let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| foreign("its cookie is damaged"))?;
    let under_way: UnderWay = serde_json::from_slice(&json).map_err(|_| foreign("its cookie is damaged"))?;
    if !(0..=UNDER_WAY_MS).contains(&now.saturating_sub(under_way.at)) {
        return Err(foreign("it took too long"));
    }
    Ok(under_way)
}

/// Ends a sign-in: who it is.
///
/// # Errors
/// The state is not that of this browser, the code is not taken, the token is not believed, or there is no address.
pub async fn end(
    service: &Service,
    oidc: &OidcOptions,
    redirect: String,
    under_way: &UnderWay,
    (code, state): (&str, &str),
) -> Result<Known, OidcError> {
    if !super::secrets::equal(state, &under_way.state) {
        return Err(OidcError::Foreign("its state is another one"));
    }
    let metadata_known = metadata(service, oidc, false).await?;
    let own = client(oidc, redirect.clone(), &metadata_known)?;
    let sender = sender(&service.options, oidc)?;
    let http = |request: HttpRequest| exchange(sender.clone(), request);
    let answer = own
        .exchange_code(AuthorizationCode::new(code.to_owned()))
        .map_err(|error| provider_error(&error))?
        .set_pkce_verifier(PkceCodeVerifier::new(under_way.verifier.clone()))
        .request_async(&http)
        .await
        .map_err(|error| provider_error(&error))?;
    let token = answer.id_token().ok_or_else(|| OidcError::Token("there is none".to_owned()))?;
    let nonce = Nonce::new(under_way.nonce.clone());
    let algorithms = || {
        use CoreJwsSigningAlgorithm as A;
        // Asymmetric ones alone: a key that both sides know proves less.
        [
            A::RsaSsaPkcs1V15Sha256,
            A::RsaSsaPkcs1V15Sha384,
            A::RsaSsaPkcs1V15Sha512,
            A::RsaSsaPssSha256,
            A::RsaSsaPssSha384,
            A::RsaSsaPssSha512,
            A::EcdsaP256Sha256,
            A::EcdsaP384Sha384,
            A::EdDsa,
        ]
    };
    let read = |client: &OwnClient| {
        let verifier = client.id_token_verifier().set_allowed_algs(algorithms());
        token.claims(&verifier, &nonce).cloned().map_err(|error| OidcError::Token(error.to_string()))
    };
    let claims = match read(&own) {
        Ok(claims) => claims,
        // Its keys may be newer than what is known of it.
        Err(_) => {
            let anew = metadata(service, oidc, true).await?;
            read(&client(oidc, redirect, &anew)?)?
        }
    };
    let email = claims
        .email()
        .filter(|_| claims.email_verified() == Some(true))
        .map(|email| email.as_str().trim().to_lowercase())
        .filter(|email| super::people::address(email).is_ok())
        .ok_or(OidcError::NoAddress)?;
    let name = claims
        .name()
        .and_then(|name| name.get(None))
        .map(|name| name.as_str().chars().filter(|c| !c.is_control()).take(200).collect::<String>());
    let groups = match claims.additional_claims().all.get(&oidc.groups_claim) {
        Some(Value::Array(all)) => all.iter().filter_map(|g| g.as_str().map(str::to_owned)).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        Some(_) | None => Vec::new(),
    };
    Ok(Known { email, name: name.filter(|n| !n.trim().is_empty()), groups })
}
