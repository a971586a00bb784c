//! The wire between the client and the sandbox: breaks, delays, refuses, cuts and lies by seed, lets people work between
//! two pages, and lets time pass.
//!
//! It is a proxy and not the sandbox's own faults for two reasons: a call that is carried out late has to be late in the
//! engine's time, which is simulated, and what a planted bug would send has to be seen as it arrives.

use super::bug::Bug;
use super::http::{Conn, Request, Response};
use super::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use trueup_engine::records::Millis;

/// The server finishes a call within this after the client gave it up. Half of the settle time.
pub const SERVER_LIMIT: Millis = 60_000;
/// How long the simulated client waits for an answer.
const CLIENT_TIMEOUT: Millis = 60_000;

/// What the wire knows of a world.
#[derive(Clone, Debug, Default)]
pub struct Terrain {
    /// Agreements, each with whether answers about it may lie: not where an addition that trueup does not know of
    /// counts, since nothing can tell a lie there.
    pub agreements: BTreeMap<i64, bool>,
    /// The catalog item of additions that mean nothing to trueup.
    pub foreign_item: i64,
}

/// The state of a wire.
pub struct Net {
    seed: u64,
    pub upstream: SocketAddr,
    canary: SocketAddr,
    bug: Option<Bug>,
    terrain: Terrain,
    now: AtomicI64,
    wild: AtomicBool,
    /// Whether nothing gets through at all.
    down: AtomicBool,
    /// Requests inside the wire.
    inside: AtomicUsize,
    /// Calls of the engine under way.
    calls: AtomicUsize,
    activity: AtomicU64,
    unsettled: AtomicBool,
    slowed: AtomicBool,
    held: tokio::sync::Mutex<Vec<(Millis, Request)>>,
    seen: Mutex<BTreeMap<String, u64>>,
    lies: Mutex<BTreeMap<i64, Millis>>,
    /// After so many more requests the process dies; below zero it lives.
    crash_in: AtomicI64,
    /// The same for commits of its store.
    die_in: AtomicI64,
    pub crash: Notify,
    /// Keys and additions whose operations are durably begun.
    pub begun: Mutex<BTreeSet<String>>,
    /// Additions of trueup that its store knows of, by agreement.
    pub linked: Mutex<BTreeMap<i64, BTreeSet<i64>>>,
    pub trouble: Mutex<Option<String>>,
    /// Which page comes after an id, for the bug that counts pages.
    pages: Mutex<BTreeMap<String, u64>>,
    /// Additions that people made (true) or removed (false).
    pub people: Mutex<BTreeMap<i64, bool>>,
    pub counts: Mutex<BTreeMap<&'static str, u64>>,
    /// What happened, told where a schedule fails.
    story: Mutex<Vec<String>>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pass,
    DropBefore,
    DropAfter,
    Late,
    /// No answer until the client gives up: not carried out, carried out, or carried out late.
    Silent(u8),
    /// Another answer; carried out or not.
    Answer(Made, bool),
    /// The answer breaks off in the middle.
    Truncate,
    /// The page lost its last rows, and its `Link` with them.
    ShortPage,
}

/// Made-up answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    TooMany(u8),
    Unavailable,
    UnavailableHtml,
    CloudflareHtml,
    TimeoutText,
    BadGateway,
    OkHtml,
    OkObject,
    Elsewhere,
}

impl Net {
    pub fn new(
        seed: u64,
        sandbox: &trueup_sandbox::Sandbox,
        canary: SocketAddr,
        bug: Option<Bug>,
        terrain: Terrain,
    ) -> Arc<Self> {
        Arc::new(Self {
            seed,
            upstream: sandbox.url().trim_start_matches("http://").parse().unwrap(),
            canary,
            bug,
            terrain,
            now: AtomicI64::new(1_680_000_000_000),
            wild: AtomicBool::new(false),
            down: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            activity: AtomicU64::new(0),
            unsettled: AtomicBool::new(false),
            slowed: AtomicBool::new(false),
            held: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
            lies: Mutex::default(),
            crash_in: AtomicI64::new(-1),
            die_in: AtomicI64::new(-1),
            crash: Notify::new(),
            begun: Mutex::default(),
            linked: Mutex::default(),
            trouble: Mutex::default(),
            pages: Mutex::default(),
            people: Mutex::default(),
            counts: Mutex::default(),
            story: Mutex::default(),
        })
    }

