//! Which proxy a client takes from the environment. Each test runs itself once more, as a process with its own.

use std::process::Command;
use std::time::Duration;

use ees_store::client::Client;
use ees_store::http::Api;
use ees_store::{ChangesetLog, Checkpoint, Error, LogQuery};

use super::compression::long_log;
use super::proxy::Proxy;
use super::serving::Served;

/// In the environment of the other process: the server that it calls.
const SERVER: &str = "EES_TEST_PROXIED_SERVER";
/// Nobody listens there.
const DEAD_PROXY: &str = "http://user:secret@127.0.0.1:1";

/// What a client in a process with this environment tells of the server's log.
async fn told(server: &str, environment: &[(&str, &str)]) -> String {
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", "client::environment::a_call_in_a_process_of_its_own", "--nocapture"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        other.env_remove(name).env_remove(name.to_lowercase());
    }
    other.env(SERVER, server).envs(environment.iter().copied());
    let output = tokio::task::spawn_blocking(move || other.output()).await.unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_call_in_a_process_of_its_own() {
    let Ok(server) = std::env::var(SERVER) else { return };
    let client = Client::builder(&server).retries(0).timeout(Duration::from_secs(5)).build().unwrap();
    match client.read(LogQuery::from(Checkpoint::START, 1_000)).await {
        Ok(page) => println!("head {}, read {}", page.head.checkpoint, page.changesets.len()),
        Err(Error::Unavailable(why)) => println!("unavailable {why}"),
        Err(other) => println!("{other:?}"),
    }
}

#[tokio::test]
async fn no_proxy_is_used_for_this_machine() {
    let served = Served::new().await;
    for url in [served.url(), served.url().replace("127.0.0.1", "localhost")] {
        let told = told(&url, &[("http_proxy", DEAD_PROXY), ("ALL_PROXY", DEAD_PROXY)]).await;
        assert!(told.contains("head 0"), "{url}: {told}");
    }
}

#[tokio::test]
async fn an_error_names_the_proxy_and_a_server_in_no_proxy_has_none() {
    let server = "http://store.invalid:8080";
    let through = told(server, &[("http_proxy", DEAD_PROXY)]).await;
    let named = "unavailable http://store.invalid:8080, through the proxy http://127.0.0.1:1: ";
    assert!(through.contains(named) && !through.contains("secret"), "{through}");
    let direct = told(server, &[("http_proxy", DEAD_PROXY), ("NO_PROXY", ".invalid")]).await;
    assert!(direct.contains("unavailable http://store.invalid:8080: "), "{direct}");
}

#[tokio::test]
async fn answers_from_beyond_this_machine_are_compressed_through_a_proxy_too() {
    let served = Served::with(long_log(50).await, Api::for_any_host).await;
    let proxy = Proxy::new(served.address, []).await;
    let told = told("http://store.invalid:8080", &[("http_proxy", &proxy.url())]).await;
    assert!(told.contains("head 50, read 50"), "{told}");
    let asked = proxy.values("accept-encoding");
    assert!(asked.iter().all(|asked| asked.contains("zstd") && asked.contains("gzip")), "{asked:?}");
    assert_eq!(proxy.values("content-encoding"), ["zstd"]);
}
