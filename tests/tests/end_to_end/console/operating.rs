//! What stands still is found, and operated.

use std::path::Path;
use std::sync::Arc;

use ees_projector::sqlite::Tx;
use ees_projector::{BoxError, Projection, Projector, Recorded, Settings, State};
use ees_store::http::{ApiKeys, Banner, Setting, SettingSource};
use ees_test_postgres::TestDatabase;
use ees_tests::{Server, run};
use serde_json::json;
use tokio::sync::Semaphore;

use super::browser::browse;
use super::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_still_comes_first() {
    let world = World::with_faults(|api| api.with_banner(Banner::new("PRODUCTION", "red").unwrap())).await;
    world
        .browse(async |_, browser| {
            browser.open("/").await;
            browser.find("#attention").await;
            assert_eq!(browser.text("#banner").await, "PRODUCTION");
            assert_eq!(browser.text("#attention h2").await, "What needs attention (3)");

            let orders = browser.text("#attention [data-key^='orders ']").await;
            for part in
                ["Paused", "orders", "changeset 1 of stream order/7", "(checkpoint 1)", "can't apply: poison"]
            {
                assert!(orders.contains(part), "{orders}");
            }
            assert!(
                browser.text("#attention [data-key^='letters ']").await.contains("1 stream failed for good")
            );
            assert!(
                browser.text("#attention [data-key^='customers ']").await.contains("all other streams go on")
            );
            assert!(browser.text("#attention li:first-child").await.contains("orders"));
            // What is retried by itself comes after what waits for somebody.
            assert!(browser.text("#attention li:last-child").await.contains("customers"));
            for (name, operation) in [("orders", "resume"), ("orders", "skip"), ("letters", "retry")] {
                browser.find(&format!("#attention [data-key^='{name} '] [data-operation={operation}]")).await;
            }
            browser.find("main td svg[aria-label^='Lag over']").await;
            browser.picture("overview").await;
            let table = browser.text("main table tbody").await;
            let at = |name: &str| table.find(name).unwrap();
            let places = ["orders", "letters", "customers", "counted"].map(at);
            assert!(places.is_sorted(), "{table}");
            browser.run("location.hash = '#/projections'").await;
            browser.until_text("main h1", |text| text == "Projections").await;
            browser.picture("projections").await;

            // What can't be read is named beside everything else, and a retry that does not help is no small thing.
            browser
                .intercept(
                    "if (path === 'streams') return say({ message: 'The totals are away.' }, 503);
                    if (path !== 'projections') return;
                    const last_error = { message: 'refused', attempts: 3, checkpoint: null, at: new Date().toISOString() };
                    const change = (status) => (status.name !== 'counted' ? status
                        : { ...status, state: 'retrying', stalled: '7 changesets behind, and not moving', last_error });
                    return real(url, options).then((it) => it.json())
                        .then(({ projections }) => say({ projections: projections.map(change) }));",
                )
                .await;
            browser.run("location.hash = '#/overview'").await;
            browser.until_text("#attention", |text| text.contains("The totals are away.")).await;
            assert!(browser.text("#attention [data-key^='counted Stalled']").await.contains("not moving"));
            assert!(browser.text("main table tbody").await.contains("customers"));
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_carried_out_by_clicks_and_seen_in_the_api() {
    let world = World::with_faults(|api| api).await;
    world
        .browse(async |world, browser| {
            let confirm = "dialog button[type=submit]";
            browser.open("/console/#/projections/orders").await;
            let blamed = browser.text("#last-error").await;
            assert!(blamed.contains("can't apply: poison") && blamed.contains("order/7"), "{blamed}");
            // The event itself, with a number that a browser's numbers can't hold.
            browser.until_text("#last-error", |text| text.contains("12345678901234567890")).await;
            browser.picture("projection").await;

            browser.click("#operations [data-operation=skip]").await;
            browser.click(confirm).await;
            assert_eq!(
                browser.until_text("dialog .trouble", |text| !text.is_empty()).await,
                "Reason is missing."
            );
            assert_eq!(world.until("orders", |_| true).await.state, State::Paused);
            browser.fill("#field-reason", "made by mistake").await;
            browser.picture("dialog").await;
            browser.click(confirm).await;
            browser.until_text("#notice", |text| text.contains("skip a changeset, orders")).await;
            let status = world.until("orders", |status| status.state == State::Following).await;
            assert_eq!(status.skipped, [1]);
            assert_eq!(world.last_audit("orders").await, ("skip".to_owned(), "made by mistake".to_owned()));
            browser.until_text("#audit", |text| text.contains("made by mistake")).await;

            browser.click("#operations [data-operation=pause]").await;
            browser.fill("#field-reason", "to look at it").await;
            browser.click(confirm).await;
            browser.until_text("main h1", |text| text.contains("Paused")).await;
            let paused = world.until("orders", |status| status.state == State::Paused).await;
            assert_eq!(paused.pause.unwrap().reason, "to look at it");
            browser.click("#operations [data-operation=resume]").await;
            browser.click(confirm).await;
            browser.until_text("main h1", |text| text.contains("Following")).await;
            world.until("orders", |status| status.state == State::Following).await;

            browser.click("#operations [data-operation=checkpoint]").await;
            browser.fill("#field-to", "2").await;
            browser.fill("#field-reason", "applied again").await;
            browser.click(confirm).await;
            browser.until_text("#audit", |text| text.contains("applied again")).await;
            assert_eq!(world.last_audit("orders").await.1, "applied again");
            world.until("orders", |status| status.lag_changesets == 0).await;

            browser.click("#operations [data-operation=rebuild]").await;
            browser.fill("#field-reason", "once more").await;
            browser.click(confirm).await;
            browser.until_text("#audit", |text| text.contains("once more")).await;
            assert_eq!(world.last_audit("orders").await.1, "once more");
            // What is refused is said in the dialog.
            browser.click("#operations [data-operation=checkpoint]").await;
            browser.fill("#field-to", "999").await;
            browser.fill("#field-reason", "too far").await;
            browser.click(confirm).await;
            let refused = browser.until_text("dialog .trouble", |text| !text.is_empty()).await;
            assert!(refused.contains("the log ends before"), "{refused}");

            browser.open("/console/#/projections/customers").await;
            browser.until_text("#parked", |text| text.contains("can't apply: bad address")).await;
            browser.picture("parked").await;
            browser.click("#parked [data-operation=retry_stream]").await;
            browser.fill("#field-reason", "perhaps now").await;
            browser.click(confirm).await;
            browser.until_text("#audit", |text| text.contains("perhaps now")).await;
            assert_eq!(world.last_audit("customers").await.1, "perhaps now");
            // Where the console can't find out the checkpoint, it asks for it and says why.
            browser
                .intercept(
                    "if (!path.startsWith('streams/') || window.refused) return;
                    window.refused = true;
                    return say({ message: 'The log is away.' }, 503);",
                )
                .await;
            browser.click("#parked [aria-label='Skip: customer/3']").await;
            browser.until_text("dialog #hint-checkpoint", |text| text.contains("The log is away.")).await;
            assert_eq!(browser.value("#field-checkpoint").await, "");
            browser.click("dialog .actions button:last-child").await;
            browser.until_text("dialog", str::is_empty).await;
            browser.click("#parked [data-operation=leave_stream]").await;
            browser.fill("#field-reason", "moved away").await;
            browser.click(confirm).await;
            world.until("customers", |status| status.parked_streams == 0).await;
            assert_eq!(world.last_audit("customers").await.1, "moved away");

            browser.open("/console/#/reactors/letters").await;
            let effects =
                browser.until_text("#effects", |text| text.contains("no such address: undeliverable")).await;
            assert!(effects.contains("result hidden") && !effects.contains("r3sult"), "{effects}");
            browser.picture("reactor").await;
            browser.click("#effects .filters button:last-child").await;
            browser.until_text("#effects", |text| text.contains("1 member")).await;
            browser.click("#effects [data-operation=retry_effect]").await;
            browser.fill("#field-reason", "the address was mended").await;
            browser.click(confirm).await;
            browser.until_text("#audit", |text| text.contains("the address was mended")).await;
            world.until("letters", |status| status.given_up_streams == 1).await;
            browser.until_text("#effects tbody", |text| text.contains("Given up")).await;
            browser.click("#effects [data-operation=discard_effect]").await;
            browser.fill("#field-reason", "writes no letters").await;
            browser.click(confirm).await;
            world.until("letters", |status| status.parked_streams == 0).await;
            assert_eq!(world.last_audit("letters").await.1, "writes no letters");
            world.commit("customer/later", 0, r#"[{"type":"later"}]"#).await;
            let timers = browser.until_text("#timers", |text| text.contains("customer/later")).await;
            assert!(timers.contains("payload hidden") && !timers.contains("p4yload"), "{timers}");
            browser.click("#timers .filters button").await;
            browser.until_text("#timers", |text| text.contains("1 member")).await;
            browser.click("#timers [data-operation=cancel_timer]").await;
            browser.fill("#field-reason", "sent by hand").await;
            browser.click(confirm).await;
            browser.until_text("#audit", |text| text.contains("sent by hand")).await;
            assert_eq!(world.last_audit("letters").await.1, "sent by hand");
            browser.open("/console/#/audit").await;
            browser.until_text("#audit", |text| text.contains("writes no letters")).await;
            browser.picture("audit").await;
            browser.open("/console/#/overview").await;
            browser.until_text("main .good-news", |text| text.contains("Everything moves")).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_rebuilt_and_rows_verified_by_clicks() {
    let world = World::start(|api| api).await;
    for stream in ["account/1", "account/2"] {
        world.commit(stream, 0, r#"[{"type":"opened"}]"#).await;
    }
    world.until("counted", |status| status.checkpoint.get() == 2).await;
    world
        .browse(async |world, browser| {
            let confirm = "dialog button[type=submit]";
            browser.open("/console/#/projections/counted").await;
            browser.click("#operations [data-operation=rebuild_streams]").await;
            browser.fill("#field-streams", "account/1\naccount/2\n").await;
            browser.fill("#field-reason", "a support call").await;
            browser.click(confirm).await;
            let done = browser.until_text("#notice", |text| text.contains("rebuild streams, counted")).await;
            assert!(
                done.contains("2 streams, mended: 0 rows missing, 0 too many, 0 wrong, 2 right."),
                "{done}"
            );
            let (action, reason) = world.last_audit("counted").await;
            assert_eq!((&*action, &*reason), ("rebuild_streams", "a support call"));

            browser.click("#operations .actions > button:last-child").await;
            let compared = browser.until_text("#operations output", |text| text.contains("2 rows")).await;
            assert_eq!(compared, "The 2 rows are those that the projection has written.");

            // SQLite has one worker for each projection.
            browser.click("#operations [data-operation=rebuild]").await;
            browser.fill("#field-workers", "2").await;
            browser.click(confirm).await;
            browser.until_text("dialog .trouble", |text| text.contains("PostgreSQL can")).await;
            browser.fill("#field-workers", "1").await;
            browser.click(confirm).await;
            browser.until_text("#notice", |text| text.contains("Begun: rebuild in place, counted")).await;
        })
        .await;
}

/// What a server answers whose topic has rejected something: `tests/stack` has one.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_published_again() {
    let queue = Setting {
        name: "publish-dead-letters".to_owned(),
        value: Some("https://sqs.example/dead".to_owned()),
        source: SettingSource::Flag,
    };
    let world = World::start(|api| api.with_settings(vec![queue])).await;
    world
        .browse(async |_, browser| {
            browser.open("/console/#/projections").await;
            browser.find("main table").await;
            browser
                .intercept(
                    "const letter = { id: '1', topic_arn: 'arn:topic', stream_id: 'order/7', changeset_id: 2, event_id: null,
                        error: 'too large <b>', at: '2026-01-01T00:00:00.000000Z', unreadable: null };
                    const other = { ...letter, id: '2', stream_id: null, unreadable: 'what is this?' };
                    if (path === 'dead-letters') return say({ queue: 'dead', dead_letters: [letter, other], has_more: true });
                    if (path === 'dead-letters/redrive' && options.method === 'POST' && options.body === '{}')
                        return say({ published: 1, left: [{ ...other, why: 'the message is no dead letter' }], has_more: false });",
                )
                .await;
            browser.run("location.hash = '#/server'").await;
            browser.until_text("#dead-letters", |text| text.contains("https://sqs.example/dead")).await;
            browser.click("#letters summary").await;
            let listed = browser.until_text("#letters", |text| text.contains("order/7")).await;
            for shown in ["too large <b>", "changeset 2", "what is this?", "There may be more"] {
                assert!(listed.contains(shown), "{shown} is not in {listed}");
            }
            browser.run("document.getElementById('dead-letters').scrollIntoView()").await;
            browser.picture("dead-letters").await;
            browser.click("#letters [data-operation=redrive]").await;
            browser.click("dialog button[type=submit]").await;
            let told = browser.until_text("#notice", |text| text.contains("1 message published")).await;
            assert!(told.contains("1 left: the message is no dead letter"), "{told}");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_key_sees_no_operation() {
    let keys = ApiKeys::parse("read:the-reader,admin:the-admin").unwrap();
    let world = World::with_faults(|api| api.with_keys(keys)).await;
    world
        .browse(async |world, browser| {
            browser.open("/").await;
            browser.fill("#field-key", "unknown").await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("dialog .sentence", |text| text.contains("does not know this key")).await;
            browser.fill("#field-key", "the-reader").await;
            browser.click("dialog button[type=submit]").await;
            browser.find("#attention").await;
            browser.until_text("#session", |text| text.contains("Key: read")).await;
            assert_eq!(browser.count("[data-operation]").await, 0);
            for page in ["projections/orders", "projections/customers", "reactors/letters"] {
                browser.run(&format!("location.hash = '#/{page}'")).await;
                browser.find("#audit").await;
                assert_eq!(browser.count("[data-operation]").await, 0, "{page}");
            }
            browser.run("location.hash = '#/streams/account%2F1'").await;
            browser.find(".row").await;
            assert_eq!(browser.count("#append").await, 0);
            // Nor would it help to have an operation.
            let pause = "fetch('../projections/counted/pause', { method: 'POST', body: '{}', headers: {
                Authorization: 'Bearer the-reader', 'Content-Type': 'application/json' } }).then((it) => done(it.status))";
            assert_eq!(browser.run_to_the_end(pause).await, json!(403));
            assert_eq!(world.until("counted", |_| true).await.pause, None);
            let kept = "return [location.href, document.cookie, localStorage.length, sessionStorage.length]";
            let kept = browser.run(kept).await;
            assert!(!kept[0].as_str().unwrap().contains("reader"), "{kept}");
            assert_eq!((&kept[1], &kept[2], &kept[3]), (&json!(""), &json!(0), &json!(0)));

            // Another key does what that one may.
            browser
                .intercept(
                    "if (options.headers?.Authorization === 'Bearer the-reader') return say({ message: 'Gone.' }, 401);",
                )
                .await;
            browser.run("location.hash = '#/projections/orders'").await;
            browser.fill("#field-key", "the-admin").await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("#session", |text| text.contains("Key: read, commit, admin")).await;
            browser.find("#operations [data-operation=resume]").await;

            browser.click("#session button").await;
            browser.fill("#field-key", "the-admin").await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("#session", |text| text.contains("Key: read, commit, admin")).await;
            browser.run("location.hash = '#/projections/orders'").await;
            browser.find("#operations [data-operation=resume]").await;
        })
        .await;
}

/// Waits at each event until it is let through.
struct Gated(Arc<Semaphore>);

impl Projection<Tx> for Gated {
    type Event = serde_json::Value;

    fn name(&self) -> &str {
        "gated"
    }
    async fn create_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, _: Recorded<'_, serde_json::Value>, _: &mut Tx) -> Result<(), BoxError> {
        self.0.acquire().await?.forget();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_a_rebuild_is_shown() {
    let gate = Arc::new(Semaphore::new(10));
    let gated = Gated(gate.clone());
    let register = |projector: &mut Projector, folder: &Path| {
        let settings = Settings { batch_changesets_max: 1, ..Settings::default() };
        projector.projection(gated, World::database(folder, "gated"), settings).unwrap();
    };
    let world = World::start_with(register, |api| api).await;
    for last in 0..10 {
        world.commit("counter", last, r#"[{"type":"counted"}]"#).await;
    }
    world.until("gated", |status| status.checkpoint.get() == 10).await;
    world
        .browse(async |world, browser| {
            browser.open("/console/#/projections/gated").await;
            browser.click("#operations [data-operation=rebuild]").await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("#notice", |text| text.contains("Begun: rebuild in place, gated")).await;
            gate.add_permits(5);
            browser.until_text("main h1", |text| text.contains("Rebuilding")).await;
            browser.until_text("main .facts", |text| text.contains("50 %")).await;
            browser.find("main .facts progress[value='50']").await;
            gate.add_permits(5);
            browser.until_text("main h1", |text| text.contains("Following")).await;
            world.until("gated", |status| status.lag_changesets == 0).await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_models_are_built_compared_swapped_and_split_by_clicks() {
    let database = TestDatabase::new().await;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["--store", database.url()]);
    for stream in ["account/1", "account/2"] {
        run(&mut server.ees(&["commit", stream, "--event", "1"])).ok();
    }
    run(&mut server.ees(&["projections", "status", "stream_catalogue", "--min-checkpoint", "2"])).ok();
    let status = || server.get_json("/projections/stream_catalogue");
    browse(&server.url(), async |browser| {
        browser.open("/console/#/projections/stream_catalogue").await;
        let operate = async |operation: &str| {
            browser.click(&format!("#operations [data-operation={operation}]")).await;
            browser.click("dialog button[type=submit]").await;
            browser.until_text("dialog", str::is_empty).await;
        };
        browser.click("#operations [data-operation=side_by_side]").await;
        browser.click("#field-no_swap").await;
        browser.click("dialog button[type=submit]").await;
        browser.until_text("#standby", |text| text.contains("Following")).await;
        assert_eq!(status()["standby"]["plan"]["swap"], false);
        browser.picture("standby").await;
        operate("swap").await;
        browser.until_text("#standby", |text| text.contains("Was live before")).await;
        operate("rollback").await;
        browser.until_text("#audit", |text| text.contains("rollback")).await;
        operate("discard").await;
        browser.until_text("#operations", |text| text.contains("Rebuild side by side")).await;
        assert!(status()["standby"].is_null());

        operate("verification").await;
        browser.until_text("main", |text| text.contains("Both read models are equal")).await;
        let damaged = database.psql("DELETE FROM stream_catalogue.stream_catalogue");
        assert!(damaged.status.success(), "{damaged:?}");
        operate("verification").await;
        let differences = browser.until_text("main", |text| text.contains("2 differences")).await;
        assert!(differences.contains("account/1"), "{differences}");
        assert!(browser.text("[aria-label=Differences] tbody").await.contains("account/1"));
        browser.picture("verification").await;

        browser.click("#operations [data-operation=partitions]").await;
        browser.fill("#field-count", "3").await;
        browser.click("dialog button[type=submit]").await;
        browser.until_text("main", |text| text.contains("Partitions")).await;
        assert_eq!(status()["partitions"].as_array().unwrap().len(), 3);
        browser.click("#operations button:last-child").await;
        browser.until_text("#operations output", |text| text.contains("A rebuild of 2 changesets")).await;
    })
    .await;
}
