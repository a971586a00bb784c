//! Signing in, sessions, people, tokens.

use crate::bench::{FIRST, PASSWORD, Person, Service};
use crate::http::Request;
use serde_json::json;

#[test]
fn a_session_is_a_cookie_and_a_token_against_forged_requests() {
    let service = Service::sqlite();
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

#[test]
fn who_fails_often_has_to_wait() {
    let service = Service::sqlite();
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

#[test]
fn people_are_added_changed_and_shut_out() {
    let service = Service::sqlite();
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

#[test]
fn a_token_does_what_it_was_made_for_until_it_is_revoked() {
    let service = Service::sqlite();
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

#[test]
fn the_same_request_with_the_same_key_is_carried_out_once() {
    let service = Service::sqlite();
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

#[test]
fn what_cannot_be_read_is_a_problem_too() {
    let service = Service::sqlite();
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
