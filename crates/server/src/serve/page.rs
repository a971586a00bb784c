//! Lists are cut into pages; a cursor says where the next one begins. Cursors are opaque to callers.

use super::problem::Problem;
use super::secrets;
use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rows of a page where none are named.
const USUAL: u32 = 50;
/// Rows of a page at most.
pub const MOST: u32 = 200;

tokio::task_local! {
    /// Which list the request asks for.
    static LIST: String;
}

/// Carries a request out for which cursors are those of its own list: the same path, filters and order. How many rows
/// a page has may change on the way.
pub fn of_list<F: Future>(uri: &Uri, work: F) -> impl Future<Output = F::Output> + use<F> {
    let query = uri.query().unwrap_or_default();
    let mut asked: Vec<_> = url::form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name != "cursor" && name != "limit")
        .collect();
    asked.sort();
    let mark = secrets::hash(&format!("{} {asked:?}", uri.path()));
    LIST.scope(mark.chars().take(12).collect(), work)
}

fn list() -> String {
    LIST.try_with(Clone::clone).unwrap_or_default()
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; none on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Of `limit + 1` rows that were asked for: the one too many tells that there is a next page, which begins after
    /// the last row that is shown.
    pub fn of<R>(
        mut rows: Vec<R>,
        limit: u32,
        mark: impl Fn(&R) -> (String, String),
        show: impl Fn(R) -> T,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| more).map(|row| encode(&mark(row)));
        Self { items: rows.into_iter().map(show).collect(), next_cursor }
    }

    /// Of a list that is whole in memory, in its own order.
    ///
    /// # Errors
    /// The row that the page before ended with is no longer there: to begin anew without a word would show rows twice.
    pub fn cut<R>(
        rows: Vec<R>,
        limit: u32,
        after: Option<&(String, String)>,
        mark: impl Fn(&R) -> (String, String),
        show: impl Fn(R) -> T,
    ) -> Result<Self, Problem> {
        let start = match after {
            None => 0,
            Some(after) => rows.iter().position(|row| &mark(row) == after).ok_or_else(gone)? + 1,
        };
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        Ok(Self::of(rows.into_iter().skip(start).take(wanted).collect(), limit, mark, show))
    }
}

/// How many rows are wanted.
///
/// # Errors
/// None, or more than [`MOST`].
pub fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked {
        None => Ok(USUAL),
        Some(count) if (1..=MOST).contains(&count) => Ok(count),
        Some(count) => Err(Problem::field("limit", format!("{count} is not between 1 and {MOST}"))),
    }
}

#[derive(Serialize, Deserialize)]
struct Mark(String, String, String);

fn encode((value, id): &(String, String)) -> String {
    let json = serde_json::to_vec(&Mark(value.clone(), id.clone(), list())).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

/// What a cursor means.
///
/// # Errors
/// It is none of ours, or that of another list or another search.
pub fn decode(cursor: Option<&str>) -> Result<Option<(String, String)>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| foreign())?;
    let Mark(value, id, of) = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
    if of == list() { Ok(Some((value, id))) } else { Err(foreign()) }
}

/// What a cursor of something else is answered.
pub fn foreign() -> Problem {
    Problem::field("cursor", "it was not given by this list, or not by this search of it")
}

/// What a cursor is answered whose row is gone.
fn gone() -> Problem {
    Problem::field("cursor", "the row that it goes on after is gone; begin again with the first page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_list_in_memory_follow_each_other() {
        let rows: Vec<u32> = (0..7).collect();
        let mark = |row: &u32| (String::new(), row.to_string());
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let after = decode(cursor.as_deref()).unwrap();
            let page: Page<u32> = Page::cut(rows.clone(), 3, after.as_ref(), mark, |row| row).unwrap();
            seen.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, rows);
        let last = (String::new(), "7".to_owned());
        assert!(Page::<u32>::cut(rows, 3, Some(&last), mark, |row| row).is_err(), "its row is gone");
        assert!(decode(Some("%%%")).is_err());
        assert!(limit(Some(0)).is_err());
        assert!(limit(Some(MOST + 1)).is_err());
    }
}
