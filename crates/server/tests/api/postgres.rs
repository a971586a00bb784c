//! A throw-away PostgreSQL where one is installed: own directory, own socket, no network. It ends with the test, also
//! when that is killed: its shell waits on a pipe.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub struct Server {
    child: Child,
    dir: TempDir,
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
        let dir = tempfile::tempdir().unwrap();
        let id = Command::new("id").arg("-u").output().unwrap().stdout;
        let root = String::from_utf8(id).unwrap().trim() == "0";
        if root {
            // PostgreSQL refuses to run as root.
            assert!(Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap().success());
        }
        let script = "initdb=$1/initdb; postgres=$1/postgres; cd \"$2\" || exit 1\n\
            \"$initdb\" -D data -U postgres -A trust -E UTF8 --no-locale --no-sync >initdb.log 2>&1 || exit 1\n\
            printf 'CREATE ROLE trueup LOGIN\\nALTER DATABASE postgres OWNER TO trueup\\n' \
            | \"$postgres\" --single -D data postgres >role.log 2>&1 || exit 1\n\
            \"$postgres\" -D \"$2/data\" -k \"$2\" -c listen_addresses= $3 >server.log 2>&1 &\n\
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
            .arg(options)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Self { child, dir };
        let socket = server.dir.path().join(".s.PGSQL.5432");
        for _ in 0..300 {
            if socket.exists() {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(socket.exists(), "PostgreSQL did not start within 30 s");
        std::thread::sleep(Duration::from_millis(500));
        Some(server)
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
