//! What those need who run the service: numbers, backups, a new key, less to keep, headers.

use crate::bench::{Backend, FIRST, PASSWORD, Person, Service};
use crate::http::Request;
use rstest::rstest;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

const TOKEN: &str = "a-token-for-prometheus";
const ORG: &str = "/api/v1/organizations/default";

fn metrics(service: &Service, token: Option<&str>) -> crate::http::Answer {
    let request = Request::new("GET", "/metrics");
    match token {
        Some(token) => request.header("authorization", &format!("Bearer {token}")).send(service.at),
        None => request.send(service.at),
    }
}

#[rstest]
fn the_numbers_are_there_and_name_nobody(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    person.organization("canary-customer", Some("default"));
    let body = serde_json::json!({ "kind": "check" });
    person.post("/api/v1/organizations/canary-customer/runs", &body).is(202);
    let answer = metrics(&service, None).is(200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
    let text = answer.text();
    for wanted in [
        "trueup_build_info{version=",
        "trueup_psa_calls_total ",
        "trueup_psa_retries_total ",
        "trueup_psa_throttled_total ",
        "trueup_queue_age_seconds ",
        "trueup_runs{state=",
        "trueup_organizations 2",
        "# TYPE trueup_findings gauge",
        "# TYPE trueup_money_at_risk gauge",
        "trueup_http_requests_total{method=\"POST\",status=\"2xx\"}",
        "trueup_http_request_duration_seconds_bucket{le=",
    ] {
        assert!(text.contains(wanted), "{wanted} is missing: {text}");
    }
    for name in ["canary-customer", "default", FIRST] {
        assert!(!text.contains(name), "{name} is in {text}");
    }
}

#[test]
fn the_numbers_are_for_their_token_alone() {
    let service = Service::start(Backend::Sqlite, &[("TRUEUP_METRICS_TOKEN", TOKEN)]).unwrap();
    assert_eq!(metrics(&service, None).problem(401), "not-signed-in");
    assert_eq!(metrics(&service, Some("a-token-for-prometheuS")).problem(401), "not-signed-in");
    metrics(&service, Some(TOKEN)).is(200);
    // Without a token they are for this machine, and behind a proxy everybody looks like it.
    let proxied = Service::start(Backend::Sqlite, &[("TRUEUP_BEHIND_PROXY", "true")]).unwrap();
    assert_eq!(metrics(&proxied, None).problem(404), "not-found");
}

#[test]
fn an_address_for_everybody_needs_a_token() {
    let mut service = Service::sqlite();
    service.stop();
    let refused = service.run(&["serve", "--role", "worker", "--metrics-listen", "0.0.0.0:0"]);
    assert!(refused["error"]["message"].as_str().unwrap().contains("without a token"), "{refused}");
}

#[test]
fn every_answer_tells_browsers_what_never_happens() {
    let service =
        Service::start(Backend::Sqlite, &[("TRUEUP_PUBLIC_URL", "https://trueup.example.com")]).unwrap();
    for path in ["/health/live", "/docs/", "/api/v1/session", "/nothing", "/metrics"] {
        let answer = service.get(path);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}: {name}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("script-src"), "scripts come from the service alone: {policy}");
        assert!(answer.header("server").is_none() && answer.header("access-control-allow-origin").is_none());
    }
    let signed_in = service
        .sign_in(FIRST, service.announced["first_administrator"]["one_time_password"].as_str().unwrap());
    let cookie = signed_in.header("set-cookie").unwrap();
    for part in ["__Host-", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
}

#[test]
fn a_backup_of_a_running_service_is_restored() {
    let mut service = Service::sqlite();
    service.operator().organization("north", None);
    let made = service.run(&["backup", "create", "first.trueup-backup"]);
    assert_eq!(made["sha256"].as_str().map(str::len), Some(64), "{made}");
    let again = service.run(&["backup", "create", "first.trueup-backup"]);
    let said = again["error"]["message"].as_str().unwrap_or_default();
    assert!(said.contains("is there already"), "never over another: {again}");
    let full = service.run(&["backup", "restore", "first.trueup-backup"]);
    assert!(full["error"]["message"].as_str().unwrap().contains("not empty"), "{full}");
    Person::sign_in(&service, FIRST, PASSWORD).organization("south", None);
    service.stop();
    std::fs::rename(service.path("data"), service.path("lost")).unwrap();
    let restored = service.run(&["backup", "restore", "first.trueup-backup"]);
    assert_eq!(restored["secrets_readable"], true, "nothing was sealed: {restored}");
    service.up();
    let person = Person::sign_in(&service, FIRST, PASSWORD);
    person.get("/api/v1/organizations/north").is(200);
    assert_eq!(
        person.get("/api/v1/organizations/south").problem(404),
        "not-found",
        "it came after the backup"
    );
}

