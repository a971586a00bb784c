//! Signing in, sessions, people, tokens.

use crate::bench::{Backend, FIRST, PASSWORD, Person, Service};
use crate::http::Request;
use crate::sandbox::{ORG, Sandbox};
use rstest::rstest;
use serde_json::{Value, json};
use std::time::Duration;

#[rstest]
fn a_session_is_a_cookie_and_a_token_against_forged_requests(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    let answer = service.sign_in(FIRST, PASSWORD).is(200);
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "plain http on this machine");
    assert!(!answer.text().contains(&cookie[16..40]), "the cookie's value is in the body");

    let path = "/api/v1/organizations";
    let body = json!({ "id": "north" });
    let bare = Request::new("POST", path).header("cookie", &person.cookie).json(&body);
    assert_eq!(bare.send(service.at).problem(403), "csrf");
    let wrong = bare.clone().header("x-csrf-token", "guess");
    assert_eq!(wrong.send(service.at).problem(403), "csrf");
    let foreign = person.request("POST", path).header("origin", "https://evil.example").json(&body);
    assert_eq!(foreign.send(service.at).problem(403), "csrf");
    let foreign = person.request("POST", path).header("sec-fetch-site", "cross-site").json(&body);
    assert_eq!(foreign.send(service.at).problem(403), "csrf");
    let form = person.request("POST", path).body("text/plain", body.to_string());
    assert_eq!(form.send(service.at).problem(415), "media-type");
    let ours = person.request("POST", path).header("origin", &format!("http://{}", service.at)).json(&body);
    ours.send(service.at).is(201);
    let sign_in = Request::new("POST", "/api/v1/session")
        .header("origin", "https://evil.example")
        .json(&json!({ "email": FIRST, "password": PASSWORD }));
    assert_eq!(sign_in.send(service.at).problem(403), "csrf");

    person.delete("/api/v1/session").is(204);
    assert_eq!(person.get("/api/v1/session").problem(401), "not-signed-in");
}

#[rstest]
fn who_fails_often_has_to_wait(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let person = service.operator();
    let mut waits = None;
    for _ in 0..14 {
        let answer = service.sign_in("nobody@example.com", "wrong wrong wrong");
        if answer.status == 429 {
            waits = answer.header("retry-after").map(str::to_owned);
            assert_eq!(answer.problem(429), "too-many-attempts");
            break;
        }
        assert_eq!(answer.problem(401), "wrong-password");
    }
    assert!(waits.is_some(), "fourteen failures in a row were all let through");
    Person::sign_in(&service, FIRST, PASSWORD);
    person.get("/api/v1/session").is(200);
}

/// Somebody else at the same address has guessed: who knows the password waits once, and not again for having known it.
#[test]
fn a_right_sign_in_makes_nobody_wait() {
    let service = Service::sqlite();
    let one_time = service.announced["first_administrator"]["one_time_password"].as_str().unwrap();
    let mut guesses = 0;
    let wait = loop {
        let answer = service.sign_in(&format!("nobody-{guesses}@example.com"), "wrong wrong wrong");
        if answer.status == 429 {
            break answer.json()["retry_after"].as_u64().unwrap();
        }
        answer.is(401);
        guesses += 1;
        assert!(guesses < 60, "guesses from one address were all let through");
    };
    std::thread::sleep(Duration::from_secs(wait));
    Person::welcome(&service, FIRST, one_time);
    Person::sign_in(&service, FIRST, PASSWORD);
}

/// The password of now is guessed no faster over the change of it.
#[test]
fn the_limit_answers_alike_wherever_a_password_is_asked() {
    let service = Service::sqlite();
    let person = service.operator();
    let change = || {
        let body = json!({ "current": "wrong wrong wrong", "new": format!("{PASSWORD} two") });
        person.put("/api/v1/session/password", &body)
    };
    let limited = (0..14).map(|_| change()).find(|answer| answer.status != 422).unwrap();
    assert!(limited.header("retry-after").is_some(), "{}", limited.text());
    assert_eq!(limited.problem(429), "too-many-attempts");
    let document = service.get("/api/v1/openapi.json").is(200).json();
    for (path, method) in [("/api/v1/session", "post"), ("/api/v1/session/password", "put")] {
        assert!(document["paths"][path][method]["responses"]["429"].is_object(), "{method} {path}");
    }
}

