//! The architecture, guarded by the machine: which crate may know which, and what must never occur where.
//!
//! These tests read manifests and sources as text and build nothing. Each failure names the place, the rule
//! and why the rule stands. Comments, test modules and files that only tests include do not count.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Who may depend on whom. Nothing else may.
const ARROWS: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("transport", &[]),
    ("sandbox", &[]),
    ("engine", &["domain"]),
    ("connectwise", &["domain", "engine", "transport"]),
    ("sources", &["domain", "engine", "transport"]),
    ("store", &["domain", "engine"]),
    ("server", &["domain", "engine", "transport", "connectwise", "sources", "store", "sandbox"]),
];

/// The sandbox shares no type with anyone, so tests of these may run against it.
const TESTS_USE_SANDBOX: [&str; 3] = ["connectwise", "engine", "server"];

/// Names that only ConnectWise's JSON uses. One of them as a literal is a wire name.
const VENDOR_WORDS: [&str; 19] = [
    "additionalDiscount",
    "agreementStatus",
    "billCustomer",
    "billStartDate",
    "billedQuantity",
    "cancelledDate",
    "childConditions",
    "customFieldConditions",
    "effectiveDate",
    "invoiceDescription",
    "lessIncluded",
    "nextInvoiceDate",
    "parentAgreement",
    "prorateFlag",
    "purchaseItemFlag",
    "serialNumber",
    "specialOrderFlag",
    "unitCost",
    "unitPrice",
];

/// Where such a word may stand all the same: (start of the path, words, why).
const VENDOR_WORD_EXCEPTIONS: [(&str, &[&str], &str); 2] = [
    (
        "crates/server/src/output/contract.rs",
        &["billCustomer", "cancelledDate", "effectiveDate", "invoiceDescription", "unitCost", "unitPrice"],
        "the machine-readable plan names an addition's fields as its readers know them from ConnectWise",
    ),
    (
        "crates/sources/src/cloudblue_simpleapi/",
        &["unitCost", "unitPrice"],
        "CloudBlue's own names, which happen to be the same; sources cannot know the ConnectWise crate",
    ),
];

const SQL_CRATES: [&str; 6] = ["sea_orm", "sea_orm_migration", "sea_query", "sqlx", "rusqlite", "diesel"];

// ---- the rules

#[test]
fn crates_depend_only_along_the_arrows() {
    let mut wrong = Vec::new();
    let known: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, to)| (*name, to.iter().copied().collect())).collect();
    for name in crate_names() {
        let Some(allowed) = known.get(name.as_str()) else {
            wrong.push(format!("crates/{name} has no arrows: add it to ARROWS and to ARCHITECTURE.md"));
            continue;
        };
        let manifest = manifest(&crates().join(&name));
        for (section, dependency) in dependencies(&manifest) {
            let Some(target) = dependency.strip_prefix("trueup-") else { continue };
            let for_tests = section == "dev-dependencies"
                && target == "sandbox"
                && TESTS_USE_SANDBOX.contains(&name.as_str());
            if !allowed.contains(target) && !for_tests {
                wrong.push(format!("crates/{name} [{section}] must not know trueup-{target}"));
            }
        }
    }
    report(
        "The arrows: domain <- engine <- {connectwise, sources, store} <- server; transport; sandbox.",
        wrong,
    );
}

#[test]
fn every_arrow_names_a_crate_that_exists() {
    let names = crate_names();
    let wrong = ARROWS.iter().filter(|(name, _)| !names.contains(*name)).map(|(name, _)| (*name).to_owned());
    report("ARROWS names crates that are not there.", wrong.collect());
}

#[test]
fn xtask_knows_nothing_of_the_product() {
    let manifest = manifest(&root().join("xtask"));
    let wrong = dependencies(&manifest).into_iter().map(|(_, name)| name);
    report(
        "xtask must build in seconds, whatever state the product is in.",
        wrong.filter(|name| name.starts_with("trueup-")).collect(),
    );
}

