//! Lists of streams, places of times, plots of the last hour, the audit of all, settings.

use std::time::Duration;

use ees_tests::{Server, run};
use serde_json::{Value, json};

use super::browser::{Browser, browse};
use super::world::World;

/// The first cells of a table's rows.
async fn first_cells(browser: &Browser) -> Vec<String> {
    let script = "return [...document.querySelectorAll('#stream-list tbody tr td:first-child')].map((it) => it.textContent)";
    serde_json::from_value(browser.run(script).await).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_found_by_prefix_type_length_and_age() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path().join("data"));
    let commit = |stream: &str, stream_type: &str, last: u64| {
        let last = last.to_string();
        let line = ["commit", stream, "--event", "{\"type\":\"x\"}", "--stream-type", stream_type];
        run(server.ees(&line).args(["--expected-last-changeset", &last, "--wait-for", "stream_catalogue"]))
            .ok();
    };
    for number in 0..60 {
        commit(&format!("account/{number:02}"), "account", 0);
    }
    commit("<b>order</b>/1", "order", 0);
    commit("account/07", "account", 1);
    browse(&server.url(), async |browser| {
        browser.open("/console/#/streams").await;
        browser.until_text("#stream-list table", |text| text.contains("account/48")).await;
        assert_eq!(first_cells(browser).await[0], "<b>order</b>/1");
        browser.click("#stream-list .bar button:nth-child(2)").await;
        browser.until_text("#stream-list table", |text| text.contains("account/59")).await;
        assert_eq!(first_cells(browser).await.len(), 11);

        browser.fill("#stream-list input[name=prefix]", "account/1").await;
        browser.click("#stream-list button[type=submit]").await;
        browser
            .until_text("#stream-list table", |text| {
                text.contains("account/10") && !text.contains("account/59")
            })
            .await;
        assert_eq!(first_cells(browser).await.len(), 10);

        browser.open("/console/#/streams?order=longest").await;
        browser.until_text("#stream-list table", |text| text.contains("account/07")).await;
        assert_eq!(first_cells(browser).await[0], "account/07");
        browser.open("/console/#/streams?order=newest&stream_type=order").await;
        browser.until_text("#stream-list table", |text| text.contains("<b>order</b>/1")).await;
        assert_eq!(first_cells(browser).await.len(), 1);
        browser.picture("streams").await;

        // A changeset says which projections have passed it.
        browser.open("/console/#/streams/account%2F07").await;
        browser.click("#log .row summary").await;
        browser.click("#log .row .lazy summary").await;
        browser.until_text("#log .row .lazy", |text| text.matches("Passed").count() == 2).await;
        assert!(browser.text("#log .row .lazy").await.contains("stream_catalogue"));

        // A time is a place in the log.
        let log = server.get_json("/changesets?include=position&checkpoint=20&limit=1");
        let time = log["changesets"][0]["timestamp"].as_str().unwrap();
        browser.open("/console/#/log").await;
        browser.fill("main input[name=checkpoint]", time).await;
        browser.click("main form button[type=submit]").await;
        browser
            .until_text("main .state", |text| {
                text.contains("From checkpoint 20") || text.contains("From checkpoint 19")
            })
            .await;
        for no_place in ["yesterday", "checkpoint 5", "-5", "#4711"] {
            browser.run("document.getElementById('trouble').textContent = ''").await;
            browser.fill("main input[name=checkpoint]", no_place).await;
            browser.click("main form button[type=submit]").await;
            browser.until_text("#trouble", |text| text.contains("2026-11-21 09:30")).await;
        }
        // A day begins where the reader is.
        browser.live_in("Asia/Tokyo").await;
        browser.run("performance.clearResourceTimings()").await;
        browser.fill("main input[name=checkpoint]", "2026-11-21").await;
        browser.click("main form button[type=submit]").await;
        browser.until_text("main .state", |text| text.contains("rom checkpoint 0")).await;
        let asked = "return performance.getEntriesByType('resource').map((it) => it.name).find((it) => it.includes('at?'))";
        let asked = browser.run(asked).await;
        assert!(asked.as_str().unwrap().contains("2026-11-20T15%3A00"), "{asked}");

        browser.open("/console/#/server").await;
        browser
            .until_text("#settings table", |text| text.contains("keep-audit") && text.contains("90d"))
            .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_hour_and_what_operators_did_are_shown() {
    let world = World::with_faults(|api| api.with_history(Duration::from_millis(50))).await;
    let handle = world.handle();
    handle.pause("counted", "because").await.unwrap();
    handle.resume("counted", "enough").await.unwrap();
    world
        .browse(async |_, browser| {
            browser.open("/console/#/overview").await;
            browser.find("#history svg[aria-label^='Highest lag over the last']").await;
            browser.find("#history svg[aria-label^='Head of the log over the last']").await;
            browser.until_text("main .figures", |text| text.contains("oldest parked stream")).await;
            // What the server remembers is there at once, also for a tab that has just been opened.
            browser.find("main td svg[aria-label^='Lag over']").await;
            browser.picture("history").await;
            browser.open("/console/#/projections/orders").await;
            browser.find("#history svg[aria-label^='Lag in changesets over the last']").await;

            browser.open("/console/#/audit").await;
            browser.until_text("#audit", |text| text.contains("because") && text.contains("enough")).await;
            let entries = "return [...document.querySelectorAll('#audit li a')].map((it) => it.textContent)";
            let entries: Value = browser.run(entries).await;
            assert_eq!(entries, json!(["counted", "counted"]));

            // What failed is said of each projection.
            browser.open("/console/#/log?checkpoint=2").await;
            browser.click("#log .row .lazy summary").await;
            let said = browser.until_text("#log .row .lazy table", |text| text.contains("letters")).await;
            assert!(said.contains("Parked") && said.contains("Not yet") && said.contains("Passed"), "{said}");
            // They are asked again each time. One that has only started can't know.
            browser
                .intercept(
                    "if (!path.startsWith('passed?')) return;
                    return real(url, options).then((it) => it.json()).then(({ projections }) =>
                        say({ projections: projections.map((told) => ({ ...told, verdict: 'unknown' })) }));",
                )
                .await;
            browser.click("#log .row .lazy summary").await;
            browser.click("#log .row .lazy summary").await;
            browser.until_text("#log .row .lazy table", |text| text.matches("Unknown").count() == 4).await;
        })
        .await;
}