#[test]
fn a_damaged_backup_is_refused_whole() {
    let service = Service::sqlite();
    service.run(&["backup", "create", "good"]);
    let good = std::fs::read(service.path("good")).unwrap();
    let empty = service.path("empty");
    let data = empty.display().to_string();
    let restore = |bytes: &[u8], told: &str| {
        std::fs::write(service.path("bad"), bytes).unwrap();
        let refused = service.run(&["--data-dir", &data, "backup", "restore", "bad"]);
        let words =
            refused["error"]["message"].as_str().unwrap_or_else(|| panic!("{told}: {refused}")).to_owned();
        assert!(words.contains("damaged"), "{told}: {words}");
        let left = !Path::new(&data).exists() || std::fs::read_dir(&empty).unwrap().next().is_none();
        assert!(left, "{told}: something is left");
    };
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x20;
        bytes
    };
    restore(&[], "empty");
    restore(b"SQLite format 3\0", "another file");
    let header = good.iter().position(|b| *b == b'{').unwrap();
    for at in [0, header, header + 20, header + 200, good.len() / 2, good.len() - 1] {
        restore(&changed(at), &format!("byte {at}"));
    }
    restore(&good[..good.len() - 1], "cut at the end");
    restore(&good[..header + 30], "cut in its header");
    restore(&[&good[..], b"x"].concat(), "longer than it says");
    assert_eq!(service.run(&["--data-dir", &data, "backup", "restore", "good"])["secrets_readable"], true);
}

#[test]
fn a_restore_without_the_key_says_that_secrets_are_unreadable() {
    let mut service =
        Service::start(Backend::Sqlite, &[("TRUEUP_CONNECTWISE_PRIVATE_KEY", "secret")]).unwrap();
    service.operator();
    service.stop();
    // Nobody listens there: the connection is stored all the same, and told to have failed.
    let keys = ["--company", "a", "--public-key", "b", "--client-id", "c"];
    service.run(&[&["connection", "add", "--url", "http://127.0.0.1:1"], &keys[..]].concat());
    service.run(&["backup", "create", "b1"]);
    let (old, key) = (service.path("data/trueup.key"), service.path("kept.key"));
    std::fs::copy(&old, &key).unwrap();
    let key = key.display().to_string();

    let rotated = service.run(&["key", "rotate"]);
    assert_eq!(
        (rotated["secrets"].as_u64(), rotated["resumed"].as_bool()),
        (Some(1), Some(false)),
        "{rotated}"
    );
    assert_ne!(std::fs::read(&old).unwrap(), std::fs::read(&key).unwrap());
    assert_eq!(service.run(&["connection", "list"])["connections"].as_array().map(Vec::len), Some(1));
    let new = old.display().to_string();
    let target = |name: &str| service.path(name).display().to_string();
    let other = service.run(&["--data-dir", &target("d1"), "backup", "restore", "b1", "--key", &new]);
    assert!(other["error"]["message"].as_str().unwrap().contains("not the key"), "{other}");

    let bare = service.run(&["--data-dir", &target("d2"), "backup", "restore", "b1"]);
    assert_eq!(bare["secrets_readable"], false, "{bare}");
    let locked = service.run(&["--data-dir", &target("d2"), "connection", "list"]);
    assert_eq!(locked["error"]["code"], "TU9105", "{locked}");

    let whole = service.run(&["--data-dir", &target("d3"), "backup", "restore", "b1", "--key", &key]);
    assert_eq!(whole["secrets_readable"], true, "{whole}");
    let listed = service.run(&["--data-dir", &target("d3"), "connection", "list"]);
    assert_eq!(listed["connections"].as_array().map(Vec::len), Some(1), "{listed}");
    let verified = service.run(&["audit", "verify"]);
    assert!(verified["error"].is_null(), "{verified}");
}

