//! Answers of an API that were saved as files: read whole, since they come in pages.

use crate::fields::{self, Fault, REFUSED};
use crate::input;
use crate::json::{Kind, Value};
use std::io::Read;
use std::path::{Path, PathBuf};
use trueup_domain::feed::{Customer, Ext, Product};
use trueup_domain::ids::CustomerId;
use trueup_engine::ports::Refusal;

/// The largest answer that is read: lists come in pages.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The text of a saved answer, without its byte order mark.
pub(crate) fn text_of(path: &Path) -> Result<String, Refusal> {
    let file = input::shown_name(path);
    let refused = |reason: &str| crate::refusal(&file, 0, REFUSED, reason.to_owned());
    let mut bytes = Vec::new();
    input::open(path)
        .and_then(|input| input.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| input::not_opened(&file, &error))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refused("the file is larger than 64 MiB; save the list page by page"));
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        }),
        Ok(_) | Err(_) => Err(refused("the file is not UTF-8 text without NUL; save the answer again")),
    }
}

/// What files of one list have in common: `users.domain1` of `users.domain1.json`, `users.domain1.headers` and
/// `users.domain1.p2.json`.
pub(crate) fn stem(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".headers").or_else(|| name.strip_suffix(".json")).unwrap_or(&name);
    let is_page = |part: &str| {
        part.strip_prefix('p').is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match stem.rsplit_once('.') {
        Some((list, page)) if is_page(page) => list.to_owned(),
        Some(_) | None => stem.to_owned(),
    }
}

/// An id that an API writes as a whole number, or as text.
pub(crate) fn id(value: Value<'_>) -> Result<String, Fault> {
    let raw = value.raw();
    if value.kind() == Kind::Number && raw.len() <= 20 && raw.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(raw.to_owned());
    }
    fields::id(value)
}

/// What files say together: they are read into `world` when the first of its results is asked for.
pub(crate) fn together<W: Send, T: Send>(
    files: Vec<PathBuf>,
    mut world: W,
    read: impl Fn(&mut W, &Path) + Send,
    results: impl FnOnce(W) -> Vec<T> + Send,
) -> impl Iterator<Item = T> + Send {
    std::iter::once_with(move || {
        for path in &files {
            read(&mut world, path);
        }
        results(world)
    })
    .flatten()
}

/// A customer of whom an API tells no more than this.
pub(crate) fn customer(id: String, name: String, parent: Option<String>) -> Customer {
    Customer {
        id: CustomerId::from(id),
        name,
        organization: None,
        parent: parent.map(CustomerId::from),
        code: None,
        domain: None,
        email: None,
        phone: None,
        fax: None,
        website: None,
        tax_id: None,
        currency: None,
        account_type: None,
        status: None,
        address: None,
        contact: None,
        ext: Ext::default(),
    }
}

/// A service that is only counted.
pub(crate) fn service(id: &str, name: &str, unit: &str) -> Product {
    Product {
        id: id.into(),
        name: name.to_owned(),
        sku: None,
        description: None,
        unit: Some(unit.to_owned()),
        kind: None,
        vendor: None,
        unit_price: None,
        unit_cost: None,
        currency: None,
        billing_cycle: None,
        unit_type: None,
        product_type: None,
        taxable: None,
        active: None,
        ext: Ext::default(),
    }
}
