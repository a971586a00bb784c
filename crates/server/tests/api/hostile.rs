//! Addresses that nobody may make the service call, in every spelling of the corpus of the sender's own tests.

use crate::bench::Service;
use serde_json::json;
use std::net::TcpListener;
use url::Url;

const ORG: &str = "/api/v1/organizations/default";
const HOSTILE: &str = include_str!("../../../transport/tests/hostile-urls.txt");

fn trap(at: &str) -> Option<TcpListener> {
    let trap = TcpListener::bind(at).ok()?;
    trap.set_nonblocking(true).unwrap();
    Some(trap)
}

#[test]
fn no_address_of_the_corpus_is_called_for_anybody_over_the_network() {
    let service = Service::sqlite();
    let person = service.operator();
    let four = trap("127.0.0.1:0").unwrap();
    let port = four.local_addr().unwrap().port();
    // Where the machine has no IPv6 there is nothing to listen on, and nothing to call.
    let six = trap(&format!("[::1]:{port}"));
    let mut seen = 0;
    for line in HOSTILE.lines().filter(|line| !line.starts_with("# ")) {
        seen += 1;
        // As it is written, and with the trap's port, since a call to any other would go unseen.
        let mut spellings = vec![line.to_owned()];
        if let Ok(mut url) = Url::parse(line)
            && url.set_port(Some(port)).is_ok()
        {
            spellings.push(url.to_string());
            spellings.push(line.replacen(
                url.host_str().unwrap_or("/"),
                &format!("{}:{port}", url.host_str().unwrap()),
                1,
            ));
        }
        for url in spellings {
            let body = json!({
                "url": url, "company": "a", "public_key": "b", "private_key": "c", "client_id": "d",
            });
            let answer = person.post(&format!("{ORG}/connections"), &body);
            assert_eq!(answer.status, 422, "{url}: {}", answer.text());
            let body = json!({ "name": "a", "url": url });
            let answer = person.post(&format!("{ORG}/webhooks"), &body);
            // A webhook may call any public name over https; where such a name leads is looked at when it is called.
            let is_name = Url::parse(&url).is_ok_and(|url| {
                let host = url.host_str().unwrap_or_default().trim_end_matches('.');
                url.scheme() == "https" && url.domain().is_some() && !host.ends_with("localhost")
            });
            let wanted =
                if is_name { answer.status == 201 || answer.status == 409 } else { answer.status == 422 };
            assert!(wanted || answer.status == 422, "a webhook at {url}: {}", answer.text());
        }
    }
    assert!(seen >= 150, "{seen}");
    assert!(four.accept().is_err(), "somebody called");
    assert!(six.is_none_or(|six| six.accept().is_err()), "somebody called over IPv6");
    assert_eq!(person.get(&format!("{ORG}/connections")).json()["items"], json!([]));
    // What is stored cannot be turned elsewhere either: a rotation takes keys alone.
    let body = json!({ "private_key": "x", "url": format!("https://127.0.0.1:{port}") });
    let answer = person.post(&format!("{ORG}/connections/connectwise/rotate"), &body);
    assert!(answer.status == 404 || answer.status == 422, "{}", answer.text());
}

#[test]
fn the_trap_sees_who_calls() {
    // Where the operator lists the machine itself, the same request arrives: the test above can fail.
    let service =
        Service::start(crate::bench::Backend::Sqlite, &[("TRUEUP_ALLOWED_PRIVATE_HOSTS", "127.0.0.1")])
            .unwrap();
    let person = service.operator();
    let four = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", four.local_addr().unwrap());
    let caught = std::thread::spawn(move || four.accept().is_ok());
    let body = json!({ "url": url, "company": "a", "public_key": "b", "private_key": "c", "client_id": "d" });
    person.post(&format!("{ORG}/connections"), &body);
    assert!(caught.join().unwrap());
}

/// No text has the character NUL, and no database takes one: whoever sends it is told so, signed in or not.
#[test]
fn a_nul_is_refused_wherever_it_stands() {
    use crate::bench::Backend;
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let Some(service) = Service::start(backend, &[]) else { continue };
        let person = service.operator();
        let nul = "a\u{0}b";
        let signed_out = person.post("/api/v1/session", &json!({ "email": nul, "password": "x" }));
        let organization = person.post(
            "/api/v1/organizations",
            &json!({ "id": "p-1", "name": nul, "kind": "partner", "parent": "default" }),
        );
        let query = person.get(&format!("{ORG}/tasks?customer=a%00b"));
        let path = person.get(&format!("{ORG}/tasks/a%00b"));
        for answer in [signed_out, organization, query, path] {
            assert_eq!(answer.status, 422, "{}", answer.text());
            assert!(answer.text().contains("NUL"), "{}", answer.text());
        }
        let rows = "kind,source_id,psa_id,scope,options\ncustomer,c\u{0}x,101,,\n";
        let path = format!("{ORG}/mappings/import?source=shop");
        let told = person.request("POST", &path).body("text/csv", rows).send(service.at);
        assert!(told.text().contains("NUL"), "{}", told.text());
    }
}
