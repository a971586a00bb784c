//! Traces: requests and runs are told to a collector, and calls say to which trace they belong. Off by itself.

use crate::bench::{Backend, Service};
use serde_json::json;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type Seen = Arc<Mutex<Vec<(String, Vec<String>, Vec<u8>)>>>;

/// Takes whatever comes: the first line, the headers and the body.
fn listen(status: u16) -> (SocketAddr, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let seen = Seen::default();
    let all = seen.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut first, mut headers, mut line) = (String::new(), Vec::new(), String::new());
            let _ = reader.read_line(&mut first);
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                headers.push(line.trim().to_ascii_lowercase());
                line.clear();
            }
            let length =
                headers.iter().find_map(|h| h.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            all.lock().unwrap().push((first, headers, body));
            let head = "content-type: application/json\r\nconnection: close";
            let _ =
                write!(reader.get_mut(), "HTTP/1.1 {status} X\r\n{head}\r\ncontent-length: 2\r\n\r\n{{}}");
        }
    });
    (at, seen)
}

#[test]
fn requests_are_traced_and_calls_carry_their_trace() {
    let (collector, spans) = listen(200);
    let (other, calls) = listen(401);
    let endpoint = format!("http://{collector}/v1/traces");
    let environment =
        [("TRUEUP_TRACES_ENDPOINT", endpoint.as_str()), ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")];
    let mut service = Service::start(Backend::Sqlite, &environment).unwrap();
    let person = service.operator();
    let body = json!({
        "url": format!("http://{other}"), "company": "a", "public_key": "b", "private_key": "c", "client_id": "d",
    });
    person.post("/api/v1/organizations/default/connections", &body);
    let parent = calls.lock().unwrap().iter().find_map(|(_, headers, _)| {
        headers.iter().find_map(|h| h.strip_prefix("traceparent: ").map(str::to_owned))
    });
    let parent = parent.unwrap_or_else(|| panic!("no call carried its trace: {:?}", calls.lock().unwrap()));
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts.len(), parts[0], parts[1].len(), parts[2].len()), (4, "00", 32, 16), "{parent}");
    assert_eq!(service.stop(), 0);
    let began = Instant::now();
    while spans.lock().unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(10), "nothing was told");
        std::thread::sleep(Duration::from_millis(100));
    }
    let told = spans.lock().unwrap();
    assert!(told[0].0.starts_with("POST /v1/traces"), "{}", told[0].0);
    let all: Vec<u8> = told.iter().flat_map(|(_, _, body)| body.clone()).collect();
    let id: Vec<u8> =
        (0..32).step_by(2).map(|at| u8::from_str_radix(&parts[1][at..at + 2], 16).unwrap()).collect();
    let holds = |wanted: &[u8]| all.windows(wanted.len()).any(|part| part == wanted);
    assert!(holds(b"request") && holds(b"trueup"), "spans of requests");
    assert!(holds(&id), "the trace of the call");
}

#[test]
fn nothing_is_told_unless_it_is_configured() {
    let (other, calls) = listen(401);
    let service = Service::start(Backend::Sqlite, &[("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")]).unwrap();
    let person = service.operator();
    let body = json!({
        "url": format!("http://{other}"), "company": "a", "public_key": "b", "private_key": "c", "client_id": "d",
    });
    person.post("/api/v1/organizations/default/connections", &body);
    let calls = calls.lock().unwrap();
    assert!(!calls.is_empty());
    assert!(calls.iter().all(|(_, headers, _)| !headers.iter().any(|h| h.starts_with("traceparent"))));
}