#[rstest]
fn people_are_added_changed_and_shut_out(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    operator.organization("north", None);
    let admin = operator.colleague("north", "admin");
    let billing = admin.colleague("north", "billing");
    let users = admin.get("/api/v1/organizations/north/users").is(200).json();
    assert_eq!(users["items"].as_array().unwrap().len(), 2);
    assert!(!users.to_string().contains("argon2"), "{users}");
    let id = users["items"].as_array().unwrap().iter().find(|u| u["role"] == "billing").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let path = "/api/v1/organizations/north/users";
    assert_eq!(
        admin.post(path, &json!({ "email": "x@example.com", "role": "operator" })).problem(422),
        "invalid"
    );
    assert_eq!(
        admin.post(path, &json!({ "email": "no address", "role": "billing" })).problem(422),
        "invalid"
    );
    assert_eq!(admin.post(path, &json!({ "email": FIRST, "role": "billing" })).problem(409), "conflict");
    assert_eq!(
        admin.post(path, &json!({ "email": "x@example.com", "role": "admin", "org": "a" })).status,
        422
    );
    let own = admin.get("/api/v1/session").json()["id"].as_str().unwrap().to_owned();
    let own = format!("{path}/{own}");
    assert_eq!(admin.patch(&own, &json!({ "disabled": true })).problem(409), "conflict");

    billing.get("/api/v1/session").is(200);
    let one = format!("{path}/{id}");
    let changed = admin.patch(&one, &json!({ "role": "read_only" })).is(200).json();
    assert_eq!(changed["role"], "read_only");
    assert_eq!(billing.get("/api/v1/session").problem(401), "not-signed-in", "a changed role ends sessions");
    let reset = admin.post(&format!("{one}/reset"), &json!({})).is(200).json();
    assert_eq!(service.sign_in("billing@north.example.com", PASSWORD).problem(401), "wrong-password");
    Person::sign_in(&service, "billing@north.example.com", reset["one_time_password"].as_str().unwrap());
    admin.patch(&one, &json!({ "disabled": true })).is(200);
    let one_time = reset["one_time_password"].as_str().unwrap();
    assert_eq!(service.sign_in("billing@north.example.com", one_time).problem(401), "wrong-password");
}

/// A password takes its time to be hashed; who is shut out meanwhile stays so.
#[rstest]
fn a_shut_out_holds_against_a_change_of_the_password_under_way(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    let other = format!("{PASSWORD} two");
    let path = "/api/v1/organizations/default/users";
    for (round, wait) in [0, 5, 20, 60].into_iter().enumerate() {
        let email = format!("n{round}@example.com");
        let added = operator.post(path, &json!({ "email": email, "role": "admin" })).is(201).json();
        let person = Person::welcome(&service, &email, added["one_time_password"].as_str().unwrap());
        let one = format!("{path}/{}", added["id"].as_str().unwrap());
        std::thread::scope(|scope| {
            let body = json!({ "current": PASSWORD, "new": other });
            let change = scope.spawn(move || person.put("/api/v1/session/password", &body).status);
            std::thread::sleep(Duration::from_millis(wait));
            let shut_out = || operator.patch(&one, &json!({ "disabled": true }));
            if shut_out().status != 200 {
                // The password was changed in that very moment: nothing is saved over it, either.
                shut_out().is(200);
            }
            let changed = change.join().unwrap();
            assert!([200, 401, 409].contains(&changed), "{changed}");
        });
        let users = operator.get(path).is(200).json();
        let row = users["items"].as_array().unwrap().iter().find(|u| u["id"] == added["id"]).unwrap();
        assert_eq!(row["disabled"], true, "after {wait} ms");
        assert_eq!(service.sign_in(&email, &other).problem(401), "wrong-password");
    }
}

#[rstest]
fn a_token_does_what_it_was_made_for_until_it_is_revoked(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    operator.organization("north", None);
    let path = "/api/v1/organizations/north/tokens";
    let body = json!({ "name": "export", "rights": ["settings.read"] });
    let made = operator.post(path, &body).is(201);
    assert!(made.header("location").unwrap().starts_with(path));
    let made = made.json();
    let token = made["token"].as_str().unwrap().to_owned();
    assert!(token.starts_with(made["prefix"].as_str().unwrap()));
    let listed = operator.get(path).is(200).text();
    assert!(!listed.contains(&token) && listed.contains("export"), "{listed}");

    let ask = |method: &str, path: &str| {
        Request::new(method, path)
            .header("authorization", &format!("Bearer {token}"))
            .json(&json!({}))
            .send(service.at)
    };
    ask("GET", "/api/v1/organizations/north/settings").is(200);
    assert_eq!(ask("GET", "/api/v1/organizations/default/settings").problem(404), "not-found");
    assert_eq!(ask("PUT", "/api/v1/organizations/north/settings/credits").problem(403), "forbidden");
    assert_eq!(ask("GET", path).problem(403), "forbidden");
    assert_eq!(ask("GET", "/api/v1/session").is(200).json()["rights"], json!(["settings.read"]));
    assert_eq!(operator.post(path, &json!({ "name": "x", "rights": ["nothing"] })).problem(422), "invalid");
    assert_eq!(operator.post(path, &json!({ "name": "x", "rights": [] })).problem(422), "invalid");

    let id = made["id"].as_str().unwrap();
    operator.delete(&format!("{path}/{id}")).is(204);
    assert_eq!(operator.delete(&format!("{path}/{id}")).problem(404), "not-found");
    assert_eq!(ask("GET", "/api/v1/organizations/north/settings").problem(401), "not-signed-in");
    let garbage =
        Request::new("GET", "/api/v1/session").header("authorization", "Basic YTpi").send(service.at);
    assert_eq!(garbage.problem(401), "not-signed-in");
}

