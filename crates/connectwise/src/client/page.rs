//! Lists: read whole, or an error.
//!
//! Whole lists are asked for forward-only (`id` greater than the last one seen), which records that come and go meanwhile
//! cannot shift; a single page of somebody who looks around is a navigable one. Of the `Link` header only its presence counts; no address in an answer is ever called.

use std::sync::atomic::{AtomicU8, Ordering};

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use trueup_transport::Reply;

use super::cond::{Cond, encode};
use super::error::{ClientError, Kind};
use super::session::{ConnectWiseClient, Request, decode};
use super::wire::{Record, names};

/// The vendor asks to keep the whole URL within this.
const MAX_URL: usize = 2_000;

/// Room for scheme, host, code base and paging parameters.
const URL_RESERVE: usize = 255;

/// Nobody has a million pages; a server that never ends must not hold us for ever.
const MAX_PAGES: usize = 10_000;

/// The most records of a page that the vendor gives.
const LARGEST_PAGE: u32 = 1_000;

/// What the server gives when it does not heed the page size.
const DEFAULT_PAGE: usize = 25;

/// One page of a list in an order of one's own, and whether another one follows. While records come and go, pages shift:
/// a list that has to be whole is read by [`ConnectWiseClient::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The records, in the order that was asked for.
    pub records: Vec<T>,
    /// Whether ConnectWise says that there is a next page.
    pub has_next: bool,
}

/// What to ask a list for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    cond: Option<Cond>,
    fields: Option<&'static str>,
    child: Option<Cond>,
    custom: Option<Cond>,
}

impl Query {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Records that meet a condition.
    #[must_use]
    pub fn filter(cond: Cond) -> Self {
        Self { cond: Some(cond), ..Self::default() }
    }

    /// Only these fields, by comma; `id` must be among them.
    #[must_use]
    pub fn fields(mut self, fields: &'static str) -> Self {
        self.fields = Some(fields);
        self
    }

    /// Records with a child that meets a condition.
    #[must_use]
    pub fn child(mut self, cond: Cond) -> Self {
        self.child = Some(cond);
        self
    }

    /// Records with a custom field that meets a condition.
    #[must_use]
    pub fn custom(mut self, cond: Cond) -> Self {
        self.custom = Some(cond);
        self
    }

    /// The condition with another one added.
    #[must_use]
    pub fn and(mut self, cond: Cond) -> Self {
        self.cond = Some(match self.cond {
            Some(old) => old.and(cond),
            None => cond,
        });
        self
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                parts.push(format!("{name}={}", encode(&value)));
            }
        };
        put("conditions", self.cond.as_ref().map(Cond::to_string));
        put(names::CHILD_CONDITIONS, self.child.as_ref().map(Cond::to_string));
        put(names::CUSTOM_FIELD_CONDITIONS, self.custom.as_ref().map(Cond::to_string));
        put("fields", self.fields.map(str::to_owned));
        parts.join("&")
    }
}

#[derive(serde::Deserialize)]
struct Count {
    count: u64,
}

impl ConnectWiseClient {
    /// How many records a list has.
    ///
    /// # Errors
    /// Every way in which there is no number.
    pub async fn count(&self, path: &str, query: &Query) -> Result<u64, ClientError> {
        let count: Count = self.get(&format!("{path}/count"), &query.text()).await?;
        Ok(count.count)
    }

