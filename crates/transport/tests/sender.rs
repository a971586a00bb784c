//! The sender against servers that misbehave in the ways real ones do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trueup_transport::{
    Call, Doubt, EdgePage, Exchange, HostRules, LimiterConfig, Method, Outcome, Recorder, Redactor, Refusal,
    Safety, Sender, SenderConfig,
};
use url::Url;

fn config() -> SenderConfig {
    SenderConfig {
        rules: HostRules::none().allow_loopback(true),
        limiter: LimiterConfig { backoff_base: Duration::from_millis(5), ..LimiterConfig::default() },
        attempt_timeout: Duration::from_millis(400),
        deadline: Duration::from_secs(20),
        ..SenderConfig::default()
    }
}

fn sender() -> Sender {
    Sender::new(config()).unwrap()
}

/// Reads one request (head and body) off a connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut data = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let n = stream.read(&mut buffer).await.ok()?;
        if n == 0 {
            return None;
        }
        data.extend_from_slice(&buffer[..n]);
        let text = String::from_utf8_lossy(&data).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| {
                    l.to_ascii_lowercase().strip_prefix("content-length:").map(|v| v.trim().to_owned())
                })
                .and_then(|v| v.parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// A server whose nth request gets the nth answer, the last one for ever; `None` drops the connection.
async fn scripted(answers: Vec<Option<String>>) -> (Url, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/a", listener.local_addr().unwrap())).unwrap();
    let seen = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&seen);
    let answers = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (counter, answers) = (Arc::clone(&counter), Arc::clone(&answers));
            tokio::spawn(async move {
                while read_request(&mut stream).await.is_some() {
                    let n = counter.fetch_add(1, Ordering::SeqCst) as usize;
                    match answers.get(n).or_else(|| answers.last()).unwrap() {
                        Some(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                        None => return,
                    }
                }
            });
        }
    });
    (url, seen)
}

fn ok() -> Option<String> {
    Some(answer("200 OK", "content-type: application/json\r\n", "[]"))
}

#[tokio::test]
async fn waits_as_long_as_a_429_says_and_then_succeeds_even_for_a_post() {
    let (url, seen) =
        scripted(vec![Some(answer("429 Too Many Requests", "retry-after: 1\r\n", "{}")), ok()]).await;
    let sender = sender();
    let began = Instant::now();
    let outcome = sender.send(Call::post(url).body("application/json", "{}")).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
    let stats = sender.stats();
    assert_eq!((stats.calls, stats.retries, stats.throttled), (2, 1, 1));
}