/// What operators do, and who signed in as one, is in the audit of no organization. They read it; nobody else learns of it.
#[rstest]
fn the_audit_of_the_installation_is_read_by_who_is_of_no_organization(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(mut service) = Service::start(backend, &[]) else { return };
    let path = "/api/v1/organizations/%2A/audit";
    let newest = {
        let operator = service.operator();
        operator.organization("north", None);
        let admin = operator.colleague("north", "admin");
        let page = operator.get(&format!("{path}?action=session.")).is(200).json();
        let begun = &page["items"][0];
        assert_eq!((&begun["action"], &begun["actor"]), (&json!("session.begin"), &json!(FIRST)), "{page}");
        let chain = operator.get(&format!("{path}/chain")).is(200).json();
        assert_eq!(chain["ok"], true);
        for path in [path.to_owned(), format!("{path}/chain")] {
            assert_eq!(admin.get(&path).problem(404), "not-found");
        }
        assert_eq!(operator.get("/api/v1/organizations/%2A/settings").problem(404), "not-found");
        operator.get(&format!("{path}?limit=1")).is(200).json()["items"][0]["number"].clone()
    };
    service.stop();
    let listed = service.run(&["--org", "*", "audit", "list"]);
    assert_eq!(listed["entries"][0]["number"], newest, "{listed}");
    assert_eq!(service.run(&["--org", "*", "audit", "verify"])["intact"], true);
    let refused = service.command(&["--org", "*", "task", "list"]).output().unwrap();
    assert!(!refused.status.success());
}

#[rstest]
fn the_same_request_with_the_same_key_is_carried_out_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    let ask = |key: &str, body: &serde_json::Value| {
        operator
            .request("POST", "/api/v1/organizations")
            .header("idempotency-key", key)
            .json(body)
            .send(service.at)
    };
    let first = ask("k1", &json!({ "id": "north" })).is(201);
    let again = ask("k1", &json!({ "id": "north" })).is(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!((first.json(), first.header("location")), (again.json(), again.header("location")));
    assert_eq!(ask("k1", &json!({ "id": "south" })).problem(409), "conflict");
    assert_eq!(ask("k2", &json!({ "id": "north" })).problem(409), "conflict", "the slug is taken");
    ask("k2", &json!({ "id": "south" })).is(201);
    assert_eq!(ask("", &json!({ "id": "west" })).problem(422), "invalid");

    let token = |key: &str| {
        operator
            .request("POST", "/api/v1/organizations/north/tokens")
            .header("idempotency-key", key)
            .json(&json!({ "name": "t", "rights": ["tasks.read"] }))
            .send(service.at)
            .is(201)
            .json()
    };
    let (first, again) = (token("k3"), token("k3"));
    assert_eq!(first["id"], again["id"]);
    assert!(first["token"].is_string() && again["token"].is_null(), "a secret is shown once");
}

