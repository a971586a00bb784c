//! The `Link` header, letter by letter as the vendor's server writes it.
//!
//! Clients take it apart with regular expressions: the page number must come last in the address, commas inside the
//! address must be escaped, and hexadecimal digits are lower case.

use std::fmt::Write as _;

use crate::api::Call;
use crate::list::{Place, Query};

/// The header of a list answer; none when there is a single numbered page.
pub(crate) fn header(scheme: &str, call: &Call, query: &Query, place: Place) -> Option<String> {
    let base = format!("{scheme}://{}{}/", call.host, call.path.trim_end_matches('/'));
    match place {
        Place::Numbered(_, 1) => None,
        Place::Numbered(page, last) => {
            let address = |page: usize| format!("<{base}?{}page={page}>", rest(query));
            let mut parts = Vec::new();
            if page < last {
                parts.push(format!("{}; rel=\"next\"", address(page + 1)));
            }
            if page > 1 {
                parts.push(format!("{}; rel=\"prev\"", address((page - 1).min(last))));
            }
            parts.push(format!("{}; rel=\"first\"", address(1)));
            parts.push(format!("{}; rel=\"last\"", address(last)));
            Some(parts.join(", "))
        }
        // Always there in forward-only answers: a missing header means "not supported", an empty one "the end".
        Place::After(None) => Some(String::new()),
        Place::After(Some(id)) => Some(format!("<{base}?{}pageId={id}>; rel=\"next\"", rest(query))),
    }
}

/// The query without its page, ready for another parameter.
fn rest(query: &Query) -> String {
    let mut out = String::new();
    for (name, value) in &query.0 {
        if name.eq_ignore_ascii_case("page") || name.eq_ignore_ascii_case("pageId") {
            continue;
        }
        escape(name, &mut out);
        out.push('=');
        escape(value, &mut out);
        out.push('&');
    }
    out
}

/// .NET's form encoding.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'*' | b'(' | b')' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02x}");
            }
        }
    }
}
