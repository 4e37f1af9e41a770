//! The log and its streams: as they are, whatever they say.

use std::time::{Duration, Instant};

use ees_projector::State;
use serde_json::json;

use super::world::World;

const MARKUP: &str =
    "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>";

#[tokio::test(flavor = "multi_thread")]
async fn the_tail_follows_and_stays_bounded() {
    let world = World::start(|api| api).await;
    world.commit("counter", 0, r#"[{"type":"begun"}]"#).await;
    world
        .browse(async |world, browser| {
            browser.open("/console/#/log").await;
            browser.until_text("main .state", |text| text.contains("Following · 1 received")).await;
            for last in 1..=1_000 {
                let metadata = r#"{"correlation_id":"c"}"#;
                world.commit_with("counter", last, r#"[{"type":"counted"}]"#, metadata).await;
            }
            browser.until_text("main .state", |text| text.contains("1,001 received · 500 shown")).await;
            let nodes = browser.count("*").await;
            let heap = browser.heap().await;
            // A thousand in each second.
            let began = Instant::now();
            for last in 1_001..=4_000 {
                world.commit("counter", last, r#"[{"type":"counted"}]"#).await;
                let due = Duration::from_millis(last - 1_000);
                if let Some(early) = due.checked_sub(began.elapsed()) {
                    tokio::time::sleep(early).await;
                }
            }
            let committed = Instant::now();
            browser.until_text("#log > div:first-child", |text| text.contains("#4001\n")).await;
            let late = committed.elapsed();
            let grown = browser.heap().await - heap;
            println!("3,000 in {:?}: shown {late:?} later, {grown} bytes more", committed - began);
            assert!(late < Duration::from_secs(5), "it keeps up: {late:?}");
            browser.until_text("main .state", |text| text.contains("4,001 received · 500 shown")).await;
            assert_eq!(browser.count("#log > div").await, 500);
            assert_eq!(browser.count("*").await, nodes);
            assert!(grown < 2_000_000, "{grown} bytes more after 3,000 changesets more");

            browser.click("#pause").await;
            browser.until_text("main .state", |text| text.contains("Paused")).await;
            for last in 4_001..=4_010 {
                world.commit("counter", last, r#"[{"type":"counted"}]"#).await;
            }
            browser.click("#pause").await;
            browser.until_text("main .state", |text| text.contains("4,011 received")).await;
            let numbers = "return [...document.querySelectorAll('#log .row > summary > :nth-child(4)')].map((it) => it.textContent)";
            let numbers: Vec<String> = serde_json::from_value(browser.run(numbers).await).unwrap();
            let expected: Vec<_> = (3_512..=4_011).rev().map(|number| format!("#{number}")).collect();
            assert_eq!(numbers, expected, "each once, in order");

            browser.open("/console/#/log?event_type=begun").await;
            browser.until_text("main .state", |text| text.contains("Following")).await;
            world.commit("other", 0, r#"[{"type":"begun"}]"#).await;
            world.commit("counter", 4_011, r#"[{"type":"counted"}]"#).await;
            browser.until_text("main .state", |text| text.contains("1 received")).await;
            assert!(browser.text("#log").await.contains("other"));

            browser.open("/console/#/log?checkpoint=1000").await;
            browser.until_text("main .state", |text| text.contains("From checkpoint 1000")).await;
            assert!(browser.text("#log > div:first-child summary").await.contains("#1001"));

            // A search is bounded too, and goes on after a failure.
            browser
                .intercept(
                    "if (!path.includes('limit=1000') || window.refused) return;
                    window.refused = true;
                    return say({ message: 'The log is away.' }, 503);",
                )
                .await;
            browser.run("location.hash = '#/log?related=c&near=0'").await;
            browser.until_text("#trouble", |text| text == "The log is away.").await;
            for found in ["500 changesets from checkpoint 0 to 501", "1,000 changesets from checkpoint 0 to 1501"] {
                browser.click("main .bar button:first-child:not(:disabled)").await;
                browser.until_text("main .state", |text| text == found).await;
            }
            assert_eq!(browser.text("#trouble").await, "");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_do_nothing_but_show() {
    let world = World::start(|api| api).await;
    let long = "ä".repeat(512);
    let backwards = "\u{202e}drowssap\u{202c} \u{2067}אבג";
    let big = "x".repeat(1_000_000);
    let metadata = json!({ "correlation_id": MARKUP, MARKUP: [MARKUP] }).to_string();
    for id in [MARKUP, &long, backwards, "a/b?c#d%20e"] {
        let events = json!([{ "type": MARKUP, MARKUP: { "text": MARKUP } }, backwards, 1e300]).to_string();
        world.commit_with(id, 0, &events, &metadata).await;
    }
    world.commit("large", 0, &json!([{ "type": "large", "text": big }]).to_string()).await;
    let poison =
        json!([{ "type": format!("poison{MARKUP}") }, { "type": format!("bad{MARKUP}") }]).to_string();
    world.commit(&format!("p{MARKUP}"), 0, &poison).await;
    world.until("orders", |status| status.state == State::Paused).await;
    world.until("customers", |status| status.parked_streams == 1).await;
    world
        .browse(async |world, browser| {
            let stream = |id: &str| format!("'#/streams/' + encodeURIComponent({})", json!(id));
            let screens = [
                ("'#/overview'".to_owned(), "#attention"),
                ("'#/projections/orders'".to_owned(), "#last-error .changeset"),
                ("'#/projections/customers'".to_owned(), "#parked"),
                ("'#/reactors/letters'".to_owned(), "#effects td"),
                ("'#/log?checkpoint=0'".to_owned(), "#log .changeset"),
                (stream(MARKUP), "#log .row"),
                (stream(&long), "#log .row"),
                (stream(backwards), "#log .row"),
                (stream("a/b?c#d%20e"), "#log .row"),
                (stream("large"), "#log .row"),
            ];
            browser.open("/console/").await;
            for (address, sign) in screens {
                browser.run(&format!("location.hash = {address}")).await;
                browser.find(sign).await;
                // Everything that can be opened, opened.
                for _ in 0..4 {
                    browser
                        .run("for (const it of document.querySelectorAll('main details')) it.open = true")
                        .await;
                    browser
                        .run("for (const it of document.querySelectorAll('main button.link')) it.click()")
                        .await;
                }
                let injected =
                    browser.count("main img, main script, main iframe, main [onerror], main [style]").await;
                assert_eq!(injected, 0, "{address}");
                let title = browser.run("return document.title").await;
                assert!(title.as_str().unwrap().ends_with("· ees"), "{title}");
            }
            let shown = browser.run("return document.querySelector('#log pre').textContent.length").await;
            assert!(shown.as_u64().unwrap() > 1_000_000, "the whole event is a click away: {shown}");
            browser.run(&format!("location.hash = {}", stream(MARKUP))).await;
            browser.until_text("main h1", |text| text.contains(MARKUP)).await;
            browser.click("#log .row summary").await;
            browser
                .until_text("#log .changeset", |text| text.contains("<script>") && text.contains("1e+300"))
                .await;

            // Long texts that begin the same, and are as long, are not taken for one another.
            let alike = "import('/console/dom.js').then(({ draw, foreign, h }) => {
                const root = h('div');
                for (const end of ['1', '2']) {
                    draw(root, foreign('x'.repeat(400) + end));
                    root.querySelector('button').click();
                }
                done(root.textContent);
            })";
            let shown = browser.run_to_the_end(alike).await;
            assert!(shown.as_str().unwrap().trim_end().ends_with("x2"), "{shown}");

            // A reason comes back as it was given.
            browser.run("location.hash = '#/projections/counted'").await;
            browser.click("#operations [data-operation=pause]").await;
            let reason = format!("{MARKUP} {backwards} {}", "ä".repeat(800));
            browser.fill("#field-reason", &reason).await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("#audit", |text| text.contains(MARKUP)).await;
            assert_eq!(world.last_audit("counted").await.1, reason);
            assert_eq!(browser.count("main img, main script").await, 0);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_read_in_both_orders_and_appended_to_behind_a_switch() {
    let world = World::start(|api| api).await;
    for last in 0..60 {
        world.commit("account/1", last, &format!(r#"[{{"type":"deposited","number":{last}}}]"#)).await;
    }
    world
        .browse(async |world, browser| {
            browser.open("/console/#/streams").await;
            browser.fill("main input[name=id]", "account/1").await;
            browser.click("main form button").await;
            browser.until_text("main .lead", |text| text.contains("60 changesets")).await;
            assert!(browser.text("#log > div:first-child").await.contains("#60"));
            browser.click(".bar button:nth-child(3)").await;
            browser.until_text("main .state", |text| text == "Changesets 11 to 35").await;
            browser.click(".bar button:nth-child(1)").await;
            browser.until_text("main .state", |text| text == "Changesets 1 to 25").await;
            assert!(browser.text("#log > div:first-child").await.contains("#1\n"));

            assert!(!browser.shows("#append").await);
            browser.click("#appends").await;
            browser.click("#append").await;
            assert_eq!(browser.value("#field-expected").await, "60");
            browser.fill("#field-events", "[{\"type\": }]").await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("dialog .trouble", |text| text.starts_with("Events: ")).await;
            // Somebody else was first.
            world.commit("account/1", 60, r#"[{"type":"deposited"}]"#).await;
            browser.fill("#field-events", "[{\"type\":\"closed\",\"number\":12345678901234567890}]").await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("dialog .trouble", |text| text.contains("outdated")).await;
            browser.fill("#field-expected", "61").await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("main .lead", |text| text.contains("62 changesets")).await;
            let stream = world.stream("account/1").await;
            assert_eq!(stream[61], r#"[{"type":"closed","number":12345678901234567890}]"#);

            // Many events come in parts.
            let many: Vec<_> =
                (0..250).map(|number| json!({ "type": "counted", "number": number })).collect();
            world.commit("many", 0, &json!(many).to_string()).await;
            browser.open("/console/#/streams/many").await;
            browser.click("#log .row summary").await;
            for shown in [100, 200, 250] {
                browser.find("#log .events").await;
                assert_eq!(browser.count("#log .events .event").await, shown);
                browser.run("document.querySelector('#log .events > li > button')?.click()").await;
            }

            browser.open("/console/#/server").await;
            browser.until_text("main .facts", |text| text.contains("read, commit, admin")).await;
            browser.click("#metrics summary").await;
            browser.until_text("#metrics pre", |text| text.contains("ees_projection_checkpoint")).await;
            browser.picture("server").await;

            // A server that is silent is given up: a read, and an event stream that says nothing any more.
            let hasten = "const real = window.setTimeout;
                window.setTimeout = (act, time) => real(act, time > 20_000 ? 1_000 : time);";
            browser.run(hasten).await;
            browser.run("location.hash = '#/log'").await;
            browser.until_text("main .state", |text| text.contains("Following · 50 received")).await;
            browser.until_text("main .state", |text| text.contains("Connecting")).await;
            world.commit("many", 1, "[1]").await;
            browser.until_text("main .state", |text| text.contains("Following · 51 received")).await;
            browser
                .intercept(
                    "if (path === 'projections') return new Promise((_, fail) =>
                        options.signal.addEventListener('abort', () => fail(options.signal.reason)));",
                )
                .await;
            browser.run("location.hash = '#/projections'").await;
            browser.until_text("#trouble", |text| text.contains("has not answered for 30 seconds")).await;
        })
        .await;
}
