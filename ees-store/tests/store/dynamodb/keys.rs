use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Config;
use aws_sdk_dynamodb::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_dynamodb::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use ees_store::dynamodb::{Store, check_keys};
use ees_store::{EventStore, IdempotencyKey};
use ees_test_aws::Account;

use super::support::{TABLE, account, client, commit, item, n, s};

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

/// When the only key in the table may be removed, in seconds since 1970.
async fn expiry(account: &Account) -> u64 {
    let items = client(account).scan().table_name(TABLE).send().await.unwrap().items.unwrap_or_default();
    let expiries: Vec<_> = items.iter().filter_map(|item| item.get("expires_at")).collect();
    let [expiry] = expiries.as_slice() else { panic!("{expiries:?}") };
    expiry.as_n().unwrap().parse().unwrap()
}

#[tokio::test]
async fn keys_are_kept_by_the_clock_of_dynamodb() {
    const WEEK: u64 = 7 * 24 * 60 * 60;
    for (is_behind, ahead) in [(false, 0), (true, YEAR)] {
        let account = account().await;
        let config: Config = (&account.sdk_config()).into();
        let config: Builder = config.to_builder();
        let config = if is_behind { config.interceptor(YearAhead) } else { config };
        let store = Store::open(config.build(), TABLE).await.unwrap();
        let before = now();
        let keyed = commit("a", 0, "[1]").with_idempotency_key(IdempotencyKey::new("k").unwrap());
        store.commit(keyed).await.unwrap();
        // The header has no fractions of a second.
        let kept = Duration::from_secs((expiry(&account).await + 1).saturating_sub(before + ahead));
        assert!((WEEK..WEEK + 60).contains(&kept.as_secs()), "{kept:?}");
    }
}

#[tokio::test]
async fn keys_are_proven_against_the_changesets_that_they_became() {
    let account = account().await;
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
