//! Mails about findings, by a small server of the test's own.

use crate::bench::{Backend, Person, Service};
use rstest::rstest;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const ORG: &str = "/api/v1/organizations/default";

/// What the server does with the next mails; the last one for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Takes it.
    Takes,
    /// Takes it, and never says so.
    TakesSilently,
    /// Asks to come again.
    Later,
    /// Takes nothing for this address.
    Refuses,
    /// Takes nothing any more today.
    IsFull,
}

/// A mail that was taken: envelope and text.
#[derive(Clone, Debug)]
struct Mail {
    to: String,
    text: String,
}

impl Mail {
    fn header(&self, name: &str) -> String {
        let head = self.text.split("\n\n").next().unwrap();
        head.lines().find_map(|l| l.strip_prefix(&format!("{name}: "))).unwrap_or_default().to_owned()
    }
}

#[derive(Clone)]
struct Server {
    at: SocketAddr,
    taken: Arc<Mutex<Vec<Mail>>>,
    asked: Arc<Mutex<usize>>,
    logins: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(script: &'static [Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            at: listener.local_addr().unwrap(),
            taken: Arc::default(),
            asked: Arc::default(),
            logins: Arc::default(),
        };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.talk(stream, script));
            }
        });
        server
    }

    fn talk(&self, stream: TcpStream, script: &[Does]) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let say = |words: &str| writeln!(&stream, "{words}\r").ok();
        say("220 mail.test")?;
        let (mut to, mut line) = (String::new(), String::new());
        let mut does = *script.last().unwrap();
        loop {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let word = line.split_whitespace().next().unwrap_or_default().to_uppercase();
            match word.as_str() {
                "EHLO" => say("250-mail.test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME")?,
                "AUTH" => {
                    self.logins.lock().unwrap().push(line.trim().to_owned());
                    say("235 known")?
                }
                "MAIL" => say("250 fine")?,
                "RCPT" => {
                    to = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                    let mut asked = self.asked.lock().unwrap();
                    does = *script.get(*asked).or(script.last()).unwrap();
                    *asked += 1;
                    drop(asked);
                    match does {
                        Does::Later => say("451 come again")?,
                        Does::Refuses => say("550 nobody here")?,
                        Does::IsFull => say("550 5.4.5 daily sending quota exceeded")?,
                        Does::Takes | Does::TakesSilently => say("250 fine")?,
                    }
                }
                "DATA" => {
                    say("354 go on")?;
                    let mut text = String::new();
                    loop {
                        line.clear();
                        reader.read_line(&mut line).ok()?;
                        if line.trim_end() == "." {
                            break;
                        }
                        text.push_str(line.trim_end_matches(['\r', '\n']));
                        text.push('\n');
                    }
                    self.taken.lock().unwrap().push(Mail { to: to.clone(), text });
                    if does == Does::TakesSilently {
                        std::thread::sleep(Duration::from_secs(600));
                    }
                    say("250 taken")?
                }
                "QUIT" => {
                    say("221 bye")?;
                    return None;
                }
                _ => say("250 fine")?,
            };
        }
    }

    fn all(&self) -> Vec<Mail> {
        self.taken.lock().unwrap().clone()
    }

    #[track_caller]
    fn wait(&self, count: usize) -> Vec<Mail> {
        let began = Instant::now();
        while self.all().len() < count {
            assert!(began.elapsed() < Duration::from_secs(40), "{} of {count} came in", self.all().len());
            std::thread::sleep(Duration::from_millis(50));
        }
        self.all()
    }

    fn service(&self, backend: Backend, more: &[(&str, &str)]) -> Option<Service> {
        let port = self.at.port().to_string();
        let own = [
            ("TRUEUP_MAIL_HOST", "127.0.0.1"),
            ("TRUEUP_MAIL_PORT", port.as_str()),
            ("TRUEUP_MAIL_SECURITY", "none"),
            ("TRUEUP_MAIL_FROM", "trueup@example.com"),
        ];
        Service::start(backend, &[&own[..], more].concat())
    }
}

fn set(person: &Person<'_>, key: &str, value: &str) {
    person.put(&format!("{ORG}/settings/{key}"), &json!({ "value": value })).is(200);
}

