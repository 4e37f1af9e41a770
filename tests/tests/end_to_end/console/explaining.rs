//! A row is explained, one event after the other.

use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_stepped_through() {
    let world = World::start(|api| api).await;
    world.commit("account/1", 0, r#"[{"type":"opened","number":12345678901234567890}]"#).await;
    world.commit("other", 0, r#"[{"type":"opened"}]"#).await;
    world.commit("account/1", 1, r#"[{"type":"deposited"},{"type":"<b>closed</b>"}]"#).await;
    world.until("counted", |status| status.checkpoint.get() == 3).await;
    world
        .browse(async |_, browser| {
            browser.open("/console/#/projections/counted").await;
            browser.fill("#explain-key", "account/1").await;
            browser.click("#explain button[type=submit]").await;
            let last = browser.until_text("#explained", |text| text.contains("Step 3 of 3")).await;
            for part in ["3 events changed the row", "<b>closed</b>", "changed", "this event"] {
                assert!(last.contains(part), "{part}: {last}");
            }
            let row = "#explained tbody tr";
            let cells = browser.text(row).await;
            assert!(cells.starts_with("state changed") && cells.contains("2 3"), "{cells}");
            assert_eq!(browser.count("#explained [data-step=next]:disabled").await, 1);

            browser.click("#explained [data-step=previous]").await;
            let middle = browser.until_text("#explained", |text| text.contains("Step 2 of 3")).await;
            assert!(middle.contains("deposited"), "{middle}");
            browser.picture("explained").await;
            browser.click("#explained [data-step=first]").await;
            let first = browser.until_text("#explained", |text| text.contains("Step 1 of 3")).await;
            assert!(first.contains("There was no row before.") && first.contains("no row"), "{first}");
            browser.click("#explained .event details summary").await;
            browser.until_text("#explained", |text| text.contains("12345678901234567890")).await;
            assert_eq!(browser.count("#explained [data-step=previous]:disabled").await, 1);
            browser.click("#explained [data-step=next]").await;
            browser.until_text("#explained", |text| text.contains("Step 2 of 3")).await;

            browser.fill("#explain-key", "nothing").await;
            browser.click("#explain button[type=submit]").await;
            browser.until_text("#explained", |text| text.contains("0 events changed the row")).await;
            browser.fill("#explain-table", "x").await;
            browser.click("#explain button[type=submit]").await;
            browser.until_text("#explained", |text| text.contains("no table \"x\"")).await;
            // SQL of its own.
            browser.open("/console/#/projections/orders").await;
            browser.fill("#explain-key", "account/1").await;
            browser.click("#explain button[type=submit]").await;
            browser.until_text("#explained", |text| text.contains("statements of its own")).await;
        })
        .await;
}
