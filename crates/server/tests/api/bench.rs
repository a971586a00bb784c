//! A workbench: the service in a process of its own, and people who are signed in to it.

use super::http::{Answer, Request};
use super::postgres;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use trueup_store::{SqlStore, StoreConfig};

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// The address of the first administrator.
pub const FIRST: &str = "first@example.com";
/// The password that people of the tests choose.
pub const PASSWORD: &str = "correct horse battery";

static WORKERS: AtomicU32 = AtomicU32::new(0);

pub struct Service {
    child: Option<Child>,
    pub at: SocketAddr,
    pub announced: Value,
    environment: Vec<(String, String)>,
    args: Vec<String>,
    dir: TempDir,
    postgres: Option<postgres::Server>,
}

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRUEUP_")) {
        command.env_remove(name);
    }
    command
}

impl Service {
    /// On an empty database; none (and a word about it) where there is no PostgreSQL.
    pub fn start(backend: Backend, environment: &[(&str, &str)]) -> Option<Self> {
        Self::start_as("all", backend, environment)
    }

    /// The same, in a role.
    pub fn start_as(role: &str, backend: Backend, environment: &[(&str, &str)]) -> Option<Self> {
        let postgres = match backend {
            Backend::Sqlite => None,
            Backend::Postgres => match postgres::Server::start() {
                Some(server) => Some(server),
                None => {
                    println!("skipped: no PostgreSQL");
                    return None;
                }
            },
        };
        let mut environment: Vec<(String, String)> =
            environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        environment.push(("TRUEUP_ADMIN_EMAIL".to_owned(), FIRST.to_owned()));
        if let Some(server) = &postgres {
            environment.push(("TRUEUP_DATABASE_URL".to_owned(), server.url()));
        }
        let mut service = Self {
            child: None,
            at: SocketAddr::from(([127, 0, 0, 1], 0)),
            announced: Value::Null,
            environment,
            args: vec!["--role".to_owned(), role.to_owned()],
            dir: tempfile::tempdir().unwrap(),
            postgres,
        };
        service.up();
        Some(service)
    }

    /// SQLite, as most tests want it.
    pub fn sqlite() -> Self {
        Self::start(Backend::Sqlite, &[]).unwrap()
    }

    /// A file or directory of the bench; the data directory is `data`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Everything the service said on standard error so far.
    pub fn log(&self) -> PathBuf {
        self.path("service.log")
    }

    /// Where its database is, on PostgreSQL.
    #[allow(dead_code, reason = "not every test that shares the bench needs it")]
    pub fn database(&self) -> Option<String> {
        self.postgres.as_ref().map(postgres::Server::url)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = binary();
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("TRUEUP_DATA_DIR", self.dir.path().join("data"))
            .envs(self.environment.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        command
    }

    /// A worker in a process of its own, beside this one: on PostgreSQL alone.
    pub fn worker(&self) -> Child {
        self.worker_in(&format!("worker-{}", WORKERS.fetch_add(1, Ordering::Relaxed)))
    }

    /// The same, in a data directory by this name.
    pub fn worker_in(&self, name: &str) -> Child {
        // The key of the connections is the same in each.
        let own = self.dir.path().join(name);
        std::fs::create_dir_all(&own).unwrap();
        for file in std::fs::read_dir(self.dir.path().join("data")).unwrap().flatten() {
            if file.file_name().to_string_lossy().contains("key") {
                std::fs::copy(file.path(), own.join(file.file_name())).unwrap();
            }
        }
        self.command(&["serve", "--role", "worker"])
            .env("TRUEUP_DATA_DIR", own)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Starts the process (again).
    pub fn up(&mut self) {
        let serve = self.command(&["--format", "json", "serve", "--listen", "127.0.0.1:0"]);
        // A file that may not grow is an error of the write, as a full disk is, and not the end of the process.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]).arg(serve.get_program());
        command.args(serve.get_args()).args(&self.args).current_dir(self.dir.path()).stdin(Stdio::null());
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut words = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut words);
            panic!("the service did not start: {words}");
        }
        // Read on, so that the process never waits for its reader.
        let mut err = child.stderr.take().unwrap();
        let mut log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        std::thread::spawn(move || std::io::copy(&mut err, &mut log));
        self.announced = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.at = self.announced["listen"].as_str().unwrap().parse().unwrap();
        self.child = Some(child);
    }