#[test]
fn one_crate_sends_and_one_crate_speaks_sql() {
    let owners = [
        ("reqwest", "transport"),
        ("reqwest-middleware", "transport"),
        ("sea-orm", "store"),
        ("sea-orm-migration", "store"),
        ("sqlx", "store"),
    ];
    let mut wrong = Vec::new();
    for name in crate_names() {
        for (section, dependency) in dependencies(&manifest(&crates().join(&name))) {
            let owner = owners.iter().find(|(library, _)| *library == dependency).map(|(_, owner)| *owner);
            if section != "dev-dependencies" && owner.is_some_and(|owner| owner != name) {
                wrong.push(format!("crates/{name} depends on {dependency}; only {owner:?} may"));
            }
        }
    }
    report("Retries, pace and host rules live in transport; organization scopes in store.", wrong);
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let wrong = crate_names().into_iter().filter(|name| {
        let manifest = manifest(&crates().join(name));
        manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool)
            != Some(true)
    });
    report("Every crate says `[lints] workspace = true`.", wrong.collect());
}

#[test]
fn every_crate_root_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for source in sources(|_| true) {
        let root = source.within("src/lib.rs") || source.within("src/main.rs");
        let first =
            source.text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#!["));
        if root && !first.is_some_and(|line| line.starts_with("//!")) {
            wrong.push(source.path.clone());
        }
    }
    report("A crate root starts with `//!`: what it is for and what it must not know.", wrong);
}

#[test]
fn no_float_in_domain_or_store() {
    let is_float = |word: &str| {
        (word.ends_with("f64") || word.ends_with("f32")) && !word.starts_with("0x") && !word.starts_with("0b")
    };
    let wrong = words_in(sources(|name| matches!(name, "domain" | "store")), is_float);
    report("Money and quantities are exact: no f32 or f64 in domain and store.", wrong);
}

#[test]
fn no_reqwest_outside_transport() {
    let wrong = words_in(sources(|name| name != "transport"), |word| word.starts_with("reqwest"));
    report("One sender: reqwest stays inside transport.", wrong);
}

#[test]
fn no_sql_outside_store() {
    let outside = || sources(|name| name != "store");
    let mut wrong = words_in(outside(), |word| SQL_CRATES.contains(&word));
    for source in outside() {
        for (line, literal) in &source.literals {
            if looks_like_sql(literal) {
                wrong.push(format!("{}:{line}: {literal:?}", source.path));
            }
        }
    }
    report("The only SQL is in store, where every statement takes the organization scope.", wrong);
}

#[test]
fn no_vendor_spelling_outside_the_wire_types() {
    let mut wrong = Vec::new();
    for source in sources(|name| name != "sandbox") {
        let wire = source.path.starts_with("crates/connectwise/")
            && (source.path.ends_with("/wire.rs") || source.path.contains("/wire/"));
        if wire {
            continue;
        }
        for (line, literal) in &source.literals {
            for word in VENDOR_WORDS.iter().filter(|word| is_wire_name(literal, word)) {
                let excepted = VENDOR_WORD_EXCEPTIONS
                    .iter()
                    .any(|(place, words, _)| source.path.starts_with(place) && words.contains(word));
                if !excepted {
                    wrong.push(format!("{}:{line}: {word:?}", source.path));
                }
            }
        }
    }
    report("ConnectWise's names stand in connectwise's wire.rs alone; an exception needs a reason.", wrong);
}

#[test]
fn domain_matches_its_own_enums_whole() {
    let mut wrong = Vec::new();
    for source in sources(|name| name == "domain") {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, code) in source.code.lines().enumerate() {
            let above = index.checked_sub(1).and_then(|above| lines.get(above)).copied().unwrap_or_default();
            let reason = [above, lines[index]].iter().any(|line| line.contains("// open set:"));
            if has_catch_all(code) && !reason {
                wrong.push(format!("{}:{}: {}", source.path, index + 1, lines[index].trim()));
            }
        }
    }
    report(
        "A new variant must break the build where it matters: no `_ =>` in domain. \
         Where the set is open (text, numbers) say why: `// open set: <reason>`.",
        wrong,
    );
}

