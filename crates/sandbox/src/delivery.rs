//! Sending callbacks: signed, with the vendor's time limit and repetitions, to receivers on this machine alone.
//!
//! A receiver has five seconds. Only 404, 409, 419 and 429 are tried again, after two seconds and after four more;
//! everything else is lost, and nothing is ever replayed. An entry that failed on three days in a row, by the
//! sandbox's clock, is disabled. Times are switches, so that tests need not wait.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::civil::Date;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use url::{Host, Url};

use crate::events::Message;
use crate::json::{Json, object};
use crate::schema::paths;
use crate::state::{State, lock};

/// Statuses that are tried again.
const TRIED_AGAIN: [u16; 4] = [404, 409, 419, 429];
/// Failing on so many days in a row disables an entry.
const FAILING_DAYS: usize = 3;
/// Longest status line read.
const STATUS_LINE: u64 = 4096;

/// What became of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    UnderWay,
    Delivered,
    Lost,
    NotSent,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::UnderWay => "under_way",
            Outcome::Delivered => "delivered",
            Outcome::Lost => "lost",
            Outcome::NotSent => "not_sent",
        }
    }
}

/// A callback and its attempts; an attempt is the status or what went wrong.
#[derive(Clone, Debug)]
struct Delivery {
    message: Message,
    signature: String,
    attempts: Vec<Result<u16, String>>,
    outcome: Outcome,
}

/// Failures of one entry since it last succeeded.
#[derive(Clone, Debug, Default)]
struct Failing {
    times: u32,
    days: Vec<Date>,
}

/// Every callback so far.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    all: Vec<Delivery>,
    failing: BTreeMap<i64, Failing>,
    /// Counts the times everything was forgotten, so that a delivery from before does not write into what follows.
    generation: u64,
}

impl Deliveries {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Deliveries { generation: self.generation + 1, ..Deliveries::default() };
    }

    /// The callbacks as the control interface shows them.
    pub(crate) fn to_json(&self) -> Json {
        Json::Arr(self.all.iter().map(Delivery::to_json).collect())
    }
}

impl Delivery {
    fn to_json(&self) -> Json {
        let attempt = |attempt: &Result<u16, String>| match attempt {
            Ok(status) => object([("status", Json::Int(i64::from(*status))), ("error", Json::Null)]),
            Err(error) => object([("status", Json::Null), ("error", error.as_str().into())]),
        };
        object([
            ("entry_id", Json::Int(self.message.entry)),
            ("url", self.message.url.as_str().into()),
            ("body", self.message.body.as_str().into()),
            ("signature", self.signature.as_str().into()),
            ("attempts", Json::Arr(self.attempts.iter().map(attempt).collect())),
            ("outcome", self.outcome.word().into()),
        ])
    }
}

/// Sends callbacks, each on its own: they overtake one another, as the vendor's do.
pub(crate) fn send(state: &Arc<State>, messages: Vec<Message>) {
    for message in messages {
        let signature = signature(&message.signing_key, message.body.as_bytes());
        let place = {
            let mut deliveries = lock(&state.deliveries);
            let delivery = Delivery {
                message: message.clone(),
                signature: signature.clone(),
                attempts: Vec::new(),
                outcome: Outcome::UnderWay,
            };
            deliveries.all.push(delivery);
            (deliveries.generation, deliveries.all.len() - 1)
        };
        let state = Arc::clone(state);
        tokio::spawn(async move { deliver(&state, place, &message, &signature).await });
    }
}

type Place = (u64, usize);

fn note(state: &State, (generation, index): Place, change: impl FnOnce(&mut Delivery)) {
    let mut deliveries = lock(&state.deliveries);
    if deliveries.generation == generation
        && let Some(delivery) = deliveries.all.get_mut(index)
    {
        change(delivery);
    }
}

async fn deliver(state: &State, place: Place, message: &Message, signature: &str) {
    let target = match Target::of(&message.url) {
        Ok(target) => target,
        Err(reason) => {
            return note(state, place, |delivery| {
                delivery.attempts.push(Err(reason.to_owned()));
                delivery.outcome = Outcome::NotSent;
            });
        }
    };
    let (limit, waits) = {
        let world = state.world();
        let milliseconds = |known: &u64| Duration::from_millis(*known);
        let waits: Vec<_> = world.rules.callback_retry_ms.iter().map(milliseconds).collect();
        (Duration::from_millis(world.rules.callback_timeout_ms), waits)
    };
    let mut waits = waits.into_iter();
    loop {
        let attempt = match tokio::time::timeout(limit, target.post(&message.body, signature)).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
        };
        let status = attempt.as_ref().ok().copied();
        note(state, place, |delivery| delivery.attempts.push(attempt));
        if status.is_some_and(|status| (200..300).contains(&status)) {
            lock(&state.deliveries).failing.remove(&message.entry);
            return note(state, place, |delivery| delivery.outcome = Outcome::Delivered);
        }
        match waits.next() {
            Some(wait) if status.is_some_and(|status| TRIED_AGAIN.contains(&status)) => {
                tokio::time::sleep(wait).await;
            }
            _ => break,
        }
    }
    failed(state, message.entry);
    note(state, place, |delivery| delivery.outcome = Outcome::Lost);
}