    /// Reads a list whole, in the order of its ids.
    ///
    /// # Errors
    /// Where any page failed, was cut, was no array, or held a record this client does not understand: a list that is
    /// short without saying so is worse than none.
    pub async fn list<T: Record + DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
    ) -> Result<Vec<T>, ClientError> {
        let call = format!("GET {path}");
        let fixed = query.text();
        self.check_length(path, &fixed)?;
        let mut all: Vec<T> = Vec::new();
        let mut last: Option<i64> = None;
        let (mut by_keys, mut confirming) = (false, false);
        for _ in 0..MAX_PAGES {
            let reply = match (by_keys, last) {
                (true, Some(last)) => self.page_by_key(path, query, last).await?,
                _ => self.page_forward(path, &fixed, last).await?,
            };
            let page: Vec<T> = decode_list(&reply, &call)?;
            let came_again = last.is_some_and(|l| page.iter().any(|r| r.id() <= l));
            if came_again && !by_keys {
                // The path does not know forward-only paging and gave its first page again. The same order can be had
                // with a condition.
                by_keys = true;
                continue;
            }
            if came_again && confirming && same_records(&page, &all) {
                // The path heeds neither: it gives all it has with every answer.
                return Ok(all);
            }
            last = check_order(&page, last, &call)?;
            let end = self.end_of(&reply, page.len(), by_keys);
            let went_on = !page.is_empty();
            all.extend(page);
            match end {
                End::More => confirming = false,
                End::Sure => return Ok(all),
                End::Unsure if confirming && !went_on => return Ok(all),
                End::Unsure => confirming = true,
            }
        }
        Err(ClientError::NotUnderstood { call, why: format!("the list did not end after {MAX_PAGES} pages") })
    }

    /// Reads the `number`th page (from 1) of `size` records (at most 1,000), by `order` (`name asc`, `id desc`): for
    /// somebody who looks at the first few. No address in the answer is called.
    ///
    /// # Errors
    /// Every way in which there is no such page, and an order or a size that ConnectWise does not take.
    pub async fn page<T: Record + DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
        order: &str,
        (number, size): (u32, u32),
    ) -> Result<Page<T>, ClientError> {
        if number == 0 || !(1..=LARGEST_PAGE).contains(&size) {
            return Err(ClientError::Invalid(format!(
                "page {number} of {size} records: pages count from 1 and hold 1 to {LARGEST_PAGE}"
            )));
        }
        let mut text = query.text();
        self.check_length(path, &format!("{text}{}", encode(order)))?;
        if !text.is_empty() {
            text.push('&');
        }
        let text = format!("{text}orderBy={}&pageSize={size}&page={number}", encode(order));
        let reply = self.send(Request::read(path, &text)).await?;
        let records: Vec<T> = decode_list(&reply, &format!("GET {path}"))?;
        let full = u32::try_from(records.len()).is_ok_and(|received| received >= size);
        let has_next = reply.header("link").map_or(full, names_next);
        Ok(Page { records, has_next })
    }

    /// Reads the records whose `field` is one of many ids, in as few calls as the length of a URL allows.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_in<T: Record + DeserializeOwned>(
        &self,
        path: &str,
        field: &'static str,
        ids: &[i64],
        query: &Query,
    ) -> Result<Vec<T>, ClientError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let room = MAX_URL.saturating_sub(URL_RESERVE + path.len() + query.text().len() + field.len() + 64);
        let chunks: Vec<Query> = chunk_ids(&ids, room)
            .into_iter()
            .map(|chunk| query.clone().and(Cond::in_ids(field, chunk)))
            .collect();
        let lists = futures::future::try_join_all(chunks.iter().map(|q| self.list::<T>(path, q))).await?;
        let mut all: Vec<T> = lists.into_iter().flatten().collect();
        all.sort_by_key(Record::id);
        Ok(all)
    }

    /// Reads the records whose `field` is one of many texts, in as few calls as the length of a URL allows.
    ///
    /// # Errors
    /// As [`ConnectWiseClient::list`].
    pub async fn list_in_texts<T: Record + DeserializeOwned>(
        &self,
        path: &str,
        field: &'static str,
        texts: &[&str],
        query: &Query,
    ) -> Result<Vec<T>, ClientError> {
        let mut texts = texts.to_vec();
        texts.sort_unstable();
        texts.dedup();
        let room = MAX_URL.saturating_sub(URL_RESERVE + path.len() + query.text().len() + field.len() + 64);
        let cost = |text: &&str| encode(&format!("\"{text}\",")).len();
        let chunks: Vec<Query> = chunk(&texts, room, cost)
            .into_iter()
            .map(|chunk| query.clone().and(Cond::in_texts(field, chunk)))
            .collect();
        let lists = futures::future::try_join_all(chunks.iter().map(|q| self.list::<T>(path, q))).await?;
        let mut all: Vec<T> = lists.into_iter().flatten().collect();
        all.sort_by_key(Record::id);
        Ok(all)
    }

    async fn page_forward(&self, path: &str, fixed: &str, last: Option<i64>) -> Result<Reply, ClientError> {
        let page_id = last.map(|id| format!("&pageId={id}")).unwrap_or_default();
        let join = if fixed.is_empty() { "" } else { "&" };
        let mut request =
            Request::read(path, &format!("{fixed}{join}pageSize={}{page_id}", self.page_size()));
        request.forward_only = true;
        self.send(request).await
    }

    async fn page_by_key(&self, path: &str, query: &Query, last: i64) -> Result<Reply, ClientError> {
        let text = query.clone().and(Cond::gt(names::ID, last)).text();
        let text = format!("{text}&orderBy=id%20asc&pageSize={}&page=1", self.page_size());
        self.send(Request::read(path, &text)).await
    }

    fn check_length(&self, path: &str, query: &str) -> Result<(), ClientError> {
        let length = URL_RESERVE + path.len() + query.len();
        if length > MAX_URL {
            return Err(ClientError::Invalid(format!(
                "the conditions make an address of about {length} characters; ConnectWise takes {MAX_URL}"
            )));
        }
        Ok(())
    }
}

/// Splits ids so that each part, percent-encoded with its commas, stays within `room` characters.
fn chunk_ids(ids: &[i64], room: usize) -> Vec<&[i64]> {
    chunk(ids, room, |id| id.to_string().len() + "%2C".len())
}