#[test]
fn no_unwrap_and_no_expect_in_production_code() {
    let mut wrong = Vec::new();
    for source in sources(|_| true) {
        for (index, code) in source.code.lines().enumerate() {
            // `self.expect(…)` is a parser's own method; neither Option nor Result goes by that name.
            let expects = code.replace("self.expect(", "").contains(".expect(");
            if code.contains(".unwrap()") || expects {
                wrong.push(format!("{}:{}: {}", source.path, index + 1, code.trim()));
            }
        }
    }
    report("No panic on any input: return a typed error.", wrong);
}

// ---- what the rules look for

fn looks_like_sql(literal: &str) -> bool {
    let words: Vec<String> = literal.split_whitespace().map(str::to_lowercase).collect();
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match (word(0), word(1)) {
        ("insert" | "replace", "into") | ("delete", "from") | ("begin", "immediate") => true,
        ("create" | "alter" | "drop", "table" | "index" | "unique") | ("pragma", _) => words.len() > 2,
        ("update", _) => word(2) == "set",
        // A sentence for people starts with a capital and goes on in small letters: "Select … from …".
        ("select", _) => words.iter().any(|word| word == "from") && !literal.trim_start().starts_with("Se"),
        _ => false,
    }
}

/// The literal is the word itself, or JSON text with the word as a key; prose that mentions it is neither.
fn is_wire_name(literal: &str, word: &str) -> bool {
    literal == word || literal.contains(&format!("\"{word}\""))
}

fn has_catch_all(code: &str) -> bool {
    let trimmed = code.trim_start();
    let starts =
        |text: &str| text.strip_prefix('_').map(str::trim_start).is_some_and(|rest| rest.starts_with("=>"));
    starts(trimmed) || code.match_indices([' ', '{', ',', '|']).any(|(at, _)| starts(&code[at + 1..]))
}

fn words_in(sources: Vec<Source>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (index, line) in source.code.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            found.extend(
                words
                    .filter(|word| wanted(word))
                    .map(|word| format!("{}:{}: {word}", source.path, index + 1)),
            );
        }
    }
    found
}

#[track_caller]
fn report(rule: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{rule}\n  {}", wrong.join("\n  "));
}

// ---- manifests

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("crates/server lies two below")
        .to_path_buf()
}

fn crates() -> PathBuf {
    root().join("crates")
}

