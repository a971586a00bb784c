//! A throw-away PostgreSQL: own directory, own Unix socket, no network, no fsync. It ends with the tests, also when they
//! are killed: its shell waits on a pipe that closes with the test process.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tempfile::TempDir;

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

pub struct Server {
    child: Child,
    databases: AtomicU32,
    dir: TempDir,
}

impl Server {
    /// The server of all tests that run at present; none where PostgreSQL is not installed.
    pub async fn shared() -> Option<Arc<Self>> {
        let server = {
            let mut shared = SHARED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match shared.upgrade() {
                Some(server) => server,
                None => {
                    let server = Arc::new(Self::start(&bin()?));
                    *shared = Arc::downgrade(&server);
                    server
                }
            }
        };
        server.answers().await;
        Some(server)
    }

    /// A server for one test alone.
    pub async fn of_its_own() -> Option<Self> {
        let server = Self::start(&bin()?);
        server.answers().await;
        Some(server)
    }

    async fn answers(&self) {
        for _ in 0..300 {
            if let Ok(db) = PgConnection::connect(&self.url("postgres")).await {
                db.close().await.unwrap();
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("PostgreSQL did not start within 30 s");
    }

    fn start(bin: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root =
            String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0";
        if root {
            // PostgreSQL refuses to run as root.
            assert!(Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap().success());
        }
        let script = "initdb=$1/initdb; postgres=$1/postgres; cd \"$2\" || exit 1\n\
            \"$initdb\" -D data -U postgres -A trust -E UTF8 --no-locale --no-sync >initdb.log 2>&1 || exit 1\n\
            \"$postgres\" -D \"$2/data\" -k \"$2\" -c listen_addresses= -c fsync=off -c synchronous_commit=off \
            -c full_page_writes=off -c max_connections=200 >server.log 2>&1 &\n\
            server=$!; cat >/dev/null; kill -QUIT $server; wait $server";
        let mut command = if root {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--", "sh"]);
            command
        } else {
            Command::new("sh")
        };
        let child = command
            .args(["-c", script, "sh"])
            .arg(bin)
            .arg(dir.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("the shell starts");
        Self { child, databases: AtomicU32::new(0), dir }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.dir.path().display())
    }

    /// A new database of a role that is no superuser, as it should be: its address for that role, and for one that is
    /// above everything.
    pub async fn new_database(&self) -> (String, String) {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut db = PgConnection::connect(&self.url("postgres")).await.unwrap();
        // Each its own: two tests that make one role at once would be in each other's way.
        for sql in [format!("CREATE ROLE {name} LOGIN"), format!("CREATE DATABASE {name} OWNER {name}")] {
            db.execute(AssertSqlSafe(sql)).await.unwrap();
        }
        db.close().await.unwrap();
        let above = self.url(&name);
        (above.replace("//postgres@", &format!("//{name}@")), above)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
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