/// Splits values so that the costs of each part stay within `room`.
fn chunk<T>(ids: &[T], room: usize, cost: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut chunks = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (at, id) in ids.iter().enumerate() {
        let cost = cost(id);
        if used + cost > room && at > start {
            chunks.push(ids.get(start..at).unwrap_or_default());
            (start, used) = (at, 0);
        }
        used += cost;
    }
    if start < ids.len() {
        chunks.push(ids.get(start..).unwrap_or_default());
    }
    chunks
}

/// Reads an array of records, and names the record where one cannot be read.
fn decode_list<T: DeserializeOwned>(reply: &Reply, call: &str) -> Result<Vec<T>, ClientError> {
    let first = reply.body().iter().copied().find(|b| !b.is_ascii_whitespace());
    if first != Some(b'[') {
        let why = if reply.is_html() { "a web page came instead of a list" } else { "a list was expected" };
        return Err(ClientError::NotUnderstood { call: call.to_owned(), why: why.to_owned() });
    }
    let error = match decode::<Vec<T>>(reply, call, Kind::Read) {
        Ok(list) => return Ok(list),
        Err(error) => error,
    };
    #[derive(serde::Deserialize)]
    struct Id {
        id: Option<i64>,
    }
    let records: Vec<&RawValue> = serde_json::from_slice(reply.body()).unwrap_or_default();
    let broken = records.iter().find_map(|raw| Some((raw, serde_json::from_str::<T>(raw.get()).err()?)));
    Err(match broken {
        Some((raw, why)) => {
            let id = serde_json::from_str::<Id>(raw.get()).ok().and_then(|r| r.id);
            let which = id.map_or("a record without id".to_owned(), |id| format!("record {id}"));
            ClientError::NotUnderstood { call: call.to_owned(), why: format!("{which}: {why}") }
        }
        None => error,
    })
}

fn same_records<T: Record>(page: &[T], all: &[T]) -> bool {
    page.len() == all.len() && page.iter().zip(all).all(|(one, other)| one.id() == other.id())
}

/// Checks that a page goes on where the last one ended, and gives the last id.
fn check_order<T: Record>(page: &[T], after: Option<i64>, call: &str) -> Result<Option<i64>, ClientError> {
    let mut last = after;
    for record in page {
        if last.is_some_and(|l| record.id() <= l) {
            let why = format!("record {} came out of order, so records may be missing", record.id());
            return Err(ClientError::NotUnderstood { call: call.to_owned(), why });
        }
        last = Some(record.id());
    }
    Ok(last)
}

/// Whether a `Link` header names a next page.
fn names_next(link: &str) -> bool {
    link.contains("rel=\"next\"") || link.contains("rel=next")
}

/// What a page says about what comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another page must be asked for.
    More,
    /// The list is whole.
    Sure,
    /// It looks like the last page and does not say so: asking once more makes it sure.
    Unsure,
}

/// Whether a server says with each forward-only page that there is, or is not, another one.
///
/// ConnectWise does. An answer without the header then went through something that cut it, and its rows may be cut as
/// well; a server that never sends it would cost an extra call for every list, so that is learnt once.
#[derive(Debug, Default)]
pub(crate) struct LinkHabit(AtomicU8);

impl LinkHabit {
    const SENDS: u8 = 1;
    const SENDS_NOT: u8 = 2;

    fn is(&self, habit: u8) -> bool {
        self.0.load(Ordering::Relaxed) == habit
    }

    fn learn(&self, habit: u8) {
        self.0.store(habit, Ordering::Relaxed);
    }
}

impl ConnectWiseClient {
    fn end_of(&self, reply: &Reply, received: usize, by_keys: bool) -> End {
        let habit = self.link_habit();
        let Some(link) = reply.header("link") else {
            let full = u64::try_from(received).unwrap_or(u64::MAX) >= u64::from(self.page_size());
            // A page of the default size comes from a server that did not heed the page size.
            if received > 0 && (full || received == DEFAULT_PAGE) {
                return End::More;
            }
            if by_keys || habit.is(LinkHabit::SENDS_NOT) {
                return End::Sure;
            }
            if received == 0 && !habit.is(LinkHabit::SENDS) {
                habit.learn(LinkHabit::SENDS_NOT);
            }
            return End::Unsure;
        };
        if !by_keys {
            habit.learn(LinkHabit::SENDS);
        }
        if names_next(link) && received > 0 { End::More } else { End::Sure }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chunks_hold_every_id_once_and_fit(ids in prop::collection::vec(1_i64..9_000_000, 0..600), room in 16_usize..1_700) {
            let chunks = chunk_ids(&ids, room);
            let flat: Vec<i64> = chunks.iter().flat_map(|c| c.iter().copied()).collect();
            prop_assert_eq!(flat, ids.clone());
            for chunk in chunks {
                let text = encode(&chunk.iter().map(i64::to_string).collect::<Vec<_>>().join(","));
                prop_assert!(text.len() <= room);
            }
        }
    }
}
