//! Every screen, on a store that keeps its data, with the history of a real repository.

use std::time::Instant;

use ees_projector::State;
use ees_test_postgres::TestDatabase;
use ees_tests::history::{HISTORY, expected_totals};
use ees_tests::{Server, run};
use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use serde_json::json;

use super::browser::{Browser, browse};
use super::world::World;

/// The longest stream of the history.
const LONGEST: &str = "axum/CHANGELOG.md";

#[tokio::test(flavor = "multi_thread")]
async fn the_real_history_is_shown_from_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["--console-name", "axum", "--console-color", "blue"]);
    with_the_history(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_history_is_shown_from_postgres() {
    let database = TestDatabase::new().await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["--store", database.url()]);
    with_the_history(&server).await;
}

/// Imports the history, and looks at every screen.
async fn with_the_history(server: &Server) {
    run(&mut server.ees(&["import", HISTORY])).ok();
    for name in ["statistics", "stream_catalogue"] {
        run(&mut server.ees(&["projections", "status", name, "--min-checkpoint", "8299", "--timeout", "60"]))
            .ok();
    }
    browse(&server.url(), every_screen).await;
}

async fn every_screen(browser: &Browser) {
    let totals = expected_totals();
    browser.open("/").await;
    browser.until_text("main .good-news", |text| text.contains("Everything moves")).await;
    let figures = browser.text("main .figures").await;
    for figure in ["8,299", "809"] {
        assert!(figures.contains(figure), "{figures}");
    }
    assert_eq!(totals["total_streams"], 809, "as the page says");
    let go = async |screen: &str| {
        browser.run(&format!("location.hash = '#/{screen}'")).await;
    };
    go("projections").await;
    let table = browser.until_text("main table tbody", |text| text.contains("statistics")).await;
    assert!(table.contains("stream_catalogue") && table.matches("8,299").count() >= 2, "{table}");
    go("projections/statistics").await;
    browser.until_text("main .facts", |text| text.contains("Events applied") && text.contains("8,299")).await;
    go("reactors").await;
    browser.until_text("main h1", |text| text.contains("Reactors")).await;

    go("log").await;
    browser.until_text("main .state", |text| text.contains("50 received · 50 shown")).await;
    browser.picture("log").await;
    go("log?checkpoint=0").await;
    let first = browser.until_text("#log > div:first-child", |text| text.contains("blob")).await;
    assert!(first.contains("file_added") && first.contains("committed_at"), "{first}");
    go("log?checkpoint=8298").await;
    browser.until_text("main .state", |text| text.contains("From checkpoint 8298; the head is 8299")).await;
    // Ids in metadata lead to what has the same one.
    go("log?related=07294378b39f439d7fdcd528a6339733a9280006&near=0").await;
    browser
        .until_text("main .state", |text| text.contains("from checkpoint 0 to 8299, the end of the log"))
        .await;
    assert!(browser.text("#log").await.contains("Cargo.toml"));

    go("streams").await;
    browser.find("main form").await;
    go(&format!("streams/{}", LONGEST.replace('/', "%2F"))).await;
    browser.until_text("main .lead", |text| text.contains("331 changesets")).await;
    assert!(browser.text("#log > div:first-child").await.contains("#331"));
    browser.picture("stream").await;
    go("server").await;
    browser.until_text("main .facts", |text| text.contains("read, commit, admin")).await;
    assert_eq!(browser.text("#trouble").await, "");
}

/// From an answer of the server to the picture that it makes, in milliseconds: the rest is the server's. Goes to a
/// screen and waits for a sign of it.
async fn from_answer_to_paint(browser: &Browser, screen: &str, sign: &str) -> f64 {
    browser.open("/console/#/server").await;
    browser.find("main .facts").await;
    let measure = format!(
        "performance.clearResourceTimings();
        const look = () => {{
            if (document.querySelector({sign}) === null) return;
            observer.disconnect();
            requestAnimationFrame(() => setTimeout(() => {{
                const painted = performance.now();
                const answers = performance.getEntriesByType('resource').map((it) => it.responseEnd);
                done(painted - Math.max(...answers.filter((end) => end > 0 && end < painted)));
            }}));
        }};
        const observer = new MutationObserver(look);
        observer.observe(document.getElementById('main'), {{ childList: true, subtree: true }});
        location.hash = {screen};",
        sign = json!(sign),
        screen = json!(format!("#/{screen}")),
    );
    browser.run_to_the_end(&measure).await.as_f64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_is_there_soon_after_its_answer() {
    let names: Vec<_> = (0..50).map(|number| &*format!("projection_{number}").leak()).collect();
    let world = World::start_with(
        |projector, folder| {
            for name in &names {
                World::register(projector, folder, name, "poison");
            }
        },
        |api| api,
    )
    .await;
    world.commit("order/0", 0, r#"[{"type":"poison"}]"#).await;
    join_all(names.iter().map(|name| world.until(name, |status| status.state == State::Paused))).await;
    let began = Instant::now();
    let accounts = stream::iter(1..100_000).map(|number| {
        let world = &world;
        async move { world.commit(&format!("account/{number}"), 0, r#"[{"type":"opened"}]"#).await }
    });
    assert_eq!(accounts.buffer_unordered(512).count().await, 99_999);
    println!("100,000 streams: {:?}", began.elapsed());
    world
        .browse(async |_, browser| {
            for (screen, sign) in [
                ("overview", "main table tr:nth-child(50)"),
                ("projections", "main table tr:nth-child(50)"),
                ("projections/projection_7", "#audit"),
                ("log", "#log > div:nth-child(50)"),
                ("log?checkpoint=50000", "#log > div:nth-child(50)"),
                ("streams/account%2F50000", "#log .row"),
            ] {
                let milliseconds = from_answer_to_paint(browser, screen, sign).await;
                println!("{screen}: {milliseconds:.0} ms from the answer to the picture");
                // Ten times what is promised: the machines of tests are shared.
                assert!(milliseconds < 2_000.0, "{screen}: {milliseconds} ms");
            }
        })
        .await;
}
