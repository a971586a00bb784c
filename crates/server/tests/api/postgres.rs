//! A throw-away PostgreSQL where one is installed: own directory, own socket, no network. It ends with the test, also
//! when that is killed: its shell waits on a pipe.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

pub struct Server {
    child: Child,
    dir: TempDir,
}

/// An empty installation, made once a process; each server begins with a copy. Its shell takes it away when the process
/// has ended, however that was.
struct Made {
    _shell: Child,
    dir: PathBuf,
}

static MADE: OnceLock<Made> = OnceLock::new();

impl Made {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap().keep();
        give(&dir);
        let script = "(\"$1/initdb\" -D data -U postgres -A trust -E UTF8 --no-locale --no-sync \
            && printf 'CREATE ROLE trueup LOGIN\\nALTER DATABASE postgres OWNER TO trueup\\n' \
            | \"$1/postgres\" --single -D data postgres) >made.log 2>&1 && echo made\n\
            cat >/dev/null; cd / && rm -rf \"$2\"";
        let mut shell = shell(&dir, script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "made\n", "initdb: {:?}", std::fs::read_to_string(dir.join("made.log")));
        Self { _shell: shell, dir }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    String::from_utf8(id).unwrap().trim() == "0"
}

/// PostgreSQL refuses to run as root: then its own user does it.
fn give(dir: &Path) {
    if is_root() {
        assert!(Command::new("chown").arg("postgres").arg(dir).status().unwrap().success());
    }
}

/// A shell in a directory, as a user whom PostgreSQL accepts: `$1` are its programs, `$2` is the directory.
fn shell(dir: &Path, script: &str) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    let script = format!("cd \"$2\" || exit 1\n{script}");
    command.args(["-c", &script, "sh"]).arg(bin().unwrap()).arg(dir).stdin(Stdio::piped());
    command
}

impl Server {
    /// None where PostgreSQL is not installed.
    pub fn start() -> Option<Self> {
        Self::started("-c fsync=off -c synchronous_commit=off -c full_page_writes=off")
    }

    /// One that a power cut does not harm, as it comes.
    #[allow(dead_code, reason = "a benchmark's")]
    pub fn durable() -> Option<Self> {
        Self::started("")
    }

    fn started(options: &str) -> Option<Self> {
        let bin = bin()?;
        let made = MADE.get_or_init(Made::new);
        let dir = tempfile::tempdir().unwrap();
        give(dir.path());
        let script = "cp -R \"$4\" data || exit 1\n\
            \"$1/postgres\" -D \"$2/data\" -k \"$2\" -c listen_addresses= $3 >server.log 2>&1 &\n\
            server=$!; cat >/dev/null; kill -QUIT $server; wait $server; cd / && rm -rf \"$2\"";
        let child = shell(dir.path(), script).arg(options).arg(made.dir.join("data")).spawn().unwrap();
        let server = Self { child, dir };
        for _ in 0..3_000 {
            let ready = Command::new(bin.join("pg_isready"))
                .args(["-q", "-h"])
                .arg(server.dir.path())
                .status()
                .unwrap();
            if ready.success() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("PostgreSQL did not start within 30 s");
    }

    /// A database of its own on a server that all tests of the process share, where the suite is asked to run on
    /// PostgreSQL.
    #[allow(dead_code, reason = "not every test that shares the server needs it")]
    pub fn database() -> Option<String> {
        static SHARED: OnceLock<Server> = OnceLock::new();
        static MADE: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os("TRUEUP_TEST_ON").is_none_or(|wanted| wanted != "postgres") {
            return None;
        }
        let server =
            SHARED.get_or_init(|| Self::start().expect("TRUEUP_TEST_ON=postgres, and there is none"));
        let name = format!("bench{}", MADE.fetch_add(1, Ordering::Relaxed));
        let sql = format!("CREATE DATABASE {name} OWNER trueup");
        let mut psql = tool("psql");
        let made = psql
            .args(["-q", "-X", "-U", "postgres", "-d", "postgres", "-c", &sql, "-h"])
            .arg(server.dir.path());
        assert!(made.status().unwrap().success());
        Some(server.url().replacen("/postgres?", &format!("/{name}?"), 1))
    }

    pub fn url(&self) -> String {
        // No superuser, so that row-level security holds.
        format!("postgres://trueup@localhost/postgres?host={}", self.dir.path().display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// A tool that comes with the server.
#[allow(dead_code, reason = "not every test that shares the server needs it")]
pub fn tool(name: &str) -> Command {
    Command::new(bin().unwrap().join(name))
}

fn bin() -> Option<PathBuf> {
    if let Some(bin) = std::env::var_os("TRUEUP_TEST_PG_BIN") {
        return Some(PathBuf::from(bin));
    }
    let mut bins: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
        .collect();
    bins.sort();
    bins.pop()
}
