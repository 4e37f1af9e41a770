//! Chromium, driven through its WebDriver.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ees_tests::Killed;
use futures::FutureExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// Longer than any answer of the console takes.
const LONG: Duration = Duration::from_secs(20);

/// Between two looks at the page.
const SHORT: Duration = Duration::from_millis(30);

/// Pictures are part of the documentation.
const PICTURE_BYTES_MAX: u64 = 150 * 1024;

/// The name of an element's id (WebDriver, 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser at a time: each is several processes.
static TURN: Mutex<()> = Mutex::const_new(());

/// A browser with one tab.
///
/// The few calls of WebDriver that are needed. `thirtyfour` would change the features of `serde_json` in the programs under
/// test, and `fantoccini` brings 25 crates along.
pub(super) struct Browser {
    client: reqwest::Client,
    session: String,
    url: String,
}

/// Runs a test with a browser whose addresses begin with `url`, and ends the browser. Leaves the test out, and says so,
/// where Chromium or its driver is not installed.
pub(super) async fn browse(url: &str, test: impl AsyncFnOnce(&Browser)) {
    let _turn = TURN.lock().await;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut chromedriver = Command::new("chromedriver");
    chromedriver.arg(format!("--port={port}")).stdout(Stdio::null()).stderr(Stdio::null());
    let _chromedriver = match chromedriver.spawn() {
        Ok(process) => Killed(process),
        Err(error) => {
            eprintln!("left out: chromedriver can't be run ({error}): install chromium and chromium-driver");
            return;
        }
    };
    let browser = Browser::start(&format!("http://127.0.0.1:{port}"), url).await;
    let ended = AssertUnwindSafe(test(&browser)).catch_unwind().await;
    // Also after a failure: the driver leaves the browser behind when it is killed.
    browser.send(Method::DELETE, "", &Value::Null).await.unwrap();
    ended.unwrap_or_else(|panic| resume_unwind(panic));
}

impl Browser {
    async fn start(webdriver: &str, url: &str) -> Self {
        let mut options = json!({ "args": ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
            "--hide-scrollbars", "--window-size=1280,1000"] });
        if Path::new("/usr/bin/chromium").exists() {
            options["binary"] = "/usr/bin/chromium".into();
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut browser = Self { client, session: format!("{webdriver}/session"), url: url.to_owned() };
        let deadline = Instant::now() + LONG;
        loop {
            // It listens a moment after its start.
            match browser.send(Method::POST, "", &wanted).await {
                Ok(answer) => {
                    browser.session += "/";
                    browser.session += answer["sessionId"].as_str().unwrap();
                    return browser;
                }
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(SHORT).await;
        }
    }

    /// Sends a command to the driver. An error is what it says.
    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let is_done = answer.status().is_success();
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        let value = answer["value"].take();
        if is_done { Ok(value) } else { Err(value["message"].to_string()) }
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        self.send(Method::POST, path, body).await.unwrap_or_else(|error| panic!("{path} {body}: {error}"))
    }

    /// Opens a path of the server.
    pub(super) async fn open(&self, path: &str) {
        self.post("/url", &json!({ "url": format!("{}{path}", self.url) })).await;
    }

    /// Shows pages in these colors: `light` or `dark`.
    pub(super) async fn prefer(&self, colors: &str) {
        let feature = json!({ "name": "prefers-color-scheme", "value": colors });
        let media = json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": [feature] } });
        self.post("/goog/cdp/execute", &media).await;
    }

    /// Puts the reader into a time zone.
    pub(super) async fn live_in(&self, zone: &str) {
        let zone = json!({ "cmd": "Emulation.setTimezoneOverride", "params": { "timezoneId": zone } });
        self.post("/goog/cdp/execute", &zone).await;
    }

    /// Lets the page get other answers from now on. A script may return one for a `path`, as `say(value, status)`; it
    /// gets the server's with `real(url, options)`.
    pub(super) async fn intercept(&self, script: &str) {
        let replace = format!(
            "const real = window.fetch;
            const say = async (value, status = 200) => new Response(JSON.stringify(value), {{ status }});
            const intercept = (path, url, options) => {{ {script} }};
            window.fetch = (url, options = {{}}) =>
                intercept(String(url).replace('../', ''), url, options) ?? real(url, options);"
        );
        self.run(&replace).await;
    }

