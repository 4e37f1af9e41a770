//! Somebody who never saw `ees` finds what stands still, why, and gets it going again, from the page alone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ees_tests::Killed;

use super::browser::browse;

#[tokio::test(flavor = "multi_thread")]
async fn five_faults_are_found_and_mended_from_the_page() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_console_trial"));
    let mut trial = Killed(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let mut told = BufReader::new(trial.0.stdout.take().unwrap());
    told.read_line(&mut line).unwrap();
    let url = line.trim_end().strip_suffix("/console/").unwrap().to_owned();
    browse(&url, async |browser| {
        let confirm = "dialog button[type=submit]";
        let begun = Instant::now();
        browser.open("/").await;
        let found = browser.until_text("#attention", |text| text.contains("(5)")).await;
        for told in [
            "orders",
            "changeset 1 of stream order/1007",
            "the item \"lamp\" has no price",
            "Resume it once the cause is mended",
            "customers",
            "the log went back",
            "stock",
            "end that process",
            "invoices",
            "the currency \"XBT\" is unknown",
            "invoice/31",
            "mails",
            "mail/4",
            "Connection refused",
        ] {
            assert!(found.contains(told), "{told} is not in {found}");
        }

        // The event can never be applied.
        browser.click("#attention [data-key^='orders '] [data-operation=skip]").await;
        browser.fill("#field-reason", "the lamp was given away").await;
        browser.click(confirm).await;
        browser.until_text("#attention", |text| text.contains("(4)")).await;

        // The log was restored.
        browser.click("#attention [data-key^='customers '] [data-operation=rebuild]").await;
        browser.fill("#field-reason", "the log was restored").await;
        browser.click(confirm).await;
        browser.until_text("#attention", |text| text.contains("(3)")).await;

        // Another process has the file: its number is in the sentence.
        let stock = browser.text("#attention [data-key^='stock ']").await;
        let process = stock.split(|it: char| !it.is_ascii_digit()).find(|it| !it.is_empty()).unwrap();
        assert!(Command::new("kill").arg(process).status().unwrap().success(), "{stock}");
        browser.until_text("#attention", |text| text.contains("(2)")).await;

        // One stream waits.
        browser.click("#attention [data-key^='invoices '] .actions a").await;
        let event = browser.until_text("#parked", |text| text.contains("invoice/31")).await;
        assert!(event.contains("the currency \"XBT\" is unknown"), "{event}");
        browser.click("#parked [data-operation=leave_stream]").await;
        browser.fill("#field-reason", "written off").await;
        browser.click(confirm).await;
        browser.until_text("main", |text| !text.contains("What needs attention")).await;

        // The server for mails comes back.
        browser.click("#nav li:first-child a").await;
        browser.click("#attention [data-key^='mails '] .actions a").await;
        browser.until_text("#effects", |text| text.contains("Connection refused")).await;
        let mut input = trial.0.stdin.take().unwrap();
        writeln!(input, "mails").unwrap();
        let is_back = |line: Result<String, _>| line.unwrap().contains("is back");
        assert!(told.by_ref().lines().any(is_back));
        browser.click("#parked [data-operation=retry_stream]").await;
        browser.click(confirm).await;
        browser.until_text("#effects tbody", |text| text.contains("Done")).await;
        browser.click("#nav li:first-child a").await;
        browser.until_text("main .good-news", |text| text.contains("Everything moves")).await;
        println!("five faults, {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(120));
        drop(input);
    })
    .await;
}