    /// Takes connections until the runtime ends.
    pub async fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let net = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                net.activity.fetch_add(1, SeqCst);
                let _ = stream.set_nodelay(true);
                tokio::spawn(Arc::clone(&net).serve(Conn::new(stream)));
            }
        });
        address
    }

    pub fn now(&self) -> Millis {
        self.now.load(SeqCst)
    }

    pub fn set_wild(&self, wild: bool) {
        self.wild.store(wild, SeqCst);
        if !wild {
            self.lies.lock().unwrap().clear();
            self.crash_in.store(-1, SeqCst);
            self.die_in.store(-1, SeqCst);
        }
    }

    pub fn is_wild(&self) -> bool {
        self.wild.load(SeqCst)
    }

    /// ConnectWise is out of reach, or there again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, SeqCst);
    }

    /// The process dies at the so-manieth request from now.
    pub fn crash_in(&self, requests: i64) {
        self.crash_in.store(requests, SeqCst);
    }

    /// The process dies at the so-manieth place from now at which its store commits.
    pub fn die_in(&self, commits: i64) {
        self.die_in.store(commits, SeqCst);
    }

    /// The store is about to commit, or just did.
    pub async fn commits(&self) {
        if self.die_in.fetch_sub(1, SeqCst) == 0 {
            self.note("killed at a commit");
            self.tell("killed at a commit".to_owned());
            self.unsettle();
            self.crash.notify_one();
            std::future::pending::<()>().await;
        }
    }

    pub fn call_began(&self) {
        self.calls.fetch_add(1, SeqCst);
    }

    pub fn call_ended(&self) {
        self.calls.fetch_sub(1, SeqCst);
    }

    /// Bytes may be on their way that nobody waits for.
    pub fn unsettle(&self) {
        self.unsettled.store(true, SeqCst);
    }

    /// Returns when nothing is on its way. Everything is in one thread, so a moment in which nothing moved has emptied
    /// the buffers.
    pub async fn idle(&self) {
        let quiet = || self.calls.load(SeqCst) == 0 && self.inside.load(SeqCst) == 0;
        if quiet() && !self.unsettled.load(SeqCst) {
            return;
        }
        let mut still = 0;
        while still < 2 {
            let before = self.activity.load(SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
            still = if quiet() && before == self.activity.load(SeqCst) { still + 1 } else { 0 };
        }
        self.unsettled.store(false, SeqCst);
    }

    /// Time goes on; what the server still had is carried out on the way.
    pub async fn advance(&self, to: Millis) {
        let mut held = self.held.lock().await;
        loop {
            held.sort_by_key(|(due, _)| *due);
            if held.first().is_none_or(|(due, _)| *due > to) {
                break;
            }
            let (due, request) = held.remove(0);
            self.now.fetch_max(due, SeqCst);
            self.note("late");
            self.tell(format!("late: {}", request.name()));
            self.carry_out(&request).await;
        }
        self.now.fetch_max(to, SeqCst);
    }

    fn note(&self, what: &'static str) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn tell(&self, what: String) {
        self.story.lock().unwrap().push(format!("{} {what}", self.now()));
    }

    /// What was told so far is of no interest any more.
    pub fn forget_story(&self) {
        let mut story = self.story.lock().unwrap();
        let old = story.len().saturating_sub(400);
        story.drain(..old);
    }

    pub fn story(&self) -> String {
        self.story.lock().unwrap().join("\n")
    }

    pub fn complain(&self, what: String) {
        self.trouble.lock().unwrap().get_or_insert(what);
    }

    async fn carry_out(&self, request: &Request) -> Option<Response> {
        let stream = tokio::net::TcpStream::connect(self.upstream).await.unwrap();
        let mut conn = Conn::new(stream);
        conn.send(&request.to_bytes(self.upstream)).await?;
        conn.response().await
    }

    async fn serve(self: Arc<Self>, mut conn: Conn) {
        let mut upstream: Option<Conn> = None;
        while let Some(request) = conn.request().await {
            self.inside.fetch_add(1, SeqCst);
            self.activity.fetch_add(1, SeqCst);
            let goes_on = self.handle(&mut conn, &mut upstream, request).await;
            self.activity.fetch_add(1, SeqCst);
            self.inside.fetch_sub(1, SeqCst);
            if !goes_on {
                return;
            }
        }
        self.activity.fetch_add(1, SeqCst);
    }

    /// False closes the connection.
    async fn handle(&self, conn: &mut Conn, upstream: &mut Option<Conn>, request: Request) -> bool {
        let name = request.name();
        let nth = {
            let mut seen = self.seen.lock().unwrap();
            let count = seen.entry(name.clone()).or_default();
            *count += 1;
            *count
        };
        let mut rng = Rng::of(self.seed, &format!("{name}#{nth}"));
        self.advance(self.now() + rng.within(20, 200)).await;
        if request.writes() {
            self.must_be_begun(&request);
        }
        let wild = self.wild.load(SeqCst);
        let left = self.crash_in.fetch_sub(1, SeqCst);
        if left == 0 {
            self.note("crash");
            self.tell(format!("crash at {name}#{nth}"));
            self.unsettle();
            match rng.below(3) {
                0 => {}
                1 => drop(self.carry_out(&request).await),
                _ => self.hold(request, &mut rng).await,
            }
            self.crash.notify_one();
            return false;
        }
        if self.down.load(SeqCst) {
            self.note("out of reach");
            return false;
        }
        if wild && request.is_list() {
            self.people_work(&request, &mut rng).await;
        }
        let mut fate = if wild { fate(&request, &mut rng) } else { Fate::Pass };
        // Two refusals in a row teach the client a pace by the minute, and its minutes are real here.
        let slows = |fate: Fate| match fate {
            Fate::Answer(made, _) => matches!(
                made,
                Made::TooMany(_) | Made::Unavailable | Made::UnavailableHtml | Made::CloudflareHtml
            ),
            _ => false,
        };
        if self.slowed.swap(slows(fate), SeqCst) && slows(fate) {
            fate = Fate::DropBefore;
        }
        self.tell(format!("{name}#{nth} {fate:?}"));
        self.meet(conn, upstream, request, fate, &mut rng).await
    }

    async fn meet(
        &self,
        conn: &mut Conn,
        upstream: &mut Option<Conn>,
        request: Request,
        fate: Fate,
        rng: &mut Rng,
    ) -> bool {
        let writes = request.writes();
        match fate {
            Fate::Pass => {
                let Some(mut response) = self.forward(upstream, &request).await else { return false };
                self.twist(&request, &mut response, rng);
                conn.send(&response.to_bytes()).await.is_some()
            }
            Fate::DropBefore => {
                self.note("dropped before");
                false
            }
            Fate::DropAfter => {
                self.note(if writes { "dropped after a write" } else { "dropped after a read" });
                self.forward(upstream, &request).await;
                self.maybe_lie(&request, rng);
                false
            }
            Fate::Late => {
                self.maybe_lie(&request, rng);
                self.hold(request, rng).await;
                false
            }
            Fate::Silent(kind) => {
                self.note("silence");
                self.maybe_lie(&request, rng);
                match kind {
                    0 => {}
                    1 => drop(self.forward(upstream, &request).await),
                    _ => self.hold_from(self.now() + CLIENT_TIMEOUT, request, rng).await,
                }
                conn.wait_for_end().await;
                self.advance(self.now() + CLIENT_TIMEOUT).await;
                false
            }
            Fate::Answer(made, executed) => {
                self.note(match made {
                    Made::TooMany(_) => "429",
                    Made::Unavailable | Made::UnavailableHtml | Made::CloudflareHtml => "503",
                    Made::TimeoutText => "500 timeout",
                    Made::BadGateway => "502",
                    Made::OkHtml | Made::OkObject => "200 with something else",
                    Made::Elsewhere => "302",
                });
                if executed {
                    self.forward(upstream, &request).await;
                    self.maybe_lie(&request, rng);
                }
                let response = made_up(made, writes, self.canary);
                conn.send(&response.to_bytes()).await.is_some()
            }
            Fate::Truncate => {
                self.note("cut answer");
                if let Some(response) = self.forward(upstream, &request).await {
                    let whole = response.to_bytes();
                    let head = whole.len() - response.body.len();
                    conn.send(&whole[..head + response.body.len() / 2]).await;
                }
                false
            }
            Fate::ShortPage => {
                self.note("short page");
                let Some(mut response) = self.forward(upstream, &request).await else { return false };
                response.lose_rows(rng);
                conn.send(&response.to_bytes()).await.is_some()
            }
        }
    }

    async fn hold(&self, request: Request, rng: &mut Rng) {
        self.hold_from(self.now(), request, rng).await;
    }

    async fn hold_from(&self, from: Millis, request: Request, rng: &mut Rng) {
        if request.writes() {
            let due = from + rng.within(1, SERVER_LIMIT - 1_000);
            self.held.lock().await.push((due, request));
        }
    }

    async fn forward(&self, upstream: &mut Option<Conn>, request: &Request) -> Option<Response> {
        let request = self.as_the_bug_sends(request).await;
        if upstream.is_none() {
            let stream = tokio::net::TcpStream::connect(self.upstream).await.ok()?;
            let _ = stream.set_nodelay(true);
            *upstream = Some(Conn::new(stream));
        }
        let conn = upstream.as_mut()?;
        conn.send(&request.to_bytes(self.upstream)).await?;
        let mut response = conn.response().await?;
        if request.query("page").is_some() {
            self.as_the_bug_reads(&request, &mut response);
        }
        Some(response)
    }

    /// The bugs of a client that pages differently. The real one sends forward-only pages and calls no address of an
    /// answer, so they stand here, where such a client's calls would be seen.
    async fn as_the_bug_sends(&self, request: &Request) -> Request {
        let mut request = request.clone();
        let after = request.query("pageId").map(str::to_owned);
        if self.bug == Some(Bug::FollowsLink) && after.is_some() && self.wild.load(SeqCst) {
            // The link of the page before named the canary.
            let _ = tokio::net::TcpStream::connect(self.canary).await;
        }
        if self.bug == Some(Bug::PageNumbers) && request.is_list() && request.query("pageSize").is_some() {
            let list = request.without_page();
            let page = match after {
                None => 1,
                Some(id) => self.pages.lock().unwrap().get(&format!("{list}>{id}")).copied().unwrap_or(1) + 1,
            };
            request = request.by_number(page);
        }
        request
    }

    fn as_the_bug_reads(&self, request: &Request, response: &mut Response) {
        let page: u64 = request.query("page").and_then(|p| p.parse().ok()).unwrap_or(1);
        let more = response.header("link").is_some_and(|l| l.contains("rel=\"next\""));
        let last = response.ids().last().copied().unwrap_or(0);
        self.pages.lock().unwrap().insert(format!("{}>{last}", request.without_page()), page);
        let link = if more { format!("<http://x/?pageId={last}>; rel=\"next\"") } else { String::new() };
        response.set_header("link", Some(link));
    }

    /// Answers that are whole and wrong: links to other hosts, and agreements that look empty.
    fn twist(&self, request: &Request, response: &mut Response, rng: &mut Rng) {
        if !self.wild.load(SeqCst) {
            return;
        }
        if let Some(agreement) = request.additions_of().filter(|_| request.is_list()) {
            let lies = self.lies.lock().unwrap().get(&agreement).is_some_and(|until| self.now() < *until);
            if lies {
                self.note("empty list");
                response.become_empty_list();
                return;
            }
        }
        let next = response.header("link").is_some_and(|l| l.contains("rel=\"next\""));
        if next && rng.chance(500) {
            self.note("foreign link");
            let link = format!("<http://{}{}>; rel=\"next\"", self.canary, request.target);
            response.set_header("link", Some(link));
        }
    }

    /// From a write without an answer on, the agreement may look empty for a while: one of which trueup knows that it is
    /// not, since nothing can tell that lie elsewhere.
    fn maybe_lie(&self, request: &Request, rng: &mut Rng) {
        let known = |id: &i64| self.linked.lock().unwrap().get(id).is_some_and(|ids| !ids.is_empty());
        let agreement = request.additions_of().filter(|id| self.terrain.agreements.get(id) == Some(&true));
        let agreement = agreement.filter(known);
        if let Some(agreement) = agreement.filter(|_| request.method == "POST" && rng.chance(250)) {
            self.lies.lock().unwrap().insert(agreement, self.now() + 500_000);
        }
    }

    /// No call without an intent.
    fn must_be_begun(&self, request: &Request) {
        let begun = self.begun.lock().unwrap();
        let known = match request.ticket() {
            // A ticket has its key, a note its mark, and a status the ticket that it is for.
            Some(ticket) if request.method == "POST" => {
                let body = request.body_text();
                ticket.ends_with("/attachChildren") || begun.iter().any(|name| body.contains(name.as_str()))
            }
            Some(ticket) => begun.contains(&format!("ticket {ticket}")),
            None => {
                let name = if request.method == "POST" { request.key() } else { request.addition() };
                name.is_some_and(|name| begun.contains(&name))
            }
        };
        drop(begun);
        if !known {
            self.complain(format!("a call without an intent: {} {}", request.name(), request.body_text()));
        }
    }

    /// People add and remove additions that mean nothing to trueup, most of all between two pages.
    async fn people_work(&self, request: &Request, rng: &mut Rng) {
        let Some(agreement) = request.additions_of() else { return };
        let between = request.query("pageId").and_then(|id| id.parse::<i64>().ok());
        if !rng.chance(if between.is_some() { 400 } else { 40 }) {
            return;
        }
        self.note("people");
        let path = format!("/v4_6_release/apis/3.0/finance/agreements/{agreement}/additions");
        if rng.chance(300) {
            let body = format!(
                "{{\"product\":{{\"id\":{}}},\"quantity\":1,\"unitPrice\":1.5,\"billCustomer\":\"Billable\",\
                 \"effectiveDate\":\"2023-03-01T00:00:00Z\"}}",
                self.terrain.foreign_item
            );
            let made = self.by_hand(request, "POST", &path, &body).await;
            if let Some(id) = made.and_then(|m| m["id"].as_i64()) {
                self.people.lock().unwrap().insert(id, true);
            }
            return;
        }
        // The first one of theirs: all later ones move up.
        let list = self.by_hand(request, "GET", &format!("{path}?pageSize=1000"), "").await;
        let rows = list.as_ref().and_then(|l| l.as_array()).cloned().unwrap_or_default();
        let theirs = rows.iter().find(|row| row["product"]["id"].as_i64() == Some(self.terrain.foreign_item));
        let several = rows.len() > 2;
        if let Some(id) = theirs.filter(|_| several).and_then(|row| row["id"].as_i64()) {
            self.by_hand(request, "DELETE", &format!("{path}/{id}"), "").await;
            self.people.lock().unwrap().insert(id, false);
        }
    }

    /// A call of a person, who signs in as the request at hand does.
    async fn by_hand(
        &self,
        like: &Request,
        method: &str,
        path: &str,
        body: &str,
    ) -> Option<serde_json::Value> {
        let request = like.by_hand(method, path, body);
        serde_json::from_slice(&self.carry_out(&request).await?.body).ok()
    }
}

