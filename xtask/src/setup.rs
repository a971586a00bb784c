//! What the tests and checks need beyond Rust. Every step looks first and is quick when it is done already.
//!
//! Nothing here is needed to build or use trueup. A step that cannot be done on this machine names the one
//! line that would do it, and the tests that want it say that they are skipped. In CI (`CI` is set) such a
//! gap is an error instead: a suite that quietly skips proves nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{output, root, run, succeeds};

/// One version for everybody: a newer one may judge the same tree differently.
const CARGO_DENY: &str = "0.20.2";
const REQUIREMENTS: &str = "crates/sandbox/conformance/requirements.txt";

/// Where the tests find what was set up; handed to them in the environment.
#[derive(Debug, Default)]
pub struct TestTools {
    /// Folder of `initdb` and `postgres`: `TRUEUP_TEST_PG_BIN`.
    pub postgres: Option<PathBuf>,
    /// The Python with the conformance suite's packages: `TRUEUP_TEST_PYTHON`.
    pub python: Option<PathBuf>,
    /// The program that drives a browser: `TRUEUP_TEST_CHROMEDRIVER`.
    pub browser: Option<PathBuf>,
}

impl TestTools {
    /// Sets the variables by which tests find the tools.
    pub fn export(&self, command: &mut Command) {
        if let Some(folder) = &self.postgres {
            command.env("TRUEUP_TEST_PG_BIN", folder);
        }
        if let Some(python) = &self.python {
            command.env("TRUEUP_TEST_PYTHON", python);
        }
        if let Some(driver) = &self.browser {
            command.env("TRUEUP_TEST_CHROMEDRIVER", driver);
        }
    }
}

/// PostgreSQL, the Python environment and a browser.
pub fn for_tests() -> Result<TestTools> {
    Ok(TestTools {
        postgres: or_skip("PostgreSQL", postgres())?,
        python: or_skip("the conformance suite's Python", python())?,
        browser: or_skip("a browser", browser())?,
    })
}

/// Outside CI a missing tool costs its tests, not the run.
fn or_skip(what: &str, found: Result<Option<PathBuf>>) -> Result<Option<PathBuf>> {
    match found {
        Err(error) if std::env::var_os("CI").is_none() => {
            eprintln!(
                "xtask: {what} is not there, the tests that need it will say they are skipped: {error:#}"
            );
            Ok(None)
        }
        other => other.with_context(|| format!("setting up {what}")),
    }
}

fn postgres() -> Result<Option<PathBuf>> {
    if let Some(folder) = find_postgres() {
        return Ok(Some(folder));
    }
    if !debian_root() {
        bail!("install it with: sudo apt-get install -y postgresql (or set TRUEUP_TEST_PG_BIN)");
    }
    apt_install(&["postgresql"])?;
    find_postgres().map(Some).context("the postgresql package brought no initdb under /usr/lib/postgresql")
}

/// An explicit folder first, then Debian's (the newest), then whatever `pg_config` points to.
fn find_postgres() -> Option<PathBuf> {
    let complete = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    if let Some(folder) = std::env::var_os("TRUEUP_TEST_PG_BIN").map(PathBuf::from) {
        return Some(folder).filter(complete);
    }
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin"))))
        .filter(|(_, folder)| complete(folder))
        .collect();
    versions.sort();
    versions
        .pop()
        .map(|(_, folder)| folder)
        .or_else(|| output(Command::new("pg_config").arg("--bindir")).map(PathBuf::from).filter(complete))
}

/// Chromium with the program that drives it.
fn browser() -> Result<Option<PathBuf>> {
    let named = std::env::var_os("TRUEUP_TEST_CHROMEDRIVER").map(PathBuf::from);
    let driver = named.unwrap_or_else(|| PathBuf::from("chromedriver"));
    let is_there = || succeeds(Command::new(&driver).arg("--version"));
    if !is_there() {
        if !debian_root() {
            bail!(
                "install it with: sudo apt-get install -y chromium chromium-driver (or set TRUEUP_TEST_CHROMEDRIVER)"
            );
        }
        apt_install(&["chromium", "chromium-driver"])?;
        if !is_there() {
            bail!("the chromium-driver package brought no chromedriver");
        }
    }
    Ok(Some(driver))
}

/// A virtual environment in `.tools/`, made again only when the requirements changed.
fn python() -> Result<Option<PathBuf>> {
    let requirements = root().join(REQUIREMENTS);
    let Ok(wanted) = fs::read_to_string(&requirements) else {
        return Ok(None);
    };
    let venv = root().join(".tools/python");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let stamp = venv.join("requirements.installed");
    let current = fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted);
    if current && succeeds(Command::new(&python).arg("--version")) {
        return Ok(Some(python));
    }
    python_venv()?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"])
        .arg(&requirements))?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(Some(python))
}

/// A Python that can make virtual environments.
pub fn python_venv() -> Result<()> {
    if succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        return Ok(());
    }
    if !debian_root() {
        bail!("install it with: sudo apt-get install -y python3-venv");
    }
    apt_install(&["python3-venv"])
}

/// The pinned cargo-deny, built once into `.tools/` (three minutes on two cores) unless it is installed.
pub fn cargo_deny() -> Result<PathBuf> {
    let tools = root().join(".tools");
    let own = tools.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    for candidate in [PathBuf::from("cargo-deny"), own.clone()] {
        let version = output(Command::new(&candidate).arg("--version"));
        if version.is_some_and(|version| version.ends_with(&format!(" {CARGO_DENY}"))) {
            return Ok(candidate);
        }
    }
    eprintln!("xtask: building cargo-deny {CARGO_DENY} into .tools/, once");
    run(crate::run::cargo()
        .args(["install", "cargo-deny", "--quiet", "--locked", "--force", "--version", CARGO_DENY])
        .arg("--root")
        .arg(&tools)
        // Not the project's own target folder: the two share nothing, and this one can be thrown away.
        .env("CARGO_TARGET_DIR", tools.join("build")))?;
    // A leftover costs only disk, so a failure to remove it is no failure of the set-up.
    let _ = fs::remove_dir_all(tools.join("build"));
    Ok(own)
}

/// Whether packages of Debian can be installed here.
pub fn debian_root() -> bool {
    let root_user = output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
    root_user && succeeds(Command::new("apt-get").arg("--version"))
}

/// Installs packages of Debian.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    run(apt().args(["update", "-qq"]))?;
    run(apt().args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
