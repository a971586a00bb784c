//! The test of a connection: what is wrong with it is told apart.

use super::desk::bare;
use serde_json::Value;

#[test]
fn ax_04_a_test_of_the_connection_tells_a_wrong_key_a_wrong_company_and_nobody_there_apart() {
    let mut bench = bare();
    bench.json(&["connection", "test"]).exits(0);
    let access = bench.sandbox.as_ref().unwrap().access.clone();
    let text = |name: &str| access[name].as_str().unwrap().to_owned();
    let good = text("private_key");
    let add = |bench: &crate::bench::Bench, url: &str, company: &str| -> Value {
        let all = [
            "connection",
            "add",
            "--name",
            "another",
            "--url",
            url,
            "--company",
            company,
            "--public-key",
            &text("public_key"),
            "--client-id",
            &text("client_id"),
        ];
        let told = bench.json(&all).exits(3).json();
        bench.json(&["connection", "remove", "another"]);
        told["error"].clone()
    };
    let company = add(&bench, &text("url"), "NoSuchCompany");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = add(&bench, &format!("http://127.0.0.1:{port}"), &text("company"));
    bench.env("TRUEUP_CONNECTWISE_PRIVATE_KEY", "wrong");
    let key = add(&bench, &text("url"), &text("company"));
    let codes = [&key["code"], &company["code"], &nobody["code"]];
    assert_eq!(codes, ["TU1002", "TU1005", "TU1001"], "{key} {company} {nobody}");
    assert!(company["message"].as_str().unwrap().contains("NoSuchCompany"), "{company}");
    for told in [&key, &company, &nobody] {
        assert!(!told.to_string().contains(&good), "{told}");
        assert!(told["fix"].as_str().is_some_and(|fix| !fix.is_empty()), "{told}");
    }
}
