//! `ees console`: the same page, on this machine, before servers elsewhere.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use axum::http::header::ACCEPT;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse as _;
use ees_projector::sqlite::Database;
use ees_projector::{Projector, Retry, Settings};
use ees_store::client::Client;
use ees_store::http::{Api, RemoteConsole};
use ees_store::memory;
use ees_tests::{Killed, Server, ees, run};
use serde_json::{Value, json};

use super::browser::{Browser, browse};
use super::world::failing;

/// A running `ees console`.
struct Console {
    process: Killed,
    /// The address that it printed, with the key.
    address: String,
    servers: Value,
}

impl Console {
    fn before(urls: &[&str], key: &str) -> Self {
        let urls = urls.iter().flat_map(|url| ["--url", url]);
        let mut command: Command = ees(&["console", "--json", "--console-name", "STAGING"]);
        command.args(urls).env("EES_API_KEY", key).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Killed(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut told: Value = serde_json::from_str(&line).unwrap();
        let address = told["console"].as_str().unwrap().to_owned();
        Self { process, address, servers: told["servers"].take() }
    }

    /// Where it listens, and the key.
    fn parts(&self) -> (&str, &str) {
        let (root, key) = self.address.split_once("/console/#key=").unwrap();
        (root, key)
    }

    /// The status and the body of an answer.
    fn get(&self, path: &str, headers: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.parts().0.strip_prefix("http://").unwrap()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    /// The same with its key.
    fn get_with_key(&self, path: &str) -> (u16, String) {
        self.get(path, &format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", self.parts().1))
    }
}

async fn open(browser: &Browser, console: &Console) {
    browser.open(console.address.strip_prefix(console.parts().0).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_elsewhere_is_shown_and_operated_with_the_key_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [("EES_API_KEYS", "admin:the-admin"), ("EES_API_KEY", "the-admin")];
    let mut server = Server::start_in(folder.path(), &[], &keys);
    run(&mut server.ees(&["commit", "account/1", "--event", r#"{"type":"opened"}"#])).ok();
    let mut console = Console::before(&[&server.url()], "the-admin");
    assert_eq!(console.servers, json!([server.url()]));
    let (root, key) = console.parts();
    let (root, key) = (root.to_owned(), key.to_owned());
    browse(&root, async |browser| {
        open(browser, &console).await;
        browser.until_text("main .good-news", |text| text.contains("Everything moves")).await;
        assert_eq!(browser.text("#banner").await, "STAGING");
        let kept = "return [location.href, document.cookie, localStorage.length, sessionStorage.length]";
        assert_eq!(browser.run(kept).await, json!([format!("{root}/console/"), "", 0, 0]));

        // What arrives is shown at once: nothing in between keeps it.
        browser.run("location.hash = '#/log'").await;
        browser.until_text("main .state", |text| text.contains("Following · 1 received")).await;
        run(&mut server.ees(&["commit", "account/2", "--event", r#"{"type":"opened"}"#])).ok();
        browser.until_text("main .state", |text| text.contains("2 received")).await;

        browser.run("location.hash = '#/projections/statistics'").await;
        browser.click("#operations [data-operation=pause]").await;
        browser.fill("#field-reason", "from elsewhere").await;
        browser.click("dialog button[type=submit]").await;
        browser.until_text("main h1", |text| text.contains("Paused")).await;
        let status = run(&mut server.ees(&["projections", "status", "statistics", "--json"])).json();
        assert_eq!(status[0]["pause"]["reason"], "from elsewhere");

        // What the server refuses is shown in its words, and that it is away.
        browser.click("#operations [data-operation=checkpoint]").await;
        browser.fill("#field-to", "999").await;
        browser.fill("#field-reason", "too far").await;
        browser.click("dialog button[type=submit]").await;
        browser.until_text("dialog .trouble", |text| text.contains("the log ends before")).await;
        browser.click("dialog .actions button:last-child").await;
        server.stop();
        let why = browser.until_text("#trouble", |text| !text.is_empty()).await;
        assert!(why.contains(&server.url()) && why.contains("refused"), "{why}");
        server.start_again();
        browser.until_text("#trouble", str::is_empty).await;

        // Without the key of the address, nothing but the page is there. The address can be opened again.
        browser.open("/console/?again").await;
        browser.until_text("dialog .sentence", |text| text.contains("what follows #key=")).await;
        browser
            .intercept("if (path.includes('limit=1&')) return say({ message: 'The log is away.' }, 503);")
            .await;
        browser.run(&format!("location.hash = 'key={key}'")).await;
        // What can't be read at the start is there all the same.
        browser.until_text("#attention", |text| text.contains("The log is away.")).await;
        browser.until_text("#nav", |text| text.contains("Log")).await;
        assert_eq!(browser.count("dialog").await, 0);
        assert_eq!(browser.run("return location.href").await, format!("{root}/console/"));
    })
    .await;

    let with_key = format!("Authorization: Bearer {key}\r\n");
    for (path, headers, status) in [
        ("/console/", "Host: localhost\r\n".to_owned(), 200),
        ("/access", format!("Host: localhost\r\n{with_key}"), 200),
        ("/access", format!("Host: [::1]:1\r\n{with_key}"), 200),
        ("/access", "Host: localhost\r\n".to_owned(), 401),
        ("/health/ready", "Host: localhost\r\n".to_owned(), 401),
        ("/metrics", "Host: localhost\r\nAuthorization: Bearer the-admin\r\n".to_owned(), 401),
        ("/access", format!("Host: rebound.example\r\n{with_key}"), 421),
        ("/console/", "Host: rebound.example\r\n".to_owned(), 421),
        // What only looks like the page's.
        ("/console/../access", "Host: localhost\r\n".to_owned(), 401),
        ("/console/%2e%2E/access", "Host: localhost\r\n".to_owned(), 401),
        ("/console/../access", format!("Host: localhost\r\n{with_key}"), 404),
        ("/console/%2e%2E/access", format!("Host: localhost\r\n{with_key}"), 404),
        ("/servers/1/access", format!("Host: localhost\r\n{with_key}"), 404),
        ("/streams/a%2Fb/changesets", format!("Host: localhost\r\n{with_key}"), 404),
    ] {
        assert_eq!(console.get(path, &headers).0, status, "{path} {headers}");
    }

    // Also while somebody follows.
    let mut follower = TcpStream::connect(root.strip_prefix("http://").unwrap()).unwrap();
    let follow = "GET /changesets HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream";
    write!(follower, "{follow}\r\nAuthorization: Bearer {key}\r\n\r\n").unwrap();
    let mut line = String::new();
    BufReader::new(follower.try_clone().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("200"), "{line}");
    console.process.interrupt();
    assert_eq!(console.process.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_server_that_refuses_or_is_not_there_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [("EES_API_KEYS", "admin:the-admin")];
    let server = Server::start_in(folder.path(), &["--store", "memory:"], &keys);
    let console = Console::before(&[&server.url(), "http://127.0.0.1:1"], "another");
    let (status, refused) = console.get_with_key("/access");
    assert_eq!(status, 502, "the page must not take it for an answer about its own key: {refused}");
    assert!(refused.contains(&server.url()) && refused.contains("EES_API_KEY"), "{refused}");
    let (status, away) = console.get_with_key("/servers/1/access");
    assert!(status == 502 && away.contains("http://127.0.0.1:1: Connection refused"), "{away}");

    for (arguments, why) in [
        (&["--url", "ftp://host"][..], "http://"),
        (&["--url", "http://host", "--console-color", "pink", "--console-name", "a"], "red, orange"),
        (&["--port", "70000"], "--port"),
    ] {
        let refused = run(&mut ees(&[&["console"], arguments].concat())).failed(2);
        assert!(refused.contains(why), "{refused}");
    }
    let (_, port) = console.parts().0.rsplit_once(':').unwrap();
    let taken = run(&mut ees(&["console", "--port", port])).failed(1);
    assert!(taken.contains("--port"), "{taken}");
    assert!(
        run(&mut ees(&["console", "--help"])).ok().contains("ees console --url https://events.example.com")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_projections_of_several_processes_are_one_list() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    run(&mut server.ees(&["commit", "order/7", "--event", r#"{"type":"poison"}"#])).ok();
    let retry = Retry { times: 0, ..Retry::default() };
    let mut projector = Projector::new(std::sync::Arc::new(Client::new(&server.url()).unwrap()));
    let settings = Settings { retry, ..Settings::default() };
    let database = Database::open(folder.path().join("orders.db")).unwrap();
    projector.projection(failing("orders", "poison"), database, settings).unwrap();
    let running = projector.start();
    let process = format!("http://{}", running.serve("127.0.0.1:0").await.unwrap());
    let console = Console::before(&[&server.url(), &process], "any");
    browse(console.parts().0, async |browser| {
        open(browser, &console).await;
        let attention = browser.until_text("#attention", |text| text.contains("Paused")).await;
        assert!(attention.contains("order/7") && attention.contains(&process), "{attention}");
        let table = browser.text("main table tbody").await;
        for shown in ["orders", "statistics", "stream_catalogue", &server.url(), &process] {
            assert!(table.contains(shown), "{shown} is not in {table}");
        }

        // An operation goes to the process that has the projection, the log comes from the first.
        browser.click("#attention [data-operation=skip]").await;
        browser.fill("#field-reason", "made by mistake").await;
        browser.click("dialog button[type=submit]").await;
        browser.until_text("main .good-news", |text| text.contains("Everything moves")).await;
        assert_eq!(running.handle().status("orders").await.unwrap().skipped, [0]);
        browser.click("main table a[href*='process=1']").await;
        browser.until_text("#audit", |text| text.contains("made by mistake")).await;
        // Processes with one database tell the same.
        browser
            .intercept(
                "if (path.startsWith('audit?')) return real(url.replace('audit', 'servers/1/audit'), options);",
            )
            .await;
        browser.run("location.hash = '#/audit'").await;
        let audit = browser.until_text("#audit", |text| text.contains("made by mistake")).await;
        assert_eq!(audit.matches("made by mistake").count(), 1, "{audit}");
        browser.run("location.hash = '#/log'").await;
        browser.until_text("main .state", |text| text.contains("1 received")).await;
        browser.run("location.hash = '#/server'").await;
        browser.until_text("main", |text| text.matches("ready").count() == 2).await;

        // One that is away keeps nobody from seeing the others.
        browser.run("location.hash = '#/overview'").await;
        browser.find("main table").await;
        server.stop();
        let why = browser.until_text("#attention", |text| text.contains("refused")).await;
        assert!(why.contains(&server.url()), "{why}");
        assert!(browser.text("main table tbody").await.contains("orders"));
        browser.run("location.hash = ''; location.reload()").await;
        browser.fill("#field-key", console.parts().1).await;
        browser.click("dialog button[type=submit]").await;
        browser.until_text("main table tbody", |text| text.contains("orders")).await;
        browser.run("location.hash = '#/audit'").await;
        browser.until_text("main .problem", |text| text.contains("refused")).await;
        assert!(browser.text("#audit").await.contains("made by mistake"));

        // Each process is asked what the key may do there.
        server.start_again();
        browser.run("location.hash = '#/projections/orders?process=1'").await;
        browser.find("#operations [data-operation=pause]").await;
        browser.intercept("if (path === 'servers/1/access') return say({ scopes: ['read'] });").await;
        browser.run(&format!("location.hash = 'key={}'", console.parts().1)).await;
        browser.until_text("#session", |text| text.contains("each server allows something else")).await;
        browser.run("location.hash = '#/projections/orders?process=1'").await;
        browser.find("#audit").await;
        assert_eq!(browser.count("[data-operation]").await, 0);
    })
    .await;
    running.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_followed_where_the_server_has_no_event_streams() {
    // As a function behind API Gateway.
    let store = std::sync::Arc::new(memory::Store::new());
    let router = Api::new(store.clone(), store.clone()).router();
    let router = router.layer(from_fn(async |request: axum::extract::Request, next: Next| {
        let accepted = request.headers().get(ACCEPT).is_some_and(|it| it == "text/event-stream");
        if accepted { StatusCode::NOT_ACCEPTABLE.into_response() } else { next.run(request).await }
    }));
    let function = ees_store::http::Server::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", function.local_addr().unwrap())).unwrap();
    tokio::spawn(function.serve(router, std::future::pending()));
    let remote = RemoteConsole::before([client.clone()]);
    let server = ees_store::http::Server::bind("127.0.0.1:0").await.unwrap();
    let (url, path) = (format!("http://{}", server.local_addr().unwrap()), remote.path());
    tokio::spawn(server.serve(remote.router(), std::future::pending()));
    let commit = async |stream: &str| {
        let events = ees_store::Events::parse(r#"[{"type":"opened"}]"#).unwrap();
        let commit =
            ees_store::Commit::new(stream.parse().unwrap(), ees_store::Expectation::NewStream, events);
        ees_store::EventStore::commit(&client, commit).await.unwrap()
    };
    commit("before").await;
    browse(&url, async |browser| {
        browser.open(&path).await;
        browser.until_text("#nav", |text| text.contains("Log")).await;
        browser.run("location.hash = '#/log'").await;
        browser.until_text("main .state", |text| text.contains("Following · 1 received")).await;
        let before = Instant::now();
        commit("after").await;
        browser.until_text("main .state", |text| text.contains("2 received")).await;
        assert!(before.elapsed() < Duration::from_secs(8), "it is told when it is there, not by the clock");
        assert!(browser.text("#log > div:first-child").await.contains("after"));
    })
    .await;
}