    /// Does something with an element, once it is there and can be used.
    async fn on(&self, css: &str, act: &str, body: &Value) -> Value {
        let deadline = Instant::now() + LONG;
        loop {
            let wanted = json!({ "using": "css selector", "value": css });
            let done = match self.send(Method::POST, "/element", &wanted).await {
                Ok(found) => {
                    let path = format!("/element/{}/{act}", found[ELEMENT].as_str().unwrap());
                    let method = if body.is_null() { Method::GET } else { Method::POST };
                    self.send(method, &path, body).await
                }
                Err(error) => Err(error),
            };
            match done {
                Ok(value) => return value,
                Err(error) => assert!(Instant::now() < deadline, "{css}: {error}"),
            }
            tokio::time::sleep(SHORT).await;
        }
    }

    /// Types into what has the focus.
    pub(super) async fn press(&self, keys: &str) {
        let keys = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": keys.collect::<Vec<_>>() });
        self.post("/actions", &json!({ "actions": [keyboard] })).await;
    }

    /// Waits until the element is there.
    pub(super) async fn find(&self, css: &str) {
        self.on(css, "name", &Value::Null).await;
    }

    /// Clicks an element.
    pub(super) async fn click(&self, css: &str) {
        self.on(css, "click", &json!({})).await;
    }

    /// Types into a field, in place of what it holds.
    pub(super) async fn fill(&self, css: &str, text: &str) {
        self.on(css, "clear", &json!({})).await;
        self.on(css, "value", &json!({ "text": text })).await;
    }

    /// What a field holds.
    pub(super) async fn value(&self, css: &str) -> Value {
        self.on(css, "property/value", &Value::Null).await
    }

    /// Whether an element can be seen.
    pub(super) async fn shows(&self, css: &str) -> bool {
        self.on(css, "displayed", &Value::Null).await == json!(true)
    }

    /// The text of an element as a reader sees it.
    pub(super) async fn text(&self, css: &str) -> String {
        self.on(css, "text", &Value::Null).await.as_str().unwrap().to_owned()
    }

    /// What a script returns.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// What a script returns that ends later: it calls `done(value)`.
    pub(super) async fn run_to_the_end(&self, script: &str) -> Value {
        let script = format!("const done = arguments[0]; {script}");
        self.post("/execute/async", &json!({ "script": script, "args": [] })).await
    }

    /// Waits until the text of an element is as it should be.
    pub(super) async fn until_text(&self, css: &str, is_right: impl Fn(&str) -> bool) -> String {
        let script = format!("return document.querySelector({})?.innerText ?? ''", json!(css));
        let deadline = Instant::now() + LONG;
        loop {
            let text = self.run(&script).await.as_str().unwrap_or_default().to_owned();
            if is_right(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{css} stays {text:?}");
            tokio::time::sleep(SHORT).await;
        }
    }

    /// The bytes of the page's values that are in use.
    pub(super) async fn heap(&self) -> i64 {
        let collect = json!({ "cmd": "HeapProfiler.collectGarbage", "params": {} });
        self.post("/goog/cdp/execute", &collect).await;
        let usage = json!({ "cmd": "Runtime.getHeapUsage", "params": {} });
        self.post("/goog/cdp/execute", &usage).await["usedSize"].as_f64().unwrap() as i64
    }

    /// The number of elements.
    pub(super) async fn count(&self, css: &str) -> u64 {
        self.run(&format!("return document.querySelectorAll({}).length", json!(css))).await.as_u64().unwrap()
    }

    /// Keeps a picture of the page in the folder `EES_TEST_SCREENSHOTS`, if that is set.
    pub(super) async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("EES_TEST_SCREENSHOTS") else { return };
        std::fs::create_dir_all(&folder).unwrap();
        let picture = self.send(Method::GET, "/screenshot", &Value::Null).await.unwrap();
        let file = std::fs::File::create(Path::new(&folder).join(format!("{name}.png"))).unwrap();
        let decode = Command::new("base64").arg("--decode").stdin(Stdio::piped()).stdout(file).spawn();
        let mut decode = decode.unwrap();
        decode.stdin.take().unwrap().write_all(picture.as_str().unwrap().as_bytes()).unwrap();
        assert!(decode.wait().unwrap().success());
        let bytes = std::fs::metadata(Path::new(&folder).join(format!("{name}.png"))).unwrap().len();
        assert!(bytes <= PICTURE_BYTES_MAX, "{name} has {bytes} bytes");
    }
}
