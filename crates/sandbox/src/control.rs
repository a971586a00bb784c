//! The endpoints under `/sandbox/`. They need no keys, meet no fault and are not in the journal.

use serde_json::{Value, json};

use crate::state::{SandboxControl, lock};

/// Answers a control call: status and JSON text.
pub(crate) fn answer(control: &SandboxControl, method: &str, path: &str, body: &str) -> (u16, String) {
    let body: Value = if body.trim().is_empty() {
        json!({})
    } else {
        match serde_json::from_str(body) {
            Ok(body) => body,
            Err(error) => return failure(400, &format!("the body is not JSON: {error}")),
        }
    };
    let name =
        path.trim_start_matches('/').trim_end_matches('/').strip_prefix("sandbox/").unwrap_or_default();
    let word = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let done = match (method, name) {
        ("GET", "state") => return (200, control.state_json().to_text()),
        ("GET", "journal") => return (200, lock(&control.state.journal).to_json().to_text()),
        ("GET", "journal/summary") => return (200, lock(&control.state.journal).summary().to_text()),
        ("GET", "callbacks") => return (200, control.callbacks_json().to_text()),
        ("GET", "invoices") => return (200, control.invoices_json().to_text()),
        ("GET", "clock") => return (200, json!({"today": control.today()}).to_string()),
        ("DELETE", "journal") => {
            control.clear_journal();
            Ok(())
        }
        ("POST", "clock") => control.set_today(&word("today")),
        ("POST", "faults") => control.set_faults(body),
        ("POST", "roles") => control.set_roles(body),
        ("POST", "rate_limit") => control.set_rate_limit(body),
        ("POST", "rules") => match control.set_rules(body) {
            Ok(rules) => return (200, rules.to_string()),
            Err(error) => Err(error),
        },
        ("POST", "latency") => match body.get("ms").and_then(Value::as_u64) {
            Some(milliseconds) => {
                control.set_latency_ms(milliseconds);
                Ok(())
            }
            None => return failure(400, "ms must be a whole number of milliseconds"),
        },
        ("POST", "seed") => control.load(&body),
        ("POST", "reset") => {
            control.reset();
            Ok(())
        }
        ("POST", "snapshot") => {
            control.snapshot(&word("name"));
            Ok(())
        }
        ("POST", "restore") => control.restore(&word("name")),
        _ => return failure(404, "there is no such control endpoint"),
    };
    match done {
        Ok(()) => (200, json!({"ok": true}).to_string()),
        Err(error) => failure(400, &error.to_string()),
    }
}

fn failure(status: u16, message: &str) -> (u16, String) {
    (status, json!({"error": message}).to_string())
}