/// What the document says of an answer's field: whether it may be nothing.
fn may_be_null(document: &Value, method: &str, path: &str, status: u16, field: &str) -> bool {
    let answer = &document["paths"][path][method]["responses"][status.to_string()];
    let schema = answer["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
    let schema = &document["components"]["schemas"][schema.rsplit('/').next().unwrap()];
    let kind = &schema["properties"][field]["type"];
    assert!(!kind.is_null(), "{path}: {field} of {schema}");
    kind.as_array().is_some_and(|kinds| kinds.contains(&json!("null")))
}

/// What is shown once is left out of the second answer, and nothing else; and the second one is as the document says.
#[rstest]
fn what_is_answered_again_fits_the_document(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let environment =
        [("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1"), ("TRUEUP_PUBLIC_URL", "http://trueup.example.com")];
    let Some(service) = Service::start(backend, &environment) else { return };
    let (sandbox, operator) = (Sandbox::start(), service.operator());
    let document = service.get("/api/v1/openapi.json").is(200).json();
    for (id, parent) in [("north", "default"), ("south", "default"), ("shop", "north")] {
        operator.organization(id, Some(parent));
    }
    operator.post(&format!("{ORG}/connections"), &sandbox.connection()).is(201);
    let mapping = json!({ "kind": "customer", "source_id": "c-1", "options": { "do_not_bill": "test" } });
    operator.put(&format!("{ORG}/mappings"), &mapping).is(200);
    let user = operator.colleague("north", "billing").get("/api/v1/session").json()["id"].clone();
    let hook = json!({ "name": "h", "url": "http://127.0.0.1:1/" });
    let made = operator.post(&format!("{ORG}/webhooks"), &hook).is(201).json()["id"].clone();
    let shown = |path: &str| operator.get(path).is(200).json()["token"].clone();
    let moved = shown("/api/v1/organizations/shop/move?parent=south");
    let released = shown(&format!("{ORG}/mappings/release?kind=customer&source_id=c-1"));

    let org = "/api/v1/organizations/{org}";
    for (at, with, body, secret) in [
        ("/move", ("shop", ""), json!({ "parent": "south", "token": moved }), None),
        (
            "/mappings/release",
            ("default", ""),
            json!({ "kind": "customer", "source_id": "c-1", "token": released, "reason": "test" }),
            None,
        ),
        ("/connections/{connection}/callback", ("default", "connectwise"), json!({}), Some("address")),
        ("/tokens", ("north", ""), json!({ "name": "t", "rights": ["tasks.read"] }), Some("token")),
        (
            "/users",
            ("north", ""),
            json!({ "email": "a@north.example.com", "role": "billing" }),
            Some("one_time_password"),
        ),
        ("/users/{user}/reset", ("north", user.as_str().unwrap()), json!({}), Some("one_time_password")),
        ("/webhooks", ("default", ""), hook.clone(), Some("secret")),
        ("/webhooks/{webhook}/rotate", ("default", made.as_str().unwrap()), json!({}), Some("secret")),
    ] {
        let template = format!("{org}{at}");
        let part = template.split('/').filter(|part| part.starts_with('{')).nth(1).unwrap_or("{}");
        let path = template.replace("{org}", with.0).replace(part, with.1);
        let ask =
            || operator.request("POST", &path).header("idempotency-key", at).json(&body).send(service.at);
        let (first, again) = (ask(), ask());
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{path}: {}", again.text());
        let (status, first, again) = (first.status, first.json(), again.json());
        for (field, value) in first.as_object().unwrap() {
            if Some(field.as_str()) == secret {
                assert!(value.is_string() && again[field].is_null(), "{path}: {field}");
                assert!(may_be_null(&document, "post", &template, status, field), "{path}: {field}");
            } else {
                assert_eq!(value, &again[field], "{path}: {field}");
            }
        }
    }
}

#[rstest]
fn what_cannot_be_read_is_a_problem_too(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let Some(service) = Service::start(backend, &[]) else { return };
    let operator = service.operator();
    let path = "/api/v1/organizations";
    let raw = |body: &str| operator.request("POST", path).body("application/json", body).send(service.at);
    assert_eq!(raw("{").problem(400), "malformed");
    assert_eq!(raw(r#"{"id": "twice"} {}"#).problem(400), "malformed");
    assert_eq!(raw(r#"["by-position", null, null, null]"#).problem(422), "invalid");
    assert_eq!(raw("[]").problem(422), "invalid");
    assert_eq!(raw(r#"{"id": 7}"#).problem(422), "invalid");
    assert_eq!(raw(r#"{"id": "NORTH"}"#).problem(422), "invalid");
    assert_eq!(
        raw(&format!(r#"{{"id": "north", "name": "{}"}}"#, "x".repeat(2_000_000))).problem(413),
        "too-large"
    );
    assert!(matches!(raw(&"[".repeat(100_000)).status, 400 | 422));
    assert!(matches!(raw(&r#"{"id":"#.repeat(100_000)).status, 400 | 422));
    assert_eq!(operator.get("/api/v1/organizations?limit=0").problem(422), "invalid");
    assert_eq!(operator.get("/api/v1/organizations?limit=x").problem(400), "malformed");
    assert_eq!(operator.get("/api/v1/organizations?cursor=x").problem(422), "invalid");
    assert_eq!(operator.get("/api/v1/organizations?nothing=1").problem(400), "malformed");
    assert_eq!(operator.get("/api/v1/organizations/%FF/settings").problem(400), "malformed");
    operator.get("/api/v1/organizations").is(200);
}
