//! The service against its own OpenAPI document: requests made up from it, and every answer judged by it.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{cargo, output, root, run as carry_out, succeeds};

/// One version for everybody: another one makes up other requests.
const PACKAGE: &str = "schemathesis==4.32.5";

/// Builds the service, starts it over the demonstration's world and lets schemathesis at it; arguments go to that.
pub fn run(arguments: &[OsString]) -> Result<()> {
    let python = environment()?;
    carry_out(cargo().args(["build", "-p", "trueup-server", "--bin", "trueup"]))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir));
    let program = target.join("debug").join(format!("trueup{}", std::env::consts::EXE_SUFFIX));
    let script = root().join("xtask/schemathesis/run.py");
    let reports = target.join("schemathesis");
    carry_out(Command::new(python).arg(script).arg(program).arg(reports).args(arguments).current_dir(root()))
}

/// A virtual environment in `.tools/`, made once.
fn environment() -> Result<std::path::PathBuf> {
    let venv = root().join(".tools/schemathesis");
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let wanted = PACKAGE.trim_start_matches("schemathesis==");
    let version = "import importlib.metadata as m; print(m.version('schemathesis'))";
    if output(Command::new(&python).args(["-c", version])).as_deref() == Some(wanted) {
        return Ok(python);
    }
    make(&venv)?;
    carry_out(Command::new(&python).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        PACKAGE,
    ]))?;
    Ok(python)
}

fn make(venv: &Path) -> Result<()> {
    if !succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
        bail!("there is no Python with venv; install it with: sudo apt-get install -y python3-venv");
    }
    carry_out(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv))
}
