//! As much of HTTP/1.1 as a wire needs: heads, lengths, and bodies of JSON.

use super::rng::Rng;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection with what was read too far.
pub struct Conn {
    stream: TcpStream,
    buffer: Vec<u8>,
}

type Head = (String, Vec<(String, String)>, Vec<u8>);

impl Conn {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()
    }

    /// Until the other side closes.
    pub async fn wait_for_end(&mut self) {
        let mut rest = [0_u8; 1024];
        while self.stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    }

    pub async fn request(&mut self) -> Option<Request> {
        let (first, headers, body) = self.message().await?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Request { method, target, headers, body })
    }

    pub async fn response(&mut self) -> Option<Response> {
        let (first, headers, body) = self.message().await?;
        let status = first.split(' ').nth(1)?.parse().ok()?;
        Some(Response { status, headers, body })
    }

    async fn message(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let first = lines.next()?.to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        while self.buffer.len() < length {
            self.more().await?;
        }
        let body = self.buffer.drain(..length).collect();
        Some((first, headers, body))
    }

    async fn more(&mut self) -> Option<()> {
        let mut part = [0_u8; 16 * 1024];
        let read = self.stream.read(&mut part).await.ok().filter(|n| *n > 0)?;
        self.buffer.extend_from_slice(&part[..read]);
        Some(())
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// Another call with the same credentials.
    pub fn by_hand(&self, method: &str, target: &str, body: &str) -> Self {
        let signs = |name: &str| matches!(name, "authorization" | "clientid" | "accept");
        let mut headers: Vec<_> = self.headers.iter().filter(|(name, _)| signs(name)).cloned().collect();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Self { method: method.to_owned(), target: target.to_owned(), headers, body: body.as_bytes().to_vec() }
    }

    pub fn to_bytes(&self, host: SocketAddr) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.target);
        for (name, value) in self.headers.iter().filter(|(n, _)| n != "host" && n != "content-length") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        let query = self.target.split_once('?')?.1;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// Path and query without the place of the page.
    pub fn without_page(&self) -> String {
        let query = self.target.split_once('?').map_or("", |(_, q)| q);
        let kept: Vec<&str> =
            query.split('&').filter(|p| !p.starts_with("pageId=") && !p.starts_with("page=")).collect();
        format!("{}?{}", self.path(), kept.join("&"))
    }

    /// The same list by the number of its page.
    pub fn by_number(&self, page: u64) -> Self {
        let mut headers = self.headers.clone();
        headers.retain(|(name, _)| name != "pagination-type");
        Self {
            method: self.method.clone(),
            target: format!("{}&page={page}", self.without_page()),
            headers,
            body: self.body.clone(),
        }
    }

    pub fn writes(&self) -> bool {
        self.method != "GET"
    }

    pub fn is_list(&self) -> bool {
        self.method == "GET" && self.query("pageSize").is_some()
    }

    /// The agreement whose additions it is about.
    pub fn additions_of(&self) -> Option<i64> {
        let (_, below) = self.path().split_once("/finance/agreements/")?;
        let (id, rest) = below.split_once('/')?;
        rest.starts_with("additions").then(|| id.parse().ok())?
    }

    /// The addition in the path.
    pub fn addition(&self) -> Option<String> {
        Some(self.path().split_once("/additions/")?.1.to_owned())
    }

    /// What of the service desk's tickets it is about: nothing for all of them, an id, or what is below one.
    pub fn ticket(&self) -> Option<&str> {
        let (_, below) = self.path().split_once("/service/tickets")?;
        Some(below.trim_start_matches('/'))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The key that a new addition carries.
    pub fn key(&self) -> Option<String> {
        self.json()["serialNumber"].as_str().map(str::to_owned)
    }

    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What it is, whenever it comes.
    pub fn name(&self) -> String {
        format!("{} {} {}", self.method, self.target, self.key().unwrap_or_default())
    }
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(status: u16, body: &str) -> Self {
        Self::of(status, "application/json", body)
    }

    pub fn html(status: u16, body: &str) -> Self {
        Self::of(status, "text/html", body)
    }

    fn of(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        Self { status, headers, body: body.as_bytes().to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn set_header(&mut self, name: &str, value: Option<String>) {
        self.headers.retain(|(n, _)| n != name);
        self.headers.extend(value.map(|v| (name.to_owned(), v)));
    }

    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in self.headers.iter().filter(|(n, _)| n != "content-length") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.status == 204 {
            text.push_str("\r\n");
        } else {
            text.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        }
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    fn rows(&self) -> Vec<Box<serde_json::value::RawValue>> {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub fn ids(&self) -> Vec<i64> {
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&self.body).unwrap_or_default();
        rows.iter().filter_map(|row| row["id"].as_i64()).collect()
    }

    pub fn become_empty_list(&mut self) {
        self.body = b"[]".to_vec();
        self.set_header("link", Some(String::new()));
    }

    /// The last rows go, and the `Link` header with them.
    pub fn lose_rows(&mut self, rng: &mut Rng) {
        let mut rows = self.rows();
        let lost = rng.below(u64::try_from(rows.len()).unwrap() + 1);
        rows.truncate(rows.len() - usize::try_from(lost).unwrap());
        self.body = serde_json::to_vec(&rows).unwrap();
        self.set_header("link", None);
    }
}
