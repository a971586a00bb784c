//! The worked example of the README, command by command: what stands there is what the program prints.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn trueup() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trueup"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TRUEUP_")) {
        command.env_remove(name);
    }
    command.current_dir(root());
    command
}

struct Sandbox(Child);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The commands of the example with the lines that the README shows below each.
fn example(readme: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match (inside, line) {
            (false, "```text") => inside = true,
            (true, "```") => inside = false,
            (true, line) => match line.strip_prefix("$ trueup ") {
                Some(command) => found.push((command.to_owned(), Vec::new())),
                None => found.last_mut().unwrap().1.push(line.to_owned()),
            },
            (false, _) => {}
        }
    }
    found
}

/// A line as words, with what differs from run to run left open.
fn words(line: &str) -> Vec<String> {
    let is_plan = |word: &str| word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let is_instant = |word: &str| word.len() > 20 && word.ends_with('Z') && word.contains('T');
    let open = |word: &str| if is_plan(word) || is_instant(word) { "*".to_owned() } else { word.to_owned() };
    line.split_whitespace().map(open).collect()
}

/// Whether the shown words stand in the printed line in this order: whole columns may be left away.
fn stands_in(shown: &[String], printed: &[String]) -> bool {
    let mut printed = printed.iter();
    shown.iter().all(|word| printed.any(|other| other == word))
}

#[test]
fn the_example_of_the_readme_comes_out_as_printed() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let commands = example(&readme);
    assert!(commands.len() >= 9, "the README has an example: {commands:?}");
    let mut child = trueup()
        .args(["sandbox", "--seed", "docs/example/seed.json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let _sandbox = Sandbox(child);
    let access: serde_json::Value = serde_json::from_str(&line).unwrap();
    let access = |name: &str| access[name].as_str().unwrap().to_owned();
    let data = tempfile::tempdir().unwrap();
    let mut plan = String::new();
    for (command, shown) in commands {
        let filled = command
            .replace("http://127.0.0.1:8474", &access("url"))
            .replace("--company COMPANY", &format!("--company {}", access("company")))
            .replace("--public-key KEY", &format!("--public-key {}", access("public_key")))
            .replace("--client-id ID", &format!("--client-id {}", access("client_id")));
        let args: Vec<String> = filled
            .split_whitespace()
            .map(|word| if words(word) == ["*"] { plan.clone() } else { word.to_owned() })
            .collect();
        let output = trueup()
            .args(&args)
            .env("TRUEUP_DATA_DIR", data.path())
            .env("TRUEUP_TODAY", "2023-03-20")
            .env("TRUEUP_ACTOR", "billing")
            .env("TRUEUP_CONNECTWISE_PRIVATE_KEY", access("private_key"))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}: {text}{}", String::from_utf8_lossy(&output.stderr));
        let lines: Vec<&str> = text.lines().collect();
        if let Some(word) = lines.first().and_then(|line| line.strip_prefix("Plan ")) {
            plan = word.split_whitespace().next().unwrap().to_owned();
        }
        let mut printed = lines.iter();
        for line in shown.iter().filter(|line| line.trim() != "...") {
            assert!(
                printed.any(|printed| stands_in(&words(line), &words(printed))),
                "`trueup {command}` does not print, at this place:\n{line}\nIt prints:\n{text}"
            );
        }
    }
}