#[rstest]
fn what_is_old_goes_and_the_audit_stays(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(mut service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    let started = person.post(&format!("{ORG}/runs"), &serde_json::json!({ "kind": "check" })).is(202);
    let location = started.header("location").unwrap().to_owned();
    person.request("GET", &format!("{location}/events")).events(service.at);
    service.stop();
    let entries = || service.run(&["audit", "list"])["entries"].as_array().map_or(0, Vec::len);
    let before = entries();
    let of = |args: &[&str]| service.run(args)["organizations"][0]["runs"].as_u64();
    assert_eq!(of(&["maintenance"]), None, "nothing is that old");
    let later = ["--today", "2999-01-01"];
    assert_eq!(of(&[&later[..], &["maintenance", "--dry-run"]].concat()), Some(1));
    let kept = [&later[..], &["--set", "retention.runs_days=0", "maintenance"]].concat();
    assert_eq!(of(&kept), None, "0 is for ever");
    assert_eq!(of(&[&later[..], &["maintenance"]].concat()), Some(1));
    assert_eq!(of(&[&later[..], &["maintenance"]].concat()), None);
    assert_eq!(entries(), before + 1, "the audit keeps everything, and says what went");
}

/// Whoever rotates may be another one than the service: it has to read the key afterwards.
#[cfg(unix)]
#[test]
fn a_new_key_belongs_to_whom_the_old_one_did() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let mut service =
        Service::start(Backend::Sqlite, &[("TRUEUP_CONNECTWISE_PRIVATE_KEY", "secret")]).unwrap();
    assert_eq!(service.stop(), 0);
    let keys = ["--company", "c", "--public-key", "pk", "--client-id", "id"];
    // The keys are stored although nothing answers there.
    service
        .command(&[&["connection", "add", "--url", "http://127.0.0.1:1"], &keys[..]].concat())
        .output()
        .unwrap();
    let key = service.path("data/trueup.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    // Only root gives files away.
    let given = chown(&key, Some(65_534), Some(65_534)).is_ok();
    let before = std::fs::read(&key).unwrap();
    let rotated = service.run(&["key", "rotate"]);
    assert_ne!(std::fs::read(&key).unwrap(), before, "{rotated}");
    let after = std::fs::metadata(&key).unwrap();
    assert_eq!(after.mode() & 0o777, 0o640);
    if given {
        assert_eq!((after.uid(), after.gid()), (65_534, 65_534));
    }
}

#[test]
fn a_public_address_is_the_root_of_a_host_and_the_start_says_where_all_is() {
    let service = Service::sqlite();
    for wrong in [
        "ftp://t.example.com",
        "https://t.example.com/path",
        "https://u:p@t.example.com",
        "https://t.example.com?a",
        "t",
    ] {
        let refused = service.command(&["serve", "--public-url", wrong]).output().unwrap();
        let words = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{wrong}: {words}");
        assert!(words.contains("--public-url"), "{words}");
    }

    let mut elsewhere =
        service.command(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]);
    elsewhere.args(["--public-url", "https://t.example.com"]).env("TRUEUP_METRICS_TOKEN", TOKEN);
    let mut elsewhere = elsewhere
        .env("TRUEUP_DATA_DIR", service.path("elsewhere"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(elsewhere.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let noted = BufReader::new(elsewhere.stderr.take().unwrap()).lines().map_while(Result::ok);
    let numbers = noted.into_iter().find(|line| line.contains("/metrics")).unwrap_or_default();
    let _ = elsewhere.kill();
    let _ = elsewhere.wait();
    assert!(said.contains("https://t.example.com") && said.contains("http://127.0.0.1:"), "{said}");
    assert!(numbers.contains("http://127.0.0.1:") && !numbers.contains(":0/"), "{numbers}");
}

#[test]
fn what_stops_a_request_is_told_with_the_route_that_helps() {
    let sandbox = crate::sandbox::Sandbox::start();
    let service = Service::start(Backend::Sqlite, &[("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")]).unwrap();
    let person = service.operator();
    person.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    for path in ["mappings/suggestions", "companies"] {
        let answer = person.get(&format!("{ORG}/{path}"));
        let fix = answer.json()["fix"].as_str().unwrap().to_owned();
        assert_eq!(answer.problem(409), "conflict");
        assert!(
            fix.contains("`POST …/runs {\"kind\": \"pull\"}`") && !fix.contains("trueup psa"),
            "{path}: {fix}"
        );
    }
}
