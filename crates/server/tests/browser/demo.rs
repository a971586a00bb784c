//! The demonstration in a process of its own, as `cargo demo` starts it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

pub struct Demo {
    child: Child,
    /// The one address that it prints: it signs in.
    pub address: String,
    _dir: TempDir,
}

impl Demo {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRUEUP_")) {
            command.env_remove(name);
        }
        let mut child = command
            .current_dir(dir.path())
            .args(["demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(dir.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "the demo ended: {said}");
            if let Some(address) = line.strip_prefix("Open the console: ") {
                break address.trim().to_owned();
            }
            said.push_str(&line);
        };
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { child, address, _dir: dir }
    }

    /// The address without what signs in.
    pub fn root(&self) -> &str {
        self.address.split("/#").next().unwrap()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
