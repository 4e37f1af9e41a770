//! Folds in which one event changes many rows.

use std::collections::BTreeMap;

use ees_store::ChangesetLog as _;
use serde::Deserialize;

use super::Subject;
use super::support::{ChangingLog, LONG, fresh};
use crate::{MultiFold, Projector, Recorded, Settings};

#[derive(Deserialize)]
struct Ordered {
    items: Vec<String>,
    #[serde(default)]
    recalled: bool,
}

/// How often each item was ordered, and by whom last. A recall deletes the rows of its items.
struct Items;

impl MultiFold for Items {
    type Event = Ordered;
    type Key = String;
    type State = (u64, String);

    fn name(&self) -> &str {
        "items"
    }
    fn keys(&self, event: Recorded<'_, Ordered>) -> impl IntoIterator<Item = String> {
        event.event.items.clone()
    }
    fn fold(
        &self,
        key: &String,
        row: Option<(u64, String)>,
        event: Recorded<'_, Ordered>,
    ) -> Option<(u64, String)> {
        assert!(event.event.items.contains(key), "a row gets the events that name it, with its own key");
        if event.event.recalled {
            return None;
        }
        Some((row.map_or(0, |(count, _)| count) + 1, event.stream_id().to_string()))
    }
}

/// An event changes each row that it names once, however the log is cut into batches.
pub async fn an_event_changes_each_row_that_it_names<S: Subject>() {
    let (mut expected, log) = (BTreeMap::new(), ChangingLog::new());
    for number in 0..60_u64 {
        let stream = format!("order/{}", number % 5);
        let items: Vec<_> =
            (0..number % 4).map(|at| format!("item \"{}\"", (number * 7 + at * 3) % 11)).collect();
        let is_recall = number % 13 == 12;
        for item in &items {
            if is_recall {
                expected.remove(item);
            } else {
                let count = expected.get(item).map_or(0, |(count, _): &(u64, String)| *count);
                expected.insert(item.clone(), (count + 1, stream.clone()));
            }
        }
        // A row that is named twice is folded once.
        let named: Vec<_> = items.iter().chain(items.first()).collect();
        let event = serde_json::json!({ "items": named, "recalled": is_recall });
        log.append(&stream, &event.to_string()).await;
    }
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(item, row)| (item, serde_json::json!(row))).collect();
    for batch in [1, 7, 1000] {
        let subject = fresh::<S>().await;
        let mut projector = Projector::new(log.clone());
        let settings =
            Settings { batch_changesets_max: batch, span_changesets_max: batch, ..Settings::default() };
        projector.fold(Items, subject.database(), settings).unwrap();
        let running = projector.start();
        let head = log.head().await.unwrap().checkpoint;
        running.handle().when_reached("items", head, LONG).await.unwrap();
        running.shut_down().await;
        let rows = subject.table("items").await.into_iter();
        let rows: BTreeMap<_, serde_json::Value> =
            rows.map(|(key, text)| (key, serde_json::from_str(&text).unwrap())).collect();
        assert_eq!(rows, expected, "in batches of {batch}");
    }
}