fn crate_names() -> BTreeSet<String> {
    let entries = fs::read_dir(crates()).expect("the crates' folder").flatten();
    let names: BTreeSet<String> = entries
        .filter(|entry| entry.path().join("Cargo.toml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.contains("domain"), "the crates' folder is not where this test looks");
    names
}

fn manifest(folder: &Path) -> toml::Table {
    let text = fs::read_to_string(folder.join("Cargo.toml")).expect("a manifest");
    text.parse().expect("a manifest is TOML")
}

/// Every dependency with the section it stands in, those of single platforms included.
fn dependencies(manifest: &toml::Table) -> Vec<(&'static str, String)> {
    let platforms = manifest.get("target").and_then(toml::Value::as_table);
    let tables = std::iter::once(manifest)
        .chain(platforms.into_iter().flat_map(toml::Table::values).filter_map(toml::Value::as_table));
    let mut found = Vec::new();
    for table in tables {
        for section in ["dependencies", "build-dependencies", "dev-dependencies"] {
            for (key, value) in table.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                let renamed = value.get("package").and_then(toml::Value::as_str);
                found.push((section, renamed.unwrap_or(key).to_owned()));
            }
        }
    }
    found
}

// ---- sources

/// One production file: as it is, with everything but code blanked, and the texts of its literals.
struct Source {
    path: String,
    text: String,
    code: String,
    literals: Vec<(usize, String)>,
}

impl Source {
    fn within(&self, end: &str) -> bool {
        self.path.ends_with(end)
    }
}

fn sources(wanted: impl Fn(&str) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    for name in crate_names().into_iter().filter(|name| wanted(name)) {
        let mut files = Vec::new();
        rust_files(&crates().join(&name).join("src"), &mut files);
        let mut parsed = Vec::new();
        let mut for_tests = BTreeSet::new();
        for file in files {
            let text = fs::read_to_string(&file).expect("a source file");
            let (source, modules) = read(&file, text);
            for_tests.extend(modules.into_iter().map(|module| module_folder(&file).join(module)));
            parsed.push((file, source));
        }
        let test_only = |file: &Path| {
            for_tests.iter().any(|module| file.starts_with(module) || file.with_extension("") == *module)
        };
        found.extend(parsed.into_iter().filter(|(file, _)| !test_only(file)).map(|(_, source)| source));
    }
    assert!(!found.is_empty(), "no sources were read: this test would pass for nothing");
    found
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Where the modules a file declares lie.
fn module_folder(file: &Path) -> PathBuf {
    let stem = file.file_stem().unwrap_or_default();
    let parent = file.parent().unwrap_or(Path::new(""));
    if ["mod", "lib", "main"].iter().any(|own| stem == *own) {
        parent.to_path_buf()
    } else {
        parent.join(stem)
    }
}

/// The file without its tests, and the names of the modules that only tests include.
fn read(file: &Path, text: String) -> (Source, Vec<String>) {
    let path = file.strip_prefix(root()).unwrap_or(file).to_string_lossy().replace('\\', "/");
    let characters: Vec<char> = text.chars().collect();
    let (mut code, literals) = blank_comments_and_literals(&characters);
    let (tests, modules) = test_items(&code);
    for range in &tests {
        for at in range.clone() {
            if code[at] != '\n' {
                code[at] = ' ';
            }
        }
    }
    let line_of = |at: usize| 1 + characters[..at].iter().filter(|c| **c == '\n').count();
    let literals = literals
        .into_iter()
        .filter(|(at, _)| !tests.iter().any(|range| range.contains(at)))
        .map(|(at, literal)| (line_of(at), literal))
        .collect();
    (Source { path, text, code: code.into_iter().collect(), literals }, modules)
}

/// Code of the same length and lines; comments and the insides of literals are spaces.
fn blank_comments_and_literals(text: &[char]) -> (Vec<char>, Vec<(usize, String)>) {
    let mut code = text.to_vec();
    let mut literals = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = match (text[at], text.get(at + 1)) {
            ('/', Some('/')) => until(text, at, |rest| rest[0] == '\n'),
            ('/', Some('*')) => block_comment_end(text, at),
            ('"', _) => {
                let end = string_end(text, at);
                literals.push((at, text[at + 1..end.saturating_sub(1).max(at + 1)].iter().collect()));
                end
            }
            ('r', Some('"' | '#')) if raw_string(text, at).is_some() => {
                let (inside, end) = raw_string(text, at).unwrap_or((at..at, at + 1));
                literals.push((at, text[inside].iter().collect()));
                end
            }
            ('\'', _) => char_end(text, at),
            _ => {
                at += 1;
                continue;
            }
        };
        for character in &mut code[at..end] {
            if *character != '\n' {
                *character = ' ';
            }
        }
        at = end;
    }
    (code, literals)
}

fn until(text: &[char], from: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (from..text.len()).find(|at| stop(&text[*at..])).unwrap_or(text.len())
}

fn block_comment_end(text: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at.min(text.len())
}

fn string_end(text: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The inside and the end of a raw string that starts here, `None` for an identifier such as `r#type`.
fn raw_string(text: &[char], from: usize) -> Option<(std::ops::Range<usize>, usize)> {
    let inside_word = |c: &char| c.is_alphanumeric() || *c == '_';
    let before = from.checked_sub(1).map(|at| &text[at]);
    let prefixed =
        matches!(before, Some('b' | 'c')) && !from.checked_sub(2).is_some_and(|at| inside_word(&text[at]));
    if before.is_some_and(inside_word) && !prefixed {
        return None;
    }
    let hashes = text[from + 1..].iter().take_while(|c| **c == '#').count();
    let start = from + 1 + hashes;
    if text.get(start) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let end = until(text, start + 1, |rest| rest.starts_with(&close));
    Some((start + 1..end, (end + close.len()).min(text.len())))
}

/// The end of a character literal, or one past the quote of a lifetime.
fn char_end(text: &[char], from: usize) -> usize {
    match (text.get(from + 1), text.get(from + 2)) {
        (Some('\\'), Some(_)) => (until(text, from + 3, |rest| rest[0] == '\'') + 1).min(text.len()),
        (Some(_), Some('\'')) => from + 3,
        _ => from + 1,
    }
}

/// The items under `#[cfg(test)]`, and the names of those that are modules in files of their own.
fn test_items(code: &[char]) -> (Vec<std::ops::Range<usize>>, Vec<String>) {
    let starts_with = |at: usize, text: &str| {
        text.chars().enumerate().all(|(offset, character)| code.get(at + offset) == Some(&character))
    };
    let (mut ranges, mut modules, mut at) = (Vec::new(), Vec::new(), 0);
    while at < code.len() {
        if !["#[cfg(test)", "#[cfg(all(test,", "#[cfg(any(test,"].iter().any(|start| starts_with(at, start)) {
            at += 1;
            continue;
        }
        let end = item_end(code, at);
        let item: String = code[at..end].iter().collect();
        let words: Vec<&str> = item.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        if item.ends_with(';')
            && let Some(position) = words.iter().position(|word| *word == "mod")
        {
            modules.extend(words.get(position + 1).map(|name| (*name).to_owned()));
        }
        ranges.push(at..end);
        at = end;
    }
    (ranges, modules)
}

/// Just past the item's closing brace or semicolon; attributes, parentheses and brackets belong to it.
fn item_end(code: &[char], from: usize) -> usize {
    let (mut nested, mut braces) = (0_i32, 0_i32);
    for (offset, character) in code[from..].iter().enumerate() {
        match character {
            '(' | '[' => nested += 1,
            ')' | ']' => nested -= 1,
            '{' => braces += 1,
            '}' => braces -= 1,
            _ => {}
        }
        let closes = *character == '}' || *character == ';';
        if closes && braces <= 0 && nested <= 0 {
            return from + offset + 1;
        }
    }
    code.len()
}

// ---- the reader itself

#[test]
fn the_reader_leaves_code_and_takes_comments_literals_and_tests_away() {
    let text = "fn f<'a>(x: &'a str) { g('\"', \"a \\\" f64 // b\", r#\"SELECT 1 \"q\" FROM t\"#); } // f64\n\
                /* f64 /* nested */ f64 */ let r#type = '\\'';\n\
                #[cfg(test)]\nmod tests { fn t() -> [u8; 2] { x.unwrap() } }\n\
                #[cfg(test)]\nmod more;\nfn last() {}\n";
    let (source, modules) = read(Path::new("x.rs"), text.to_owned());
    assert!(!source.code.contains("f64") && !source.code.contains("unwrap"), "{}", source.code);
    assert!(
        source.code.contains("fn f<") && source.code.contains("r#type") && source.code.contains("fn last()")
    );
    assert_eq!(source.code.lines().count(), text.lines().count());
    assert_eq!(source.literals[0], (1, "a \\\" f64 // b".to_owned()));
    assert_eq!(source.literals[1], (1, "SELECT 1 \"q\" FROM t".to_owned()));
    assert_eq!(modules, ["more"]);
}

#[test]
fn the_rules_tell_code_from_prose() {
    assert!(
        looks_like_sql("SELECT id FROM task WHERE org = ?") && looks_like_sql("update lane set owner = ?1")
    );
    assert!(
        !looks_like_sql("Select a company from the list") && !looks_like_sql("update the mapping and set it")
    );
    assert!(is_wire_name("unitPrice", "unitPrice") && is_wire_name("{\"unitPrice\": 1}", "unitPrice"));
    assert!(!is_wire_name("the unitPrice of the line", "unitPrice"));
    assert!(has_catch_all("        _ => 1,") && has_catch_all("match x { A => 1, _ => 2 }"));
    assert!(!has_catch_all("Some(_) => 1,") && !has_catch_all("(A, _) => 1,") && !has_catch_all("a_ => 1"));
}
