//! The source's own text without its secrets.
//!
//! CloudBlue delivers parameters of type `password` in clear, one-time codes inside activation links, and signing secrets.
//! None of them may ever reach the store, so the text that is kept is written anew without them.

use crate::json::{Kind, Value};
use serde_json::value::RawValue;
use trueup_domain::feed::Ext;

/// Fields that hold secrets wherever they stand.
const SECRET_FIELDS: [&str; 6] =
    ["jwt_secret", "activation_key", "password", "sastoken", "api_key", "access_token"];

/// The source text of an object as the only unknown field of its record, without secrets.
pub(crate) fn source_of(value: Value<'_>) -> Ext {
    let mut ext = Ext::default();
    if let Some(raw) = without_secrets(value) {
        ext.0.insert("source".to_owned(), raw);
    }
    ext
}

/// The JSON text of a value, without secrets and without white space between values.
fn without_secrets(value: Value<'_>) -> Option<Box<RawValue>> {
    let mut text = String::with_capacity(value.raw().len());
    write(value, &mut text);
    RawValue::from_string(text).ok()
}

fn write(value: Value<'_>, out: &mut String) {
    match value.kind() {
        Kind::Array => {
            out.push('[');
            for (index, item) in value.children().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Kind::Object => {
            let secret_value = is_secret_parameter(value);
            out.push('{');
            let mut first = true;
            for field in value.children() {
                let key = field.key();
                let hidden =
                    secret_value && matches!(&*key, "value" | "structured_value" | "parameter_value");
                if hidden || SECRET_FIELDS.contains(&&*key.to_ascii_lowercase()) || holds_code(field) {
                    continue;
                }
                if !first {
                    out.push(',');
                }
                first = false;
                // Text always can be written as JSON.
                out.push_str(&serde_json::to_string(&key).unwrap_or_default());
                out.push(':');
                write(field, out);
            }
            out.push('}');
        }
        Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::Text => out.push_str(value.raw()),
    }
}

/// Whether an object is a parameter whose value is a password, by its type or its name.
fn is_secret_parameter(value: Value<'_>) -> bool {
    ["type", "id", "name", "parameter_name"].iter().any(|field| {
        value
            .get(field)
            .and_then(Value::as_text)
            .is_some_and(|text| text.to_ascii_lowercase().contains("password"))
    })
}

/// Whether a text carries a link with a one-time code.
fn holds_code(value: Value<'_>) -> bool {
    value
        .as_text()
        .is_some_and(|text| text.contains("&code=") || text.contains("?code=") || text.contains("&amp;code="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Room;

    #[test]
    fn passwords_and_codes_are_gone_and_the_rest_is_as_it_came() {
        let mut room = Room::default();
        let text = r#"{"n": 1.500, "params": [{"id":"p","type":"password","value":"s3cret","structured_value":{"a":"s3cret"}},
            {"id":"admin_Password","type":"text","value":"s3cret"},{"id":"t","type":"text","value":"kept"}],
            "template":{"id":"TL","message":"see https://x/?request_id=1&amp;code=s3cret"},"jwt_secret":"s3cret"}"#;
        let kept = without_secrets(room.parse(text).unwrap()).unwrap();
        assert!(!kept.get().contains("s3cret"));
        assert_eq!(
            kept.get(),
            r#"{"n":1.500,"params":[{"id":"p","type":"password"},{"id":"admin_Password","type":"text"},{"id":"t","type":"text","value":"kept"}],"template":{"id":"TL"}}"#
        );
    }
}
