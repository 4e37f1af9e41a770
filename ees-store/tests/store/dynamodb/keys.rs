use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_dynamodb::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use ees_store::dynamodb::{Store, TableFormat, check_keys};
use ees_store::{Commit, Error, EventStore, IdempotencyKey, Refusal};
use ees_test_aws::{Account, Faults};

use super::formats::{self, OURS, account_with};
use super::support::{Item, TABLE, account, append, client, commit, committing, item, n, s};

const YEAR: u64 = 365 * 24 * 60 * 60;

/// DynamoDB with a clock that is a year ahead: as seen by a server whose own clock is a year behind.
#[derive(Debug)]
struct YearAhead;

impl Intercept for YearAhead {
    fn name(&self) -> &'static str {
        "YearAhead"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = DateTime::from_secs(i64::try_from(now() + YEAR)?).fmt(DateTimeFormat::HttpDate)?;
        context.response_mut().headers_mut().insert("date", date);
        Ok(())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Until when the only key in the table counts, in seconds since 1970.
async fn expiry(account: &Account) -> u64 {
    let items = client(account).scan().table_name(TABLE).send().await.unwrap().items.unwrap_or_default();
    // DynamoDB removes what has the first of these: never a changeset.
    let is_changeset = |item: &Item| item.contains_key("events");
    assert!(!items.iter().any(|item| is_changeset(item) && item.contains_key("expires_at")));
    let expiry = |item: &Item| item.get("expires_at").or(item.get("key_expires_at")).cloned();
    let expiries: Vec<_> = items.iter().filter_map(expiry).collect();
    let [expiry] = expiries.as_slice() else { panic!("{expiries:?}") };
    expiry.as_n().unwrap().parse().unwrap()
}

fn keyed(stream: &str, last: u64, events: &str) -> Commit {
    commit(stream, last, events).with_idempotency_key("key".parse().unwrap())
}

#[tokio::test]
async fn keys_are_kept_by_the_clock_of_dynamodb() {
    const WEEK: u64 = 7 * 24 * 60 * 60;
    for (format, is_behind, ahead) in
        OURS.into_iter().flat_map(|format| [(format, false, 0), (format, true, YEAR)])
    {
        let account = account_with(format, TABLE).await;
        let config: Config = (&account.sdk_config()).into();
        let config: Builder = config.to_builder();
        let config = if is_behind { config.interceptor(YearAhead) } else { config };
        let store = Store::open(config.build(), TABLE).await.unwrap();
        let before = now();
        store.commit(keyed("a", 0, "[1]")).await.unwrap();
        // The header has no fractions of a second.
        let kept = Duration::from_secs((expiry(&account).await + 1).saturating_sub(before + ahead));
        assert!((WEEK..WEEK + 60).contains(&kept.as_secs()), "{format:?}: {kept:?}");
    }
}

/// A key in a changeset is forgotten when its time has come, though the changeset stays. Then it may be used again,
/// and the last commit with it counts.
#[tokio::test]
async fn a_key_in_a_changeset_counts_until_it_expires() {
    let account = account().await;
    let store = committing(&account, &Faults::none()).await;
    store.commit(keyed("a", 0, "[1]")).await.unwrap();
    expire(&account, "a", 1, now() + 5).await;
    assert_eq!(store.commit(keyed("a", 1, "[1]")).await.unwrap().changeset_id.get(), 1);
    expire(&account, "a", 1, now() - 1).await;
    assert_eq!(store.commit(keyed("a", 1, "[2]")).await.unwrap().changeset_id.get(), 2);
    assert_eq!(store.commit(keyed("a", 1, "[2]")).await.unwrap().changeset_id.get(), 2);
    let reused = store.commit(keyed("a", 2, "[1]")).await.unwrap_err();
    assert!(matches!(reused, Error::Refused(Refusal::KeyReused)), "{reused:?}");
    let check = check_keys(&account.sdk_config(), TABLE).await.unwrap();
    assert_eq!((check.keys, check.expired, check.faults), (2, 1, 0), "{check:?}");
    // Somebody has changed it by hand.
    expire(&account, "a", 1, now() + 60).await;
    let check = check_keys(&account.sdk_config(), TABLE).await.unwrap();
    assert!(check.faults == 1 && check.described[0].contains("and changeset"), "{check:?}");
}

async fn expire(account: &Account, stream: &str, changeset: i64, at: u64) {
    let update = client(account).update_item().table_name(TABLE).update_expression("SET key_expires_at = :e");
    let update = update.key("stream_id", s(stream)).key("changeset_id", n(changeset));
    let update = update.condition_expression("attribute_exists(idempotency_key)");
    update.expression_attribute_values(":e", n(at.cast_signed())).send().await.unwrap();
}

/// An attempt that expects a later end than the first one looks for the key once the stream is there, not before.
#[tokio::test]
async fn a_key_is_looked_for_when_the_end_of_its_stream_is_known() {
    let account = account().await;
    let (other, slow) = (committing(&account, &Faults::none()).await, Faults::seeded(7));
    for round in 0..3 {
        let stream = format!("a{round}");
        append(&other, &stream, 0).await;
        let slow = slow.clone().delayed(1.0, Duration::from_millis(400));
        let late = committing(&account, &slow).await;
        slow.calls().take();
        let (attempt, first) = (keyed(&stream, 2, "[2]"), keyed(&stream, 1, "[2]"));
        let late = tokio::spawn(async move { late.commit(attempt).await });
        // Its first read is over, and its second one is on its way.
        while slow.calls().of("Query") < 2 && !late.is_finished() {
            tokio::task::yield_now().await;
        }
        let stored = other.commit(first).await.unwrap();
        let late = late.await.unwrap();
        assert!(
            matches!(&late, Ok(committed) if *committed == stored) || matches!(&late, Err(Error::Refused(_))),
            "{late:?} beside {stored:?}"
        );
        let end = other.tail(&stream.parse().unwrap()).await.unwrap().last_changeset;
        assert_eq!(end, stored.changeset_id, "stored once");
    }
}

/// A table may be restored without some of its local indexes. Then its log would forget its keys.
#[tokio::test]
async fn a_log_with_keys_in_its_changesets_is_not_opened_without_their_index() {
    let account = account().await;
    let written = committing(&account, &Faults::none()).await;
    written.commit(keyed("a", 0, "[1]")).await.unwrap();
    formats::create(&account, TableFormat::V2, "restored").await;
    let client = client(&account);
    for item in client.scan().table_name(TABLE).send().await.unwrap().items.unwrap() {
        client.put_item().table_name("restored").set_item(Some(item)).send().await.unwrap();
    }
    let refused = Store::open(&account.sdk_config(), "restored").await.map(drop).unwrap_err();
    assert!(
        matches!(&refused, Error::InvalidRequest(why) if why.contains("with all its local indexes")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn keys_that_are_items_are_proven_against_the_changesets_that_they_became() {
    let account = account_with(TableFormat::V2, TABLE).await;
    let store = Store::open(&account.sdk_config(), TABLE).await.unwrap();
    for (number, stream) in ["a", "b", "c"].into_iter().enumerate() {
        let key = IdempotencyKey::new(&number.to_string()).unwrap();
        store.commit(commit(stream, 0, "[1]").with_idempotency_key(key)).await.unwrap();
        store.commit(commit(stream, 1, "[2]")).await.unwrap();
    }
    let check = check_keys(&account.sdk_config(), TABLE).await.unwrap();
    assert_eq!((check.keys, check.expired, check.faults), (3, 0, 0), "{check:?}");

    let client = client(&account);
    let of = |stream: &str| item([("stream_id", s(stream)), ("changeset_id", n(1))]);
    client.delete_item().table_name(TABLE).set_key(Some(of("a"))).send().await.unwrap();
    let change = client.update_item().table_name(TABLE).set_key(Some(of("b")));
    let change = change.update_expression("SET #e = :e").expression_attribute_names("#e", "events");
    change.expression_attribute_values(":e", s("[3]")).send().await.unwrap();
    let check = check_keys(&account.sdk_config(), TABLE).await.unwrap();
    assert_eq!((check.keys, check.expired, check.faults), (3, 0, 2), "{check:?}");
    let mut told = check.described;
    told.sort_by_key(|fault| fault.contains("is not there"));
    assert!(told[0].contains("body is another one by now") && told[1].contains("is not there"), "{told:?}");
}
