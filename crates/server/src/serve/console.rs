//! The console's files: they are the same for everybody and hold nobody's data, so nobody has to be known.
//!
//! A release build carries them within itself, a development build reads `web/dist`. Whatever path the console shows is
//! answered with its one page; paths of the API never are.

use super::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::fmt::Write;

/// What `npm run build` made.
#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Files;

/// The one page.
const PAGE: &str = "index.html";
/// Files under this folder have a hash in their name: what is at such a name never changes.
const HASHED: &str = "assets/";
/// Paths that are not the console's to answer.
const RESERVED: [&str; 4] = ["api", "docs", "health", "metrics"];
/// Only our own files, and no script within the page. Styles are set by the components at run time.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";
/// Shown where the console was not built.
const NOT_BUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>trueup: no console in this build</title>\
<body style=\"font: 16px/1.5 system-ui; max-width: 40rem; margin: 15vh auto; padding: 0 1rem\">\
<h1>This build has no console</h1>\
<p>The program was built before the console's files were there. The API works all the same.</p>\
<p>To build them, run <code>cargo xtask console</code> in the project's folder, which needs Node 20.19 or newer, or Python to \
fetch one; then build and start trueup again.</p><p><a href=\"/docs/\">The API's reference</a></p>";

/// Where files come from: the binary, or a test.
type Find = fn(&str) -> Option<EmbeddedFile>;

/// Whether this build has the console.
pub fn is_built() -> bool {
    <Files as RustEmbed>::get(PAGE).is_some()
}

/// Answers what no other route does.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    respond(&method, uri.path(), &headers, <Files as RustEmbed>::get)
}

fn respond(method: &Method, path: &str, headers: &HeaderMap, find: Find) -> Response {
    let path = path.trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if !reads || RESERVED.contains(&first) || path.split('/').any(|part| part.starts_with('.')) {
        return Problem::nothing_here().into_response();
    }
    let is_file = !path.is_empty() && path != PAGE;
    if is_file && let Some(file) = find(path) {
        return answer(path, file, headers, find);
    }
    if !wants_page(path, headers) {
        return Problem::nothing_here().into_response();
    }
    match find(PAGE) {
        Some(file) => answer(PAGE, file, headers, find),
        None => not_built(),
    }
}

/// A browser asks for a page by its type; a name with an extension is a file that is not there.
fn wants_page(path: &str, headers: &HeaderMap) -> bool {
    let last = path.rsplit('/').next().unwrap_or_default();
    path.is_empty() || (takes_pages(headers) && !path.starts_with(HASHED) && !last.contains('.'))
}

/// Whether it is a browser that goes to an address, and no program.
pub fn takes_pages(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepts.contains("text/html")
}

fn answer(path: &str, file: EmbeddedFile, headers: &HeaderMap, find: Find) -> Response {
    let tag = tag_of(&file.metadata.sha256_hash());
    let is_known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let (body, encoding) = packed(path, headers, find).unwrap_or((file, None));
        let mut response = Body::from(body.data.into_owned()).into_response();
        if let Some(encoding) = encoding {
            response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
        response
    };
    // A hashed name is kept for good; the page that names them is asked for each time.
    let keep =
        if path.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "public, no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// The build leaves packed twins beside the files that gain by it.
fn packed(path: &str, headers: &HeaderMap, find: Find) -> Option<(EmbeddedFile, Option<&'static str>)> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |name: &str| {
        accepted.split(',').any(|part| {
            let (word, weight) = part.split_once(';').unwrap_or((part, ""));
            word.trim() == name && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
        })
    };
    [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(name, _)| takes(name))
        .find_map(|(name, ending)| Some((find(&format!("{path}.{ending}"))?, Some(name))))
}

fn tag_of(hash: &[u8; 32]) -> String {
    let mut tag = String::from("\"");
    for byte in hash.iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

fn media_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream", // open set: endings of names
    }
}

fn not_built() -> Response {
    let kind = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ];
    (StatusCode::SERVICE_UNAVAILABLE, kind, NOT_BUILT).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rust_embed::Metadata;

    fn built(path: &str) -> Option<EmbeddedFile> {
        let data: &'static [u8] = match path {
            "index.html" => b"<html>",
            "assets/app-1a2b.js" => b"code",
            "assets/app-1a2b.js.br" => b"packed",
            _ => return None,
        };
        let mut hash = [0; 32];
        hash[0] = u8::try_from(data.len()).unwrap();
        Some(EmbeddedFile { data: data.into(), metadata: Metadata::__rust_embed_new(hash, None, None) })
    }

    fn ask(path: &str, headers: &[(header::HeaderName, &'static str)], find: Find) -> Response {
        let headers = headers.iter().map(|(n, v)| (n.clone(), HeaderValue::from_static(v))).collect();
        respond(&Method::GET, path, &headers, find)
    }

    const HTML: (header::HeaderName, &str) = (header::ACCEPT, "text/html,*/*");

    #[test]
    fn pages_of_the_console_are_its_one_page() {
        for path in ["/", "/tasks", "/o/default/tasks/1"] {
            let page = ask(path, &[HTML], built);
            assert_eq!(page.status(), 200, "{path}");
            assert_eq!(page.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
            assert_eq!(page.headers()[header::CACHE_CONTROL], "public, no-cache");
            assert!(
                page.headers()[header::CONTENT_SECURITY_POLICY]
                    .to_str()
                    .unwrap()
                    .contains("script-src 'self';")
            );
        }
    }

    #[test]
    fn the_api_is_never_answered_with_the_page() {
        for path in
            ["/api", "/api/v1/x", "/docs/x", "/health/x", "/metrics", "/metrics/x", "/.gitkeep", "/a/../.git"]
        {
            assert_eq!(ask(path, &[HTML], built).status(), 404, "{path}");
        }
        assert_eq!(ask("/tasks", &[], built).status(), 404, "a program asked");
        assert_eq!(ask("/assets/gone.js", &[HTML], built).status(), 404);
        assert_eq!(ask("/favicon.ico", &[HTML], built).status(), 404);
        let headers = [(header::ACCEPT, HeaderValue::from_static("text/html"))].into_iter().collect();
        assert_eq!(respond(&Method::POST, "/tasks", &headers, built).status(), 404);
    }

    #[test]
    fn a_hashed_file_is_kept_and_comes_packed() {
        let path = "/assets/app-1a2b.js";
        let plain = ask(path, &[], built);
        assert_eq!(plain.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        let packed = ask(path, &[(header::ACCEPT_ENCODING, "gzip, br;q=0.5")], built);
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "br");
        assert_eq!(packed.headers()[header::ETAG], plain.headers()[header::ETAG]);
        let refused = ask(path, &[(header::ACCEPT_ENCODING, "gzip, br;q=0")], built);
        assert!(!refused.headers().contains_key(header::CONTENT_ENCODING));
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        let first = ask("/", &[HTML], built);
        assert_eq!(first.headers()[header::ETAG], "\"06000000000000000000000000000000\"");
        let again =
            ask("/", &[(header::IF_NONE_MATCH, "\"x\", W/\"06000000000000000000000000000000\"")], built);
        assert_eq!(again.status(), 304);
        assert!(again.headers().contains_key(header::CACHE_CONTROL));
    }

    #[test]
    fn a_build_without_the_console_says_so() {
        let page = ask("/", &[HTML], |_| None);
        assert_eq!(page.status(), 503);
        assert!(NOT_BUILT.contains("cargo xtask console") && NOT_BUILT.contains("or Python"));
        assert_eq!(ask("/api/v1/x", &[HTML], |_| None).status(), 404);
    }
}