fn fate(request: &Request, rng: &mut Rng) -> Fate {
    let executed = rng.chance(500);
    let too_many = Fate::Answer(Made::TooMany(u8::try_from(rng.below(8)).unwrap()), false);
    if request.writes() {
        if !rng.chance(300) {
            return Fate::Pass;
        }
        return match rng.below(14) {
            0 | 1 => Fate::DropBefore,
            2 | 3 => Fate::DropAfter,
            4 | 5 => Fate::Late,
            6 if rng.chance(300) => Fate::Silent(u8::try_from(rng.below(3)).unwrap()),
            6 | 7 => too_many,
            8 => Fate::Answer(Made::Unavailable, executed),
            9 => Fate::Answer(if executed { Made::UnavailableHtml } else { Made::CloudflareHtml }, executed),
            10 => Fate::Answer(Made::TimeoutText, executed),
            11 => Fate::Answer(if executed { Made::BadGateway } else { Made::Elsewhere }, executed),
            12 => Fate::Answer(if rng.chance(500) { Made::OkHtml } else { Made::OkObject }, true),
            _ => Fate::Truncate,
        };
    }
    if !rng.chance(120) {
        return Fate::Pass;
    }
    match rng.below(12) {
        0 | 1 => Fate::DropBefore,
        2 => Fate::DropAfter,
        3 => too_many,
        4 => Fate::Answer(Made::Unavailable, false),
        5 => Fate::Answer(Made::TimeoutText, false),
        6 => Fate::Answer(Made::OkHtml, false),
        7 => Fate::Answer(Made::OkObject, false),
        8 => Fate::Truncate,
        9 if rng.chance(100) => Fate::Silent(0),
        _ if request.is_list() => Fate::ShortPage,
        _ => Fate::DropBefore,
    }
}