/// Counts a failure and disables the entry where it is one too many.
fn failed(state: &State, entry: i64) {
    let (today, allowed) = {
        let world = state.world();
        (world.clock.today(), world.rules.callback_disabled_after)
    };
    let failing = {
        let mut deliveries = lock(&state.deliveries);
        let failing = deliveries.failing.entry(entry).or_default();
        failing.times += 1;
        let last = failing.days.last().copied();
        if last != Some(today) {
            if last.and_then(|day| day.tomorrow().ok()) != Some(today) {
                failing.days.clear();
            }
            failing.days.push(today);
        }
        failing.clone()
    };
    if failing.days.len() < FAILING_DAYS && allowed.is_none_or(|allowed| failing.times < allowed) {
        return;
    }
    let mut world = state.world();
    if let Some(mut record) = world.record_at(paths::CALLBACKS, Some(entry)).cloned() {
        record.set("inactiveFlag", Json::Bool(true));
        world.replace(entry, record);
    }
}

/// Base64 of HMAC-SHA256 over the body, keyed with SHA-256 of the signing key.
fn signature(signing_key: &str, body: &[u8]) -> String {
    let key = Sha256::digest(signing_key.as_bytes());
    // HMAC takes a key of any length, so there is no failure to tell of.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A receiver on this machine.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    address: SocketAddr,
    host: String,
    path: String,
}

impl Target {
    /// Takes an address apart. Names are never looked up, since they could lead anywhere.
    fn of(url: &str) -> Result<Self, &'static str> {
        let url = Url::parse(url).map_err(|_| "the address cannot be read")?;
        if url.scheme() != "http" {
            return Err("the sandbox sends over plain http only");
        }
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST.into(),
            _ => return Err("the sandbox sends to this machine only, not to a named host"),
        };
        if !address.is_loopback() {
            return Err("the sandbox sends to this machine only (127.0.0.1, [::1], localhost)");
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let host = url.host_str().unwrap_or("localhost");
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        Ok(Target { address: (address, port).into(), host: format!("{host}:{port}"), path })
    }

    /// One POST on a connection of its own; only the status of the answer is read.
    async fn post(&self, body: &str, signature: &str) -> std::io::Result<u16> {
        let mut stream = TcpStream::connect(self.address).await?;
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             x-content-signature: {signature}\r\nConnection: close\r\n\r\n{body}",
            self.path,
            self.host,
            body.len(),
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut line = String::new();
        BufReader::new(stream.take(STATUS_LINE)).read_line(&mut line).await?;
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
        status.and_then(|code| code.trim().parse().ok()).ok_or_else(|| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, "the answer does not begin with a status")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_answer() {
        let body = r#"{"MessageId":"00000000-0000-0000-0000-000000000001","FromUrl":"127.0.0.1","CompanyId":"training","MemberId":"api","Action":"updated","Type":"agreement","ID":42,"Entity":"{\"id\":42,\"name\":\"A\"}","Metadata":{"key_url":"http://127.0.0.1:4080/v4_6_release/apis/3.0/system/keys/1"}}"#;
        let signed = signature("sandbox-signing-key", body.as_bytes());
        assert_eq!(signed, "B5KsrprSvXuJj8RwCvgasY9E210pnP5VXdfDIoD5vYk=");
    }

    #[test]
    fn only_this_machine_is_called() {
        for url in [
            "https://127.0.0.1/hook",
            "http://example.com/hook",
            "http://10.0.0.1/hook",
            "http://192.168.1.1:8080/",
            "http://169.254.169.254/latest",
            "http://0.0.0.0/",
            "http://[::ffff:10.0.0.1]/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "ftp://127.0.0.1/",
            "nonsense",
        ] {
            assert!(Target::of(url).is_err(), "{url}");
        }
        for (url, address, path) in [
            ("http://127.0.0.1:81/a?b=1", "127.0.0.1:81", "/a?b=1"),
            ("http://127.8.9.1", "127.8.9.1:80", "/"),
            ("http://LOCALHOST/", "127.0.0.1:80", "/"),
            ("http://[::1]:9/x", "[::1]:9", "/x"),
            // Whole numbers and octets are addresses too, and are seen through.
            ("http://2130706433/", "127.0.0.1:80", "/"),
        ] {
            let target = Target::of(url).unwrap();
            assert_eq!((target.address.to_string().as_str(), target.path.as_str()), (address, path), "{url}");
        }
    }
}
