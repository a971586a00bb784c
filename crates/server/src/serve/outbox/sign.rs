//! Signing what webhooks get, in the way of Standard Webhooks: an HMAC over id, time and body, under a secret that only
//! the receiver and this service know.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;
use trueup_engine::records::SecretText;

const PREFIX: &str = "whsec_";
const BYTES: usize = 32;

/// A new secret.
pub fn new_secret() -> SecretText {
    let mut bytes = [0_u8; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    SecretText::new(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// The value of the header `webhook-signature`: one signature for each secret, a blank between them; none where a secret is
/// none.
pub fn signatures(secrets: &[SecretText], id: &str, seconds: i64, body: &str) -> Option<String> {
    let all: Option<Vec<String>> =
        secrets.iter().map(|secret| signature(secret, id, seconds, body)).collect();
    all.filter(|all| !all.is_empty()).map(|all| all.join(" "))
}

fn signature(secret: &SecretText, id: &str, seconds: i64, body: &str) -> Option<String> {
    let key = STANDARD.decode(secret.reveal().strip_prefix(PREFIX)?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{seconds}.").as_bytes());
    mac.update(body.as_bytes());
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_is_signed_alike() {
        let secret = SecretText::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let signed =
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn secrets_are_long_and_sign() {
        let (a, b) = (new_secret(), new_secret());
        assert_ne!(a.reveal(), b.reveal());
        assert!(signature(&a, "m", 1, "{}").is_some());
        assert_ne!(signature(&a, "m", 1, "{}"), signature(&b, "m", 1, "{}"));
        assert_eq!(signature(&SecretText::new("plain".to_owned()), "m", 1, "{}"), None);
        let both = signatures(&[a.clone(), b.clone()], "m", 1, "{}").unwrap();
        let each = [signature(&a, "m", 1, "{}").unwrap(), signature(&b, "m", 1, "{}").unwrap()];
        assert_eq!(both.split(' ').collect::<Vec<_>>(), each);
        assert_eq!(signatures(&[], "m", 1, "{}"), None);
    }
}
