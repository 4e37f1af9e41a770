//! Every screen can be used with a keyboard, a screen reader, and little contrast.

use std::path::Path;
use std::time::Duration;

use ees_store::http::{Banner, Setting, SettingSource};
use ees_test_shared::node::Node;
use serde_json::json;

use super::world::World;

/// Between two samples of the history.
const EVERY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn no_screen_violates_the_rules_of_accessibility() {
    let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/console/axe");
    let Some(node) = Node::with_packages_if_reachable("axe-node", &lists) else { return };
    let axe = std::fs::read_to_string(node.folder().join("node_modules/axe-core/axe.min.js")).unwrap();
    let banner = Banner::new("STAGING", "orange").unwrap();
    let listen = Setting {
        name: "listen".to_owned(),
        value: Some("127.0.0.1:7070".to_owned()),
        source: SettingSource::Default,
    };
    let settings = vec![listen];
    let world =
        World::with_faults(|api| api.with_banner(banner).with_settings(settings).with_history(EVERY)).await;
    world
        .browse(async |_, browser| {
            browser.open("/console/").await;
            browser.find("#attention").await;
            browser.run(&axe).await;
            for colors in ["light", "dark"] {
                browser.prefer(colors).await;
                for (screen, sign) in [
                    ("overview", "#history .plot"),
                    ("projections", "main table"),
                    ("projections/orders", "#last-error .changeset"),
                    ("projections/customers", "#parked"),
                    ("reactors", "main table"),
                    ("reactors/letters", "#effects"),
                    ("log", "#log .row"),
                    ("log?checkpoint=1", "#log .changeset"),
                    ("streams", "main form"),
                    ("streams/account%2F1", "#log .row"),
                    ("audit", "#audit"),
                    ("server", "#settings table"),
                ] {
                    browser.run(&format!("location.hash = '#/{screen}'")).await;
                    browser.find(sign).await;
                    let check = "axe.run({ resultTypes: ['violations'] }).then((it) => done(it.violations.map(
                        ({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => [html, failureSummary])])))";
                    assert_eq!(browser.run_to_the_end(check).await, json!([]), "{screen}, {colors}");
                }
                browser.run("location.hash = '#/projections/orders'").await;
                browser.click("#operations [data-operation=side_by_side]").await;
                let check = "axe.run('dialog').then((it) => done(it.violations.map(({ id }) => id)))";
                assert_eq!(browser.run_to_the_end(check).await, json!([]), "dialog, {colors}");
                browser.run("history.back()").await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_needs_no_mouse() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    const ESCAPE: &str = "\u{e00c}";
    let world = World::with_faults(|api| api).await;
    world
        .browse(async |world, browser| {
            browser.open("/console/#/projections/counted").await;
            browser.find("#operations").await;
            // The focus is at the heading, so the first button is a few steps away.
            let operation = "return document.activeElement.dataset.operation ?? ''";
            assert_eq!(browser.run("return document.activeElement.tagName").await, json!("H1"));
            for step in 0.. {
                assert!(step < 20, "no button was reached");
                browser.press(TAB).await;
                if browser.run(operation).await == json!("pause") {
                    break;
                }
            }
            browser.press(ENTER).await;
            browser.find("dialog[open]").await;
            browser.press(ESCAPE).await;
            browser.until_text("dialog", str::is_empty).await;
            assert_eq!(browser.run(operation).await, json!("pause"), "the focus is where it was");
            browser.press(ENTER).await;
            browser.find("dialog[open]").await;
            for key in ["why not", TAB, ENTER] {
                browser.press(key).await;
            }
            browser.until_text("main h1", |text| text.contains("Paused")).await;
            assert_eq!(world.last_audit("counted").await, ("pause".to_owned(), "why not".to_owned()));

            // What runs can't be cancelled, and says how it ended also where its screen was left.
            let hold = "if (options.method === 'POST') return new Promise((go) => { window.go = go; }).then(() => real(url, options));";
            browser.intercept(hold).await;
            browser.click("#operations [data-operation=resume]").await;
            browser.click("dialog button[type=submit]").await;
            browser.find("dialog .actions button:last-child:disabled").await;
            browser.press(ESCAPE).await;
            assert_eq!(browser.count("dialog[open]").await, 1);
            browser.run("location.hash = '#/overview'").await;
            browser.until_text("dialog", str::is_empty).await;
            browser.run("window.go()").await;
            browser.until_text("#notice", |text| text == "Done: resume, counted.").await;
            assert_eq!(world.last_audit("counted").await.0, "resume");
        })
        .await;
}