fn made_up(made: Made, writes: bool, canary: SocketAddr) -> Response {
    let html = "<html><head><title>Error</title></head><body><h1>Error</h1></body></html>";
    let ok = if writes { 201 } else { 200 };
    match made {
        Made::TooMany(kind) => {
            let mut response = Response::json(429, r#"{"message":"Too many requests."}"#);
            let wait = match kind {
                0..=2 => None,
                3 | 4 => Some("0"),
                5 | 6 => Some("Tue, 28 Mar 2023 10:00:00 GMT"),
                _ => Some("45"),
            };
            response.set_header("date", Some("Tue, 28 Mar 2023 10:00:00 GMT".to_owned()));
            response.set_header("retry-after", wait.map(str::to_owned));
            response
        }
        Made::Unavailable => Response::json(503, r#"{"code":"ConnectWiseApi","message":"Unavailable."}"#),
        Made::UnavailableHtml => Response::html(503, html),
        Made::CloudflareHtml => {
            let mut response = Response::html(503, html);
            response.set_header("server", Some("cloudflare".to_owned()));
            response
        }
        Made::TimeoutText => Response::json(
            500,
            r#"{"code":"ConnectWiseApi","message":"A timeout has occured. Please try again."}"#,
        ),
        Made::BadGateway => Response::html(502, html),
        Made::OkHtml => Response::html(ok, html),
        Made::OkObject => Response::json(ok, "{}"),
        Made::Elsewhere => {
            let mut response = Response::html(302, html);
            response.set_header("location", Some(format!("http://{canary}/elsewhere")));
            response
        }
    }
}
