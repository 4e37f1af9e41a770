//! Folds with many keys for an event, with a lookup, and with one key for an event, side by side in one run.

use std::sync::Arc;
use std::time::Duration;

use ees_projector::sqlite::Database;
use ees_projector::{
    Composite, Fold, Found, IntoComposite, LookupFold, MultiFold, Projector, Recorded, Settings,
};
use ees_store::{Commit, EventStore, Events, Expectation, memory};
use serde::{Deserialize, Serialize};

use crate::shared::read::catch_up;

const EVENTS_A_CHANGESET: usize = 8;
const KEYS_AN_EVENT: usize = 8;

#[derive(Serialize, Deserialize)]
struct Counted {
    items: Vec<String>,
}

/// The events' items are the keys of so many rows.
#[derive(Clone, Copy)]
struct OneKey {
    rows: usize,
}

impl Fold for OneKey {
    type Event = Counted;
    type Key = String;
    type State = u64;
    fn name(&self) -> &str {
        "items"
    }
    fn key(&self, event: Recorded<'_, Counted>) -> Option<String> {
        let item = event.event.items.first()?;
        if self.rows == usize::MAX {
            return Some(item.clone());
        }
        let number: usize = item.strip_prefix("item-")?.parse().ok()?;
        Some(format!("item-{:08}", number % self.rows))
    }
    fn fold(&self, row: Option<u64>, _: Recorded<'_, Counted>) -> Option<u64> {
        Some(row.unwrap_or(0) + 1)
    }
}

struct ManyKeys;

impl MultiFold for ManyKeys {
    type Event = Counted;
    type Key = String;
    type State = u64;
    fn name(&self) -> &str {
        "items"
    }
    fn keys(&self, event: Recorded<'_, Counted>) -> impl IntoIterator<Item = String> {
        event.event.items.clone()
    }
    fn fold(&self, _: &String, row: Option<u64>, _: Recorded<'_, Counted>) -> Option<u64> {
        Some(row.unwrap_or(0) + 1)
    }
}

/// A second row for each item, whose key the first one gives.
struct LookedUp;

impl LookupFold for LookedUp {
    type Event = Counted;
    type Key = String;
    type State = u64;
    type Lookup = ManyKeys;
    fn name(&self) -> &str {
        "looked_up"
    }
    fn asks(&self, event: Recorded<'_, Counted>) -> impl IntoIterator<Item = String> {
        event.event.items.clone()
    }
    fn keys(
        &self,
        event: Recorded<'_, Counted>,
        found: Found<'_, ManyKeys>,
    ) -> impl IntoIterator<Item = String> {
        let counted = |item: &&String| found.get(item).is_some();
        event.event.items.iter().filter(counted).cloned().collect::<Vec<_>>()
    }
    fn fold(
        &self,
        item: &String,
        _: Option<u64>,
        _: Recorded<'_, Counted>,
        found: Found<'_, ManyKeys>,
    ) -> Option<u64> {
        found.get(item).copied()
    }
}

/// A log of events that name each item once, in an order that jumps.
async fn log_of(items: usize, an_event: usize) -> Arc<memory::Store> {
    let store = Arc::new(memory::Store::new());
    let names: Vec<String> = (0..items).map(|n| format!("item-{:08}", n * 7_919 % items)).collect();
    let events: Vec<Counted> =
        names.chunks(an_event).map(|items| Counted { items: items.to_vec() }).collect();
    for (number, events) in events.chunks(EVENTS_A_CHANGESET).enumerate() {
        let stream = format!("order-{number}").parse().unwrap();
        store.commit(Commit::new(stream, Expectation::NewStream, Events::of(events).unwrap())).await.unwrap();
    }
    store
}

async fn rate(
    log: &Arc<memory::Store>,
    fold: impl IntoComposite,
    name: &str,
    rows: usize,
    settings: Settings,
) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut projector = Projector::new(log.clone());
    projector.fold(fold, Database::open(folder.path().join("rows.db")).unwrap(), settings).unwrap();
    let head = ees_store::ChangesetLog::head(&**log).await.unwrap().checkpoint;
    let took: Duration = catch_up(projector, name, head).await;
    rows as f64 / took.as_secs_f64()
}

pub(crate) async fn measure(short: bool) {
    let (rows, rounds) = if short { (4_000, 1) } else { (400_000, 7) };
    let (singly, together) = (log_of(rows, 1).await, log_of(rows, KEYS_AN_EVENT).await);
    let (mut one, mut many, mut looked_up) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_one, mut of_one_looked_up) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(rate(&singly, OneKey { rows: usize::MAX }, "items", rows, Settings::default()).await);
        many.push(rate(&together, ManyKeys, "items", rows, Settings::default()).await);
        let both = Composite::new("both").stage(ManyKeys).stage(LookedUp);
        looked_up.push(rate(&together, both, "both", 2 * rows, Settings::default()).await);
        of_one.extend(many.last().zip(one.last()).map(|(many, one)| many / one));
        of_one_looked_up.extend(looked_up.last().zip(one.last()).map(|(looked_up, one)| looked_up / one));
    }
    println!("{rows} rows, each written once; medians of {rounds} rounds in turns");
    let line = |what: &str, rates: &[f64], of_one: &[f64]| {
        println!("{what:<52} {:>12.0} rows/s {:>10.2} of one key", median(rates), median(of_one));
    };
    line("one key for an event", &one, &[1.0]);
    line(&format!("{KEYS_AN_EVENT} keys for an event"), &many, &of_one);
    line("the same, and a stage that looks each of them up", &looked_up, &of_one_looked_up);
}

/// What the fingerprint of the rows costs: the same fold with it and without it, in turns. Once each row is written
/// once, and once it is changed by eight batches, when two hashes of each are needed.
pub(crate) async fn measure_fingerprints(short: bool) {
    let (rows, rounds) = if short { (4_000, 2) } else { (200_000, 60) };
    let log = log_of(rows, 1).await;
    for (what, keys) in [
        ("each row written once", OneKey { rows: usize::MAX }),
        ("each row changed by 8 batches", OneKey { rows: rows / 8 }),
    ] {
        let batch = keys.rows.min(rows).div_ceil(EVENTS_A_CHANGESET);
        let (mut without, mut ratios) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=rounds {
            let mut turns = [false, true];
            // What goes second finds another disk, so both do in turns.
            if round % 2 == 1 {
                turns.reverse();
            }
            let mut rates = [0.0; 2];
            for fingerprint in turns {
                let settings = Settings { fingerprint, span_changesets_max: batch, ..Settings::default() };
                rates[usize::from(fingerprint)] = rate(&log, keys, "items", rows, settings).await;
            }
            if round > 0 {
                without.push(rates[0]);
                ratios.push(rates[1] / rates[0]);
            }
        }
        println!(
            "{what:<40} {:>10.0} events/s without a fingerprint, {:.3} of that with it (median of {rounds} rounds)",
            median(&without),
            median(&ratios)
        );
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
