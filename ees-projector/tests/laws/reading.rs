//! How a projection sees events: by their names of today, and unknown ones skipped or refused.

use std::panic::AssertUnwindSafe;

use std::sync::LazyLock;

use ees_projector::Subscription;
use ees_projector::testkit::given;
use ees_projector::{Fold, Reading, Recorded};
use ees_store::Filter;
use ees_store::event::{Unknown, Upcasters};
use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WalletEvent {
    Deposited { cents: i64 },
}

static UPCASTERS: LazyLock<Upcasters> = LazyLock::new(|| {
    Upcasters::new()
        .step(("paid_in", 1), ("deposited", 2), |event| {
            let euros: i64 = event.take("euros")?;
            Ok(event.set("cents", &(euros * 100))?)
        })
        .unwrap()
});

/// What is in each wallet.
struct Wallets {
    filter: Filter,
    unknown: Unknown,
}

impl Fold for Wallets {
    type Event = WalletEvent;
    type Key = String;
    type State = i64;

    fn name(&self) -> &str {
        "wallets"
    }
    fn subscription(&self) -> Subscription {
        Subscription::to(self.filter.clone())
            .with_reading(Reading::upcasting(UPCASTERS.clone()).with_unknown(self.unknown))
    }
    fn key(&self, event: Recorded<'_, WalletEvent>) -> Option<String> {
        Some(event.stream_id().to_string())
    }
    fn fold(&self, row: Option<i64>, event: Recorded<'_, WalletEvent>) -> Option<i64> {
        let WalletEvent::Deposited { cents } = event.event;
        Some(row.unwrap_or_default() + cents)
    }
}

fn of_all_ages() -> Vec<(&'static str, Value)> {
    vec![
        ("a", json!({"type": "paid_in", "euros": 1})),
        ("b", json!({"type": "paid_in", "euros": 2})),
        ("a", json!({"type": "frozen"})),
        ("a", json!({"type": "deposited", "version": 2, "cents": 30})),
    ]
}

#[tokio::test]
async fn old_events_are_seen_by_their_names_of_today() {
    let wallets = || Wallets { filter: Filter::default(), unknown: Unknown::Skip };
    given(of_all_ages()).fold(wallets()).await.expect([("a", 130), ("b", 200)]);
    given(of_all_ages()).check_fold(wallets).await;
}

#[tokio::test]
async fn a_filter_by_names_of_today_lets_old_events_pass() {
    let filter = Filter::events_of::<WalletEvent>();
    assert_eq!(filter.event_types, ["deposited"]);
    let wallets = || Wallets { filter: filter.clone(), unknown: Unknown::Refuse };
    given(of_all_ages()).fold(wallets()).await.expect([("a", 130), ("b", 200)]);
    given(of_all_ages()).check_fold(wallets).await;
}

#[tokio::test]
async fn a_history_that_a_fold_does_not_recognize_fails_the_test_unless_it_may() {
    let history = || given([("a", json!({"type": "Deposited", "cents": 1})), ("a", json!({"cents": 1}))]);
    let wallets = || Wallets { filter: Filter::default(), unknown: Unknown::Skip };
    let fold = AssertUnwindSafe(async { drop(history().fold(wallets()).await) }).catch_unwind().await;
    let check = AssertUnwindSafe(async { history().check_fold(wallets).await }).catch_unwind().await;
    for panicked in [fold, check] {
        let text = panicked.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("types seen: (no type), Deposited; types known: deposited"), "{text}");
    }
    let allowed = history().allowing_foreign_events_only();
    allowed.fold(wallets()).await.expect::<String>([]);
    allowed.check_fold(wallets).await;
}

#[tokio::test]
#[should_panic(expected = "its type \\\"frozen\\\" is unknown")]
async fn an_unknown_event_is_a_failure_where_that_is_chosen() {
    given(of_all_ages()).fold(Wallets { filter: Filter::default(), unknown: Unknown::Refuse }).await;
}