    /// Starts the process again, in another role.
    pub fn up_as(&mut self, role: &str) {
        self.args = vec!["--role".to_owned(), role.to_owned()];
        self.up();
    }

    /// The process's id; 0 where none runs.
    #[allow(dead_code, reason = "benchmarks look at its memory")]
    pub fn process(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Kills the process: it writes nothing down any more.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops the process, works on its database, and starts it again.
    pub fn behind_its_back(&mut self, work: impl AsyncFnOnce(&SqlStore)) {
        assert_eq!(self.stop(), 0);
        let config = StoreConfig {
            data_dir: self.path("data"),
            database_url: self.postgres.as_ref().map(postgres::Server::url),
        };
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let store = SqlStore::open(config).await.unwrap();
            work(&store).await;
            store.close().await.unwrap();
        });
        self.up();
    }

    /// Somebody who is signed in already.
    pub fn known(&self, (cookie, csrf): &(String, String)) -> Person<'_> {
        Person { service: self, cookie: cookie.clone(), csrf: csrf.clone() }
    }

    /// Asks the process to stop, and gives its exit code.
    pub fn stop(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        for _ in 0..300 {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let _ = child.kill();
        panic!("the service did not stop within 30 s");
    }

    /// Runs a command while the service is down (SQLite) or beside it (PostgreSQL).
    pub fn run(&self, args: &[&str]) -> Value {
        let output = self.command(&[&["--format", "json"], args].concat()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}: {text} {}", String::from_utf8_lossy(&output.stderr)))
    }

    pub fn get(&self, path: &str) -> Answer {
        Request::new("GET", path).send(self.at)
    }

    /// The first administrator, signed in, with a password of its own.
    pub fn operator(&self) -> Person<'_> {
        let password = self.announced["first_administrator"]["one_time_password"].as_str().unwrap();
        Person::welcome(self, FIRST, password)
    }

    pub fn sign_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        Request::new("POST", "/api/v1/session").json(&body).send(self.at)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        drop(self.postgres.take());
    }
}

/// Somebody who is signed in.
pub struct Person<'a> {
    pub service: &'a Service,
    pub cookie: String,
    pub csrf: String,
}

impl<'a> Person<'a> {
    pub fn sign_in(service: &'a Service, email: &str, password: &str) -> Self {
        let answer = service.sign_in(email, password).is(200);
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let csrf = answer.json()["csrf_token"].as_str().unwrap().to_owned();
        Self { service, cookie, csrf }
    }

    /// Signs in with a one-time password and chooses another.
    pub fn welcome(service: &'a Service, email: &str, one_time: &str) -> Self {
        let person = Self::sign_in(service, email, one_time);
        let body = json!({ "current": one_time, "new": PASSWORD });
        person.put("/api/v1/session/password", &body).is(200);
        person
    }

    /// What a browser keeps of the sign-in: it outlives the process.
    pub fn pass(&self) -> (String, String) {
        (self.cookie.clone(), self.csrf.clone())
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("cookie", &self.cookie).header("x-csrf-token", &self.csrf)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send(self.service.at)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path).json(body).send(self.service.at)
    }

    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path).json(body).send(self.service.at)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.request("PATCH", path).json(body).send(self.service.at)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path).send(self.service.at)
    }

    /// Adds an organization.
    pub fn organization(&self, id: &str, parent: Option<&str>) {
        let body = json!({ "id": id, "parent": parent });
        self.post("/api/v1/organizations", &body).is(201);
    }

    /// Adds somebody to an organization and signs them in: (address, person).
    pub fn colleague(&self, org: &str, role: &str) -> Person<'a> {
        let email = format!("{role}@{org}.example.com");
        let body = json!({ "email": email, "role": role });
        let added = self.post(&format!("/api/v1/organizations/{org}/users"), &body).is(201).json();
        Person::welcome(self.service, &email, added["one_time_password"].as_str().unwrap())
    }
}
