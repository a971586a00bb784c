//! As much of a WebDriver client as the tests need: the protocol is JSON over HTTP, and a client library would bring a
//! second HTTP stack into the tree, which `deny.toml` forbids.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// How long a page may take to show what is waited for. The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(100);

/// Keys that are no letters.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const DOWN: &str = "\u{e015}";

/// A headless Chromium.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    /// Where the browser keeps what it needs; it goes with the browser.
    _dir: TempDir,
}

/// Where chromedriver is; none (and a word about it) where there is none. In CI that is a failure.
pub fn chromedriver() -> Option<String> {
    let named = std::env::var("TRUEUP_TEST_CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
    let there = Command::new(&named).arg("--version").output().is_ok_and(|output| output.status.success());
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/dist/index.html").is_file();
    if there && built {
        return Some(named);
    }
    let why =
        if there { "the console is not built (cargo xtask console)" } else { "there is no chromedriver" };
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
    None
}

/// How often chromedriver is begun before that counts as a failure.
const STARTS: usize = 10;

/// One chromedriver and its port; none, and a word about it, where it ended before it listened.
#[expect(clippy::zombie_processes, reason = "who ends is waited for here, who goes on by `Browser`")]
fn begin(named: &str, dir: &Path) -> Option<(Child, u16)> {
    let mut driver = Command::new(named)
        .arg("--port=0")
        .env("TMPDIR", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(driver.stdout.take().unwrap());
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if out.read_line(&mut line).unwrap() == 0 {
            let ended = driver.wait();
            eprintln!("chromedriver ended ({ended:?}): {said}");
            return None;
        }
        let words = line.trim().trim_end_matches('.');
        if let Some(port) = words.rsplit(' ').next().and_then(|word| word.parse().ok())
            && words.contains("successfully on port")
        {
            std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
            return Some((driver, port));
        }
        said.push_str(&line);
    }
}

impl Browser {
    /// Starts one, or says why not.
    pub fn start() -> Option<Self> {
        Self::launch("en-GB", &json!({}))
    }

    /// Starts one whose reader has set this language alone.
    pub fn start_in(language: &str) -> Option<Self> {
        Self::launch(language, &json!({ "intl.accept_languages": language }))
    }

    fn launch(language: &str, preferences: &Value) -> Option<Self> {
        let named = chromedriver()?;
        let dir = tempfile::tempdir().unwrap();
        // A free port is free until somebody else takes it, and chromedriver takes it twice, for either family of
        // addresses: where it lost that race it ends, and another one is begun.
        let (driver, port) =
            (0..STARTS).find_map(|_| begin(&named, dir.path())).expect("chromedriver begins");
        let language_flag = format!("--lang={language}");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            language_flag.as_str(),
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments, "prefs": preferences },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let mut browser = Self { driver, port, session: String::new(), _dir: dir };
        let begun = browser.call("POST", "/session", &wanted);
        browser.session = format!("/session/{}", begun["sessionId"].as_str().unwrap());
        browser.window(1280, 900);
        Some(browser)
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = exchange(self.port, method, &format!("{}{path}", self.session), body);
        let value = answer["value"].clone();
        assert!(value["error"].is_null(), "{path}: {}", value["message"]);
        value
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a script in the page.
    #[track_caller]
    pub fn script(&self, script: &str, arguments: &[Value]) -> Value {
        self.call("POST", "/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// Runs a script that calls back.
    #[track_caller]
    pub fn script_later(&self, script: &str, arguments: &[Value]) -> Value {
        self.call("POST", "/execute/async", &json!({ "script": script, "args": arguments }))
    }

    /// The size of the page's window; narrow ones are phones.
    pub fn window(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        let body = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.call("POST", "/goog/cdp/execute", &body);
    }

    /// Takes the network away from the browser, or gives it back.
    pub fn offline(&self, is_offline: bool) {
        let conditions = json!({
            "offline": is_offline, "latency": 0, "download_throughput": -1, "upload_throughput": -1,
        });
        self.call("POST", "/chromium/network_conditions", &json!({ "network_conditions": conditions }));
    }

    /// What the page shows.
    #[track_caller]
    pub fn text(&self) -> String {
        self.script("return document.body.innerText", &[]).as_str().unwrap_or_default().to_owned()
    }

    /// The path of the page.
    pub fn path(&self) -> String {
        self.script("return location.pathname", &[]).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a script answers something that counts as true.
    #[track_caller]
    pub fn until(&self, what: &str, script: &str, arguments: &[Value]) -> Value {
        let mut waited = Duration::ZERO;
        loop {
            let found = self.script(script, arguments);
            if !matches!(found, Value::Null | Value::Bool(false)) {
                return found;
            }
            assert!(waited < PATIENCE, "{what} did not come; {} shows:\n{}", self.path(), self.text());
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
    }

    /// Waits until the page shows a text.
    #[track_caller]
    pub fn sees(&self, text: &str) {
        self.until(
            &format!("\"{text}\""),
            "return document.body.innerText.includes(arguments[0])",
            &[json!(text)],
        );
    }

    /// Waits until a text is gone.
    #[track_caller]
    pub fn sees_no_more(&self, text: &str) {
        let script = "return !document.body.innerText.includes(arguments[0])";
        self.until(&format!("the end of \"{text}\""), script, &[json!(text)]);
    }

    /// Clicks the button, link, tab or menu item by its name, once it can be clicked.
    #[track_caller]
    pub fn click(&self, name: &str) {
        let script = "
            const wanted = arguments[0];
            const named = (e) => (e.getAttribute('aria-label') ?? e.innerText ?? '').trim();
            const all = [...document.querySelectorAll('button, a, [role=tab], [role=menuitem], [role=option]')];
            const dialog = document.querySelector('[role=dialog]');
            const shown = all.filter((e) => e.checkVisibility() && !e.disabled && !e.dataset.loading);
            const within = dialog ? shown.filter((e) => dialog.contains(e) || e.getAttribute('role') === 'option') : shown;
            const found = within.find((e) => named(e) === wanted);
            if (!found) return false;
            found.scrollIntoView({ block: 'center' });
            found.click();
            return true;";
        self.until(&format!("a button \"{name}\""), script, &[json!(name)]);
    }

    /// Turns the checkbox or switch with a label.
    #[track_caller]
    pub fn tick(&self, label: &str) {
        let script = "
            const text = (l) => l.innerText.trim();
            const found = [...document.querySelectorAll('label')].find((l) => text(l) === arguments[0] && l.checkVisibility());
            if (!found) return false;
            found.click();
            return true;";
        self.until(&format!("a checkbox \"{label}\""), script, &[json!(label)]);
    }

    /// Presses and lets go keys one after the other, as a keyboard does.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let both = |key: char| {
            let of = |kind: &str| json!({ "type": kind, "value": key.to_string() });
            [of("keyDown"), of("keyUp")]
        };
        let actions: Vec<Value> = keys.chars().flat_map(both).collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.call("POST", "/actions", &body);
    }

    /// Goes on from one element to the next with the tabulator until the one by this name has the focus, and shows it.
    #[track_caller]
    pub fn reach(&self, name: &str) {
        let script = "
            const wanted = arguments[0];
            const e = document.activeElement;
            const named = (e) => e.getAttribute('aria-label') ?? e.labels?.[0]?.innerText ?? e.innerText ?? '';
            if (!e || e === document.body || named(e).replace('*', '').trim() !== wanted || e.disabled) return false;
            if (!e.matches(':focus-visible')) return 'hidden';
            return true;";
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.script(script, &[json!(name)]) {
                Value::Bool(true) => return,
                Value::Bool(false) => self.press(TAB),
                other => panic!("{name} has the focus and does not show it: {other}"),
            }
        }
        panic!("the keyboard does not reach \"{name}\" on {}:\n{}", self.path(), self.text());
    }

    /// Fills the field with a label, as typing would.
    #[track_caller]
    pub fn fill(&self, label: &str, value: &str) {
        let script = "
            const [label, value] = arguments;
            const text = (l) => l.innerText.replace('*', '').trim();
            const found = [...document.querySelectorAll('label')].find((l) => text(l) === label && l.checkVisibility());
            const field = found && document.getElementById(found.htmlFor);
            if (!field) return false;
            const kind = field.tagName === 'TEXTAREA' ? HTMLTextAreaElement : HTMLInputElement;
            Object.getOwnPropertyDescriptor(kind.prototype, 'value').set.call(field, value);
            field.dispatchEvent(new Event('input', { bubbles: true }));
            return true;";
        self.until(&format!("a field \"{label}\""), script, &[json!(label), json!(value)]);
    }

    /// What the accessibility rules of axe-core find serious or worse.
    #[track_caller]
    pub fn barriers(&self) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/node_modules/axe-core/axe.min.js");
        let Ok(axe) = std::fs::read_to_string(&path) else {
            println!("not checked for barriers: {} is not there", path.display());
            return Vec::new();
        };
        self.script(&axe, &[]);
        let found = self.script_later(
            "const done = arguments[0];
             const frame = () => new Promise((next) => requestAnimationFrame(next));
             // What fades in has its colours only then; what turns without end has them all the time.
             const ends = (moving) => Number.isFinite(moving.effect?.getComputedTiming().endTime);
             const still = async () => {
               for (let frames = 0; frames < 3; frames += 1) {
                 await frame();
                 const moving = document.getAnimations().filter((a) => a.playState === 'running' && ends(a));
                 if (moving.length > 0) frames = -1;
                 await Promise.allSettled(moving.map((a) => a.finished));
               }
             };
             still().then(() => axe.run()).then((r) => done(r.violations
               .filter((v) => v.impact === 'serious' || v.impact === 'critical')
               .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html.slice(0, 200)} (${n.failureSummary})`))));",
            &[],
        );
        found.as_array().unwrap().iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Errors of the page itself, such as scripts that its policy refused.
    pub fn complaints(&self) -> Vec<String> {
        let logs = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        let severe = logs.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        severe
            .filter_map(|entry| entry["message"].as_str())
            // A refusal of the API is an answer, and its page tells it.
            .filter(|message| !message.contains("Failed to load resource"))
            .map(str::to_owned)
            .collect()
    }

    /// A picture of the whole page.
    #[track_caller]
    pub fn picture(&self, file: &Path, width: u32) {
        let height = self.script("return document.documentElement.scrollHeight", &[]).as_u64().unwrap_or(900);
        self.window(width, u32::try_from(height).unwrap_or(900).clamp(600, 4_000));
        std::thread::sleep(Duration::from_millis(300));
        let body = json!({ "cmd": "Page.captureScreenshot", "params": { "format": "png" } });
        let taken = self.call("POST", "/goog/cdp/execute", &body);
        let data = taken["data"].as_str().unwrap();
        std::fs::write(
            file,
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, data).unwrap(),
        )
        .unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            exchange(self.port, "DELETE", &self.session, &Value::Null);
        } else if !self.session.is_empty() {
            let _ = std::panic::catch_unwind(|| exchange(self.port, "DELETE", &self.session, &Value::Null));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// One request and its whole answer.
fn exchange(port: u16, method: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut text = vec![0; length];
    reader.read_exact(&mut text).unwrap();
    serde_json::from_slice(&text).unwrap()
}
