//! Keeps secrets and endless texts out of errors, logs and recordings.

use std::borrow::Cow;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// The longest piece of another side's text that is kept, in characters.
pub const MAX_ERROR_TEXT: usize = 2_000;

const MASK: &str = "[redacted]";

/// Secrets shorter than this are not searched for: masking them would tear ordinary words apart.
const MIN_SECRET: usize = 6;

/// Masks known secrets wherever another side echoes them.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<SecretString>,
}

impl Redactor {
    /// A redactor that knows these secrets, each also in its percent-encoded and hexadecimal form.
    #[must_use]
    pub fn new(secrets: impl IntoIterator<Item = SecretString>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            let text = secret.expose_secret();
            if text.len() < MIN_SECRET {
                continue;
            }
            let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
            let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
            let mut all = vec![text.to_owned(), encoded, hex];
            all.dedup();
            forms.extend(all.into_iter().map(SecretString::from));
        }
        // The longest first, so that a form that contains another one goes as a whole.
        forms.sort_by_key(|s| std::cmp::Reverse(s.expose_secret().len()));
        Self { secrets: forms }
    }

    /// The text with every known secret masked.
    #[must_use]
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        for secret in &self.secrets {
            if out.contains(secret.expose_secret()) {
                out = Cow::Owned(out.replace(secret.expose_secret(), MASK));
            }
        }
        out
    }

    /// The text masked and cut to [`MAX_ERROR_TEXT`] characters.
    #[must_use]
    pub fn clean(&self, text: &str) -> String {
        cut(&self.mask(text))
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor").field("forms", &self.secrets.len()).finish()
    }
}

/// Cuts a text to [`MAX_ERROR_TEXT`] characters, on a character boundary.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_ERROR_TEXT) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text.to_owned(),
    }
}

/// A URL without user, password, query and fragment: those may carry keys.
pub(crate) fn shown_url(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_query(None);
    shown.set_fragment(None);
    // Both fail only for URLs that cannot have a user; then there is none to hide.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_every_form_and_cuts_on_a_character() {
        let r = Redactor::new([SecretString::from("s3cr&t/key".to_owned())]);
        let text = "a s3cr&t/key b s3cr%26t%2Fkey c 73336372267 4 7333637226742f6b6579";
        let out = r.clean(text);
        assert!(!out.contains("s3cr"), "{out}");
        assert!(!out.contains("7333637226742f6b6579"), "{out}");
        assert_eq!(cut(&"ä".repeat(3_000)).chars().count(), MAX_ERROR_TEXT);
        assert!(!format!("{r:?}").contains("s3cr"));
    }

    #[test]
    fn shown_urls_carry_no_user_and_no_query() {
        let url = Url::parse("https://u:p@example.com/a?token=1#x").unwrap();
        assert_eq!(shown_url(&url), "https://example.com/a");
    }
}