#[tokio::test]
async fn honours_a_retry_after_that_is_a_date() {
    let dated = "retry-after: Fri, 31 Dec 1999 23:59:31 GMT\r\ndate: Fri, 31 Dec 1999 23:59:30 GMT\r\n";
    let (url, _) = scripted(vec![Some(answer("429 Too Many Requests", dated, "")), ok()]).await;
    let began = Instant::now();
    assert!(matches!(sender().send(Call::get(url)).await, Outcome::Done(_)));
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn survives_429s_that_do_not_say_how_long() {
    let throttled = || Some(answer("429 Too Many Requests", "", "slow down"));
    let (url, seen) = scripted(vec![throttled(), throttled(), throttled(), ok()]).await;
    assert!(matches!(sender().send(Call::get(url)).await, Outcome::Done(_)));
    assert_eq!(seen.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_a_refusal_that_says_so() {
    let (url, _) = scripted(vec![Some(answer("429 Too Many Requests", "retry-after: 900\r\n", "{}"))]).await;
    let began = Instant::now();
    match sender().send(Call::get(url)).await {
        Outcome::Refused(Refusal::Throttled { wait: Some(wait), reply: Some(_) }) => {
            assert!(wait > Duration::from_secs(800));
        }
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(5), "waiting for what cannot come");
}

#[tokio::test]
async fn a_drop_after_sending_is_in_doubt_and_a_creation_is_not_repeated() {
    let (url, seen) = scripted(vec![None, ok()]).await;
    let outcome = sender().send(Call::post(url).body("application/json", "{}")).await;
    assert!(matches!(outcome, Outcome::InDoubt(Doubt::Dropped(_))), "{outcome:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_drop_on_a_reused_connection_is_not_repeated_either() {
    let (url, seen) = scripted(vec![ok(), None, ok()]).await;
    let sender = sender();
    assert!(matches!(sender.send(Call::get(url.clone())).await, Outcome::Done(_)));
    let outcome = sender.send(Call::post(url).body("application/json", "{}")).await;
    assert!(matches!(outcome, Outcome::InDoubt(Doubt::Dropped(_))), "{outcome:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_drop_is_repeated_where_the_caller_says_it_may() {
    let (url, seen) = scripted(vec![None, ok()]).await;
    let call = Call::post(url).safety(Safety::Repeatable);
    assert!(matches!(sender().send(call).await, Outcome::Done(_)));
    assert_eq!(seen.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_silent_server_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let hold = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let sender = sender();
    let outcome = sender.send(Call::post(url)).await;
    assert!(matches!(outcome, Outcome::InDoubt(Doubt::Timeout)), "{outcome:?}");
    assert_eq!(sender.stats().in_doubt, 1);
    hold.abort();
}

#[tokio::test]
async fn a_refused_connection_is_certainly_not_executed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let sender = Sender::new(SenderConfig { max_retries: 1, ..config() }).unwrap();
    let outcome = sender.send(Call::post(url)).await;
    assert!(matches!(outcome, Outcome::Refused(Refusal::Connect(_))), "{outcome:?}");
    assert_eq!(sender.stats().retries, 1);
}

#[tokio::test]
async fn a_cut_answer_is_unreadable_not_short() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\nconnection: close\r\n\r\n[{\"id\":1}".to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            stream.write_all(cut.as_bytes()).await.unwrap();
        }
    });
    let outcome = sender().send(Call::post(url)).await;
    assert!(matches!(outcome, Outcome::InDoubt(Doubt::Unreadable(_))), "{outcome:?}");
}

#[tokio::test]
async fn an_html_503_is_in_doubt_and_the_edges_own_page_is_a_refusal() {
    let iis = answer("503 Service Unavailable", "content-type: text/html\r\n", "<html>down</html>");
    let (url, seen) = scripted(vec![Some(iis)]).await;
    let outcome = sender().send(Call::post(url)).await;
    assert!(matches!(&outcome, Outcome::InDoubt(Doubt::Server(r)) if r.is_html()), "{outcome:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 1);

    let edge =
        answer("503 Service Unavailable", "server: cloudflare\r\n", "<!DOCTYPE html><html>busy</html>");
    let (url, _) = scripted(vec![Some(edge)]).await;
    let outcome = sender().send(Call::post(url)).await;
    assert!(
        matches!(&outcome, Outcome::Refused(Refusal::Edge { page: EdgePage::Cloudflare, .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn gateway_errors_are_retried_for_reads_within_the_budget() {
    let bad = || Some(answer("502 Bad Gateway", "", ""));
    let (url, seen) = scripted(vec![bad(), ok()]).await;
    assert!(matches!(sender().send(Call::get(url)).await, Outcome::Done(_)));
    assert_eq!(seen.load(Ordering::SeqCst), 2);

    let (url, seen) = scripted(vec![Some(answer("500 Internal Server Error", "", "{}"))]).await;
    let outcome = sender().send(Call::get(url)).await;
    assert!(matches!(outcome, Outcome::InDoubt(Doubt::Server(_))));
    assert_eq!(seen.load(Ordering::SeqCst), 1, "a plain 500 is not retried unless the dialect says so");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (canary, canary_seen) = scripted(vec![ok()]).await;
    let moved = answer("302 Found", &format!("location: {canary}\r\n"), "");
    let (url, _) = scripted(vec![Some(moved)]).await;
    let outcome = sender().send(Call::get(url)).await;
    assert!(matches!(&outcome, Outcome::Refused(Refusal::Status(r)) if r.status() == 302), "{outcome:?}");
    assert_eq!(canary_seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let long = answer("200 OK", "", &"x".repeat(5_000));
    let (url, seen) = scripted(vec![Some(long)]).await;
    let outcome = sender().send(Call::get(url).max_body_bytes(1_000)).await;
    assert!(matches!(outcome, Outcome::InDoubt(Doubt::TooLong { limit: 1_000 })), "{outcome:?}");
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn never_more_than_ten_in_flight_and_connections_are_reused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let (now, most, opened) =
        (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (n, m, o) = (Arc::clone(&now), Arc::clone(&most), Arc::clone(&opened));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            o.fetch_add(1, Ordering::SeqCst);
            let (n, m) = (Arc::clone(&n), Arc::clone(&m));
            tokio::spawn(async move {
                while read_request(&mut stream).await.is_some() {
                    m.fetch_max(n.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    n.fetch_sub(1, Ordering::SeqCst);
                    stream.write_all(ok().unwrap().as_bytes()).await.unwrap();
                }
            });
        }
    });
    let limiter = LimiterConfig { start: 40, max: 10, ..LimiterConfig::default() };
    let sender =
        Sender::new(SenderConfig { limiter, attempt_timeout: Duration::from_secs(10), ..config() }).unwrap();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (sender, url) = (sender.clone(), url.clone());
            tokio::spawn(async move { sender.send(Call::get(url)).await })
        })
        .collect();
    for call in calls {
        assert!(matches!(call.await.unwrap(), Outcome::Done(_)));
    }
    assert_eq!(most.load(Ordering::SeqCst), 10);
    assert!(opened.load(Ordering::SeqCst) <= 20, "{opened:?}");
    assert_eq!(sender.stats().calls, 100);
}

#[derive(Default)]
struct Tape(std::sync::Mutex<Vec<Exchange>>);

impl Recorder for Tape {
    fn record(&self, exchange: Exchange) {
        self.0.lock().unwrap().push(exchange);
    }
}

#[tokio::test]
async fn secrets_are_in_no_debug_output_no_error_and_no_recording() {
    let secret = "Basic c3VwZXItc2VjcmV0";
    let echo = format!("{{\"message\":\"bad header {secret}\"}}");
    let (url, _) =
        scripted(vec![Some(answer("401 Unauthorized", "set-cookie: c3VwZXItc2VjcmV0\r\n", &echo))]).await;
    let tape = Arc::new(Tape::default());
    let sender = Sender::new(SenderConfig {
        redactor: Redactor::new([SecretString::from(secret.to_owned())]),
        recorder: Some(Arc::clone(&tape) as Arc<dyn Recorder>),
        ..config()
    })
    .unwrap();
    let mut with_key = url.clone();
    with_key.set_query(Some("token=c3VwZXItc2VjcmV0"));
    let call = Call::get(with_key).authorization(&SecretString::from(secret.to_owned()));
    let mut shown = format!("{call:?} {sender:?}");
    let outcome = sender.send(call).await;
    assert!(matches!(&outcome, Outcome::Refused(Refusal::Status(_))));
    shown.push_str(&format!("{outcome:?} {}", outcome.reply().unwrap().text()));
    let tape = tape.0.lock().unwrap();
    assert_eq!(tape.len(), 1);
    shown.push_str(&format!("{:?} {:?}", tape[0].received, tape[0].failure));
    assert!(!shown.contains("c3VwZXItc2VjcmV0"), "{shown}");
    assert!(shown.contains("[redacted]"), "{shown}");
}

#[tokio::test]
async fn a_header_http_does_not_allow_is_refused_without_showing_it() {
    let call = Call::get(Url::parse("http://127.0.0.1:1/").unwrap())
        .authorization(&SecretString::from("top\nsecret".to_owned()));
    let outcome = sender().send(call).await;
    assert!(matches!(&outcome, Outcome::Refused(Refusal::Invalid(_))));
    assert!(!format!("{outcome:?}").contains("secret"));
}

/// The first attempt may have been carried out: that a later one was refused does not take it back.
#[tokio::test]
async fn a_repeated_write_stays_in_doubt_whatever_refuses_it_later() {
    let unclear = || Some(answer("503 Service Unavailable", "retry-after: 0\r\n", "{}"));
    let edit = |url| Call::new(Method::PATCH, url).safety(Safety::Repeatable).body("application/json", "[]");
    for refusal in [
        answer("429 Too Many Requests", "retry-after: 900\r\n", "{}"),
        answer("400 Bad Request", "", "{}"),
        answer("302 Found", "location: /b\r\n", ""),
        answer("404 Not Found", "", "{\"code\":\"NotF"),
    ] {
        let (url, _) = scripted(vec![unclear(), Some(refusal)]).await;
        let outcome = sender().send(edit(url)).await;
        assert!(matches!(outcome, Outcome::InDoubt(_)), "{outcome:?}");
    }
    let (url, _) = scripted(vec![unclear(), Some(answer("403 Forbidden", "", "{}"))]).await;
    let outcome = sender().send(Call::get(url)).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "a read leaves nothing behind: {outcome:?}");
}

#[tokio::test]
async fn only_the_services_own_word_that_a_record_is_missing_ends_a_doubt() {
    let unclear = || Some(answer("503 Service Unavailable", "retry-after: 0\r\n", "{}"));
    let config = SenderConfig { record_missing: |reply| reply.text().contains("NotFound"), ..config() };
    for (body, missing) in [("{\"code\":\"NotFound\"}", true), ("{\"code\":\"NotF", false), ("", false)] {
        let (url, _) = scripted(vec![unclear(), Some(answer("404 Not Found", "", body))]).await;
        let call = Call::new(Method::DELETE, url).safety(Safety::Repeatable);
        let outcome = Sender::new(config.clone()).unwrap().send(call).await;
        assert_eq!(matches!(outcome, Outcome::Refused(_)), missing, "{body}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::InDoubt(_)), !missing, "{body}: {outcome:?}");
    }
}
