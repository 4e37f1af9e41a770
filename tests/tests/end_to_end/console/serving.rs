//! Who gets the console, and what else it is served with.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use ees_tests::{Server, ees, run};
use serde_json::json;

use super::browser::browse;

/// What Chromium sends.
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// The answer to a GET, without what differs from request to request.
fn get(server: &Server, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(server.url().strip_prefix("http://").unwrap()).unwrap();
    let accept = if accept.is_empty() { String::new() } else { format!("Accept: {accept}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{accept}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let is_fixed = |line: &&str| !["date:", "x-request-id:"].iter().any(|name| line.starts_with(name));
    answer.split("\r\n").filter(is_fixed).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_browser_gets_the_console_and_other_clients_what_they_got() {
    let folder = tempfile::tempdir().unwrap();
    let named = ["--store", "memory:", "--console-name", "STAGING", "--console-color", "#123abc"];
    let server = Server::start_in(folder.path().join("with"), &named, &[("EES_API_KEYS", "read:the-reader")]);
    let without = Server::start_with(folder.path().join("without"), &["--store", "memory:", "--no-console"]);
    let open = Server::start_with(folder.path().join("open"), &["--store", "memory:"]);

    for server in [&server, &open] {
        let led = get(server, "/", BROWSER);
        assert!(led.starts_with("HTTP/1.1 303") && led.contains("\nlocation: console/\n"), "{led}");
    }
    for accept in ["", "*/*", "application/json"] {
        assert_eq!(get(&open, "/", accept), get(&without, "/", accept), "{accept}");
        assert!(get(&server, "/", accept).starts_with("HTTP/1.1 401"));
    }
    assert!(
        get(&open, "/", "*/*")
            .ends_with(r#"{"error":"ENDPOINT_NOT_FOUND","message":"The requested endpoint doesn't exist."}"#)
            || get(&open, "/", "*/*").starts_with("HTTP/1.1 404")
    );
    for path in ["/", "/console", "/console/", "/console/config.json"] {
        assert!(get(&without, path, BROWSER).starts_with("HTTP/1.1 404"), "{path}");
    }
    assert!(
        get(&server, "/console/config.json", "*/*")
            .ends_with(r##"{"banner":{"name":"STAGING","color":"#123abc"}}"##)
    );
    assert!(get(&open, "/console/config.json", "*/*").ends_with(r#"{"banner":null}"#));

    // Every file of the page is there without a key, brings nothing from elsewhere, and runs nothing but its own.
    let page = get(&server, "/console/", BROWSER);
    assert!(page.contains(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"
    ));
    let mut left = vec!["console.js".to_owned(), "console.css".to_owned(), "icon.svg".to_owned()];
    let mut seen = vec![];
    while let Some(name) = left.pop() {
        if seen.contains(&name) {
            continue;
        }
        let file = get(&server, &format!("/console/{name}"), "*/*");
        assert!(
            file.starts_with("HTTP/1.1 200") && file.contains("content-security-policy: default-src 'none'"),
            "{name}"
        );
        let elsewhere = file.replace("http://www.w3.org/2000/svg", "");
        assert!(!elsewhere.contains("http://") && !elsewhere.contains("https://"), "{name}");
        assert!(
            !file.contains("innerHTML") && !file.contains("insertAdjacentHTML") && !file.contains("eval("),
            "{name}"
        );
        let imports = file.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next());
        left.extend(imports.map(str::to_owned));
        seen.push(name);
    }
    assert!(seen.len() > 10, "{seen:?}");
    assert!(!page.contains("<style") && !page.contains("style=") && page.matches("<script").count() == 1);
}

#[test]
fn a_banner_that_can_not_be_shown_is_refused() {
    for (option, value, why) in [
        ("--console-color", "pink", "There are: red, orange"),
        ("--console-color", "#12345", "#RRGGBB"),
        ("--console-name", " ", "1 to 64 characters"),
    ] {
        let name = if option == "--console-name" { value } else { "PRODUCTION" };
        let color = if option == "--console-color" { value } else { "red" };
        let line = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--store",
            "memory:",
            "--console-name",
            name,
            "--console-color",
            color,
        ];
        let refused = run(&mut ees(&line)).failed(2);
        assert!(refused.contains(option) && refused.contains(why), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_projections_only_shows_those() {
    let store = std::sync::Arc::new(ees_store::memory::Store::new());
    let running = ees_projector::Projector::new(store).start();
    let address = running.serve("127.0.0.1:0").await.unwrap();
    browse(&format!("http://{address}"), async |browser| {
        browser.open("/").await;
        browser.until_text("#nav", |text| text.contains("Projections")).await;
        let links =
            browser.run("return [...document.querySelectorAll('#nav a')].map((it) => it.textContent)").await;
        assert_eq!(links, json!(["Overview", "Projections", "Reactors", "Audit", "Server"]));
        for (link, heading) in
            ["Overview", "Projections", "Reactors", "Audit", "Server"].into_iter().enumerate()
        {
            browser.click(&format!("#nav li:nth-child({}) a", link + 1)).await;
            browser.until_text("main h1", |text| text == heading).await;
        }
        assert_eq!(browser.text("#trouble").await, "");
    })
    .await;
    running.shut_down().await;
}
