//! PostgreSQL's own tools beside row-level security: a dump is whole or refused, and what it brings back is held as before.

use crate::bench::{Backend, Person, Service};
use crate::postgres::tool;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::Output;

/// What the guide to operations says.
const GUIDE: &str = include_str!("../../../../docs/operations.md");
const EVERYBODY: &str = "-c trueup.scope=*";

/// A statement's rows, a line each.
fn ask(database: &str, scope: &str, sql: &str) -> Vec<String> {
    let mut command = tool("psql");
    command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]);
    let said = command.arg(database).args(["--command", sql]).env("PGOPTIONS", scope).output().unwrap();
    lines(&said)
}

#[track_caller]
fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Rows of every table.
fn counts(database: &str, scope: &str) -> BTreeMap<String, u64> {
    let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename";
    ask(database, scope, tables)
        .into_iter()
        .map(|table| {
            let rows = ask(database, scope, &format!("SELECT count(*) FROM \"{table}\"")).remove(0);
            (table, rows.parse().unwrap())
        })
        .collect()
}

/// Two organizations that have something each.
fn fill(person: &Person<'_>) {
    for org in ["north", "south"] {
        person.organization(org, Some("default"));
        let path = format!("/api/v1/organizations/{org}/settings/credits");
        person.put(&path, &json!({ "value": "on" })).is(200);
        let push = format!("/api/v1/feed?organization={org}&source=shop");
        let text = "{\"type\":\"customer\",\"id\":\"c\",\"name\":\"Company\"}\n";
        person.request("POST", &push).body("application/x-ndjson", text).send(person.service.at).is(200);
    }
}

#[test]
fn a_dump_beside_row_level_security_is_whole_or_refused() {
    let Some(mut service) = Service::start(Backend::Postgres, &[]) else { return };
    fill(&service.operator());
    service.stop();
    let database = service.database().unwrap();
    let dump = service.path("trueup.dump").display().to_string();

    // As anybody would do it: it stops, and leaves nothing that looks like a backup.
    let mut bare = tool("pg_dump");
    let bare = bare.args(["--format=custom", "--file", &dump, &database]).output().unwrap();
    let why = String::from_utf8_lossy(&bare.stderr);
    assert!(!bare.status.success() && why.contains("row-level security"), "{why}");

    // As the guide says.
    let guide = format!("PGOPTIONS='{EVERYBODY}' pg_dump --enable-row-security --format=custom");
    assert!(GUIDE.contains(&guide), "the guide to operations says it otherwise than this test does");
    let mut whole = tool("pg_dump");
    whole.args(["--enable-row-security", "--format=custom", "--file", &dump, &database]);
    lines(&whole.env("PGOPTIONS", EVERYBODY).output().unwrap());

    let admin = database.replacen("trueup@", "postgres@", 1);
    ask(&admin, "", "CREATE DATABASE again OWNER trueup");
    let again = database.replacen("/postgres?", "/again?", 1);
    assert!(GUIDE.contains("`pg_restore --clean --if-exists`"));
    let mut restore = tool("pg_restore");
    lines(&restore.args(["--clean", "--if-exists", "--dbname", &again, &dump]).output().unwrap());

    let before = counts(&database, EVERYBODY);
    assert!(before["organization"] >= 3 && before["record"] >= 2, "{before:?}");
    assert_eq!(counts(&again, EVERYBODY), before);
    // What was brought back is held as well: a session that says nothing sees nothing.
    let unseen = |table: &str| counts(&again, "")[table];
    assert_eq!((unseen("setting"), unseen("record"), unseen("audit")), (0, 0, 0));

    let mut said = service.command(&["--format", "json", "audit", "verify"]);
    let said = said.env("TRUEUP_DATABASE_URL", &again).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stdout));
    let mut listed = service.command(&["--format", "json", "org", "list"]);
    let listed = lines(&listed.env("TRUEUP_DATABASE_URL", &again).output().unwrap()).join("\n");
    assert!(listed.contains("north") && listed.contains("south"), "{listed}");
}