/// A webhook that is gone is said with an error: the easiest one to have.
fn an_error(person: &Person<'_>, name: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let _ =
                write!(reader.get_mut(), "HTTP/1.1 410 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let body = json!({ "name": name, "url": format!("http://{at}/"), "events": ["run.finished"] });
    let made = person.post(&format!("{ORG}/webhooks"), &body).is(201).json();
    let test = format!("{ORG}/webhooks/{}/test", made["id"].as_str().unwrap());
    person.post(&test, &json!({})).is(200);
}

const LISTED: (&str, &str) = ("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1");

#[rstest]
fn an_error_is_told_at_once_to_everybody_and_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let server = Server::start(&[Does::Later, Does::Takes]);
    let login = [("TRUEUP_MAIL_USER", "robot"), ("TRUEUP_MAIL_PASSWORD", "s3cret-of-mail"), LISTED];
    let Some(service) = server.service(backend, &login) else { return };
    let person = service.operator();
    set(&person, "notify.to", "ann@example.com, bob@example.com");
    set(&person, "notify.language", "de");
    an_error(&person, "first");
    let got = server.wait(2);
    let mut to: Vec<&str> = got.iter().map(|m| m.to.as_str()).collect();
    to.sort_unstable();
    assert_eq!(to, ["ann@example.com", "bob@example.com"]);
    assert!(got[0].header("Subject").contains("1 Fehler"), "{}", got[0].text);
    assert!(got[0].text.contains("TU9201"), "{}", got[0].text);
    assert!(got[0].header("Message-ID").ends_with("@example.com>"), "{}", got[0].text);
    assert_ne!(got[0].header("Message-ID"), got[1].header("Message-ID"));
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(server.all().len(), 2, "nothing is told twice");
    assert!(!server.logins.lock().unwrap().is_empty());
    // What is told is in no log and no answer with the password.
    let log = std::fs::read_to_string(service.log()).unwrap();
    assert!(!log.contains("s3cret-of-mail"));
}

#[rstest]
fn a_process_that_dies_while_it_mails_loses_nothing_and_is_known_by_the_id(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let server = Server::start(&[Does::TakesSilently, Does::Takes]);
    let Some(mut service) = server.service(backend, &[LISTED]) else { return };
    {
        let person = service.operator();
        set(&person, "notify.to", "ann@example.com");
        an_error(&person, "first");
    }
    let first = server.wait(1).remove(0);
    service.kill();
    service.up();
    let again = server.wait(2).remove(1);
    assert_eq!(first.header("Message-ID"), again.header("Message-ID"), "receivers know it by its id");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(server.all().len(), 2);
}

#[rstest]
fn an_address_that_nobody_has_is_said(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let server = Server::start(&[Does::Refuses]);
    let Some(service) = server.service(backend, &[LISTED]) else { return };
    let person = service.operator();
    set(&person, "notify.to", "nobody@example.com");
    an_error(&person, "first");
    let began = Instant::now();
    loop {
        let all = person.get(&format!("{ORG}/findings?code=TU9201")).is(200).text();
        if all.contains("nobody@example.com") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{all}");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(
        person.put(&format!("{ORG}/settings/notify.to"), &json!({ "value": "x" })).problem(422),
        "invalid"
    );
}

/// Only the server of this day is at fault: the mail waits, it is said, and once it is taken there is nothing to say.
#[rstest]
fn a_mail_refused_by_the_server_itself_is_tried_again_and_its_finding_closes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let server = Server::start(&[Does::IsFull, Does::IsFull, Does::Takes]);
    let Some(service) = server.service(backend, &[LISTED]) else { return };
    let person = service.operator();
    set(&person, "notify.to", "ann@example.com");
    an_error(&person, "first");
    let told = |state: &str| {
        let all = person.get(&format!("{ORG}/findings?code=TU9201&state={state}")).is(200).json();
        let items = all["items"].as_array().unwrap().clone();
        items.iter().any(|f| f["message"].as_str().unwrap().contains("ann@example.com"))
    };
    let wait = |state: &str| {
        let began = Instant::now();
        while !told(state) {
            assert!(began.elapsed() < Duration::from_secs(60), "it is not {state}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait("open,recurred");
    let got = server.wait(1);
    assert_eq!(got[0].to, "ann@example.com");
    wait("resolved");
    assert!(!told("open,recurred"));
}

#[rstest]
fn what_waits_is_told_once_a_day(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let server = Server::start(&[Does::Takes]);
    let Some(mut service) = server.service(backend, &[LISTED]) else { return };
    let pass = {
        let person = service.operator();
        set(&person, "notify.to", "ann@example.com");
        set(&person, "notify.errors", "digest");
        set(&person, "notify.digest", "daily 00:00");
        an_error(&person, "first");
        an_error(&person, "second");
        std::thread::sleep(Duration::from_secs(5));
        person.pass()
    };
    assert!(server.all().is_empty(), "it waits for the time of the day");
    // The last digest was two days ago.
    service.behind_its_back(async |store| {
        use trueup_engine::ports::Store;
        let org = "default".into();
        let mark = store.load_mark(&org, "mail.digest").await.unwrap().unwrap();
        let before = mark.parse::<i64>().unwrap() - 2 * 86_400_000;
        store.save_mark(&org, "mail.digest", &before.to_string()).await.unwrap();
    });
    let got = server.wait(1);
    assert!(got[0].header("Subject").contains("2 new findings"), "{}", got[0].text);
    an_error(&service.known(&pass), "third");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(server.all().len(), 1, "the next one is that of tomorrow");
}
