//! Reads answers off the connection and names what went wrong on it.

use bytes::{Bytes, BytesMut};

use crate::hosts::HostError;

/// Why a body could not be read.
pub(crate) enum BodyError {
    /// Longer than the limit.
    TooLong,
    /// The connection or the encoding broke.
    Broken(String),
}

/// Reads a body whole, up to a limit that decompression cannot get around.
pub(crate) async fn read_body(mut response: reqwest::Response, limit: usize) -> Result<Bytes, BodyError> {
    let hint = response.content_length().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    if hint > limit {
        return Err(BodyError::TooLong);
    }
    let mut body = BytesMut::with_capacity(hint);
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(BodyError::TooLong),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(BodyError::Broken(chain(&error.without_url()))),
        }
    }
}

/// The host rule inside a connection error, where one stopped it.
pub(crate) fn host_error(error: &reqwest::Error) -> Option<HostError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(host) = current.downcast_ref::<HostError>() {
            return Some(host.clone());
        }
        cause = current.source();
    }
    None
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let part = current.to_string();
        if !text.contains(&part) {
            text.push_str(": ");
            text.push_str(&part);
        }
        cause = current.source();
    }
    text
}
