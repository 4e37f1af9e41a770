//! Each fault happens as it does on AWS, and as often as the plan says.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, Get, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    KeysAndAttributes, Projection, ProjectionType, Put, ScalarAttributeType, TransactGetItem,
    TransactWriteItem,
};
use ees_test_aws::{Account, Faults, LocalAws, Moment};

const TABLE: &str = "things";

fn key(name: &str) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build().unwrap()
}

/// Creates a table of things, with an index by colour.
async fn account() -> Account {
    let account = LocalAws::account().await;
    let client = Client::new(&account.sdk_config());
    let mut create = client.create_table().table_name(TABLE).billing_mode(BillingMode::PayPerRequest);
    for name in ["name", "colour"] {
        let attribute = AttributeDefinition::builder().attribute_name(name);
        let attribute = attribute.attribute_type(ScalarAttributeType::S).build().unwrap();
        create = create.attribute_definitions(attribute);
    }
    let all = Projection::builder().projection_type(ProjectionType::All).build();
    let index =
        GlobalSecondaryIndex::builder().index_name("by_colour").key_schema(key("colour")).projection(all);
    create.key_schema(key("name")).global_secondary_indexes(index.build().unwrap()).send().await.unwrap();
    account
}

/// A client without the SDK's retries, so that each fault is visible.
fn client(account: &Account, faults: &Faults) -> Client {
    let config = account.sdk_config_with(faults).into_builder().retry_config(RetryConfig::disabled()).build();
    Client::new(&config)
}

fn thing(name: &str) -> HashMap<String, AttributeValue> {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    [("name".to_owned(), text(name)), ("colour".to_owned(), text("red"))].into()
}

async fn put(client: &Client, name: &str) -> Result<(), aws_sdk_dynamodb::Error> {
    client.put_item().table_name(TABLE).set_item(Some(thing(name))).send().await?;
    Ok(())
}

async fn red(client: &Client) -> usize {
    let query =
        client.query().table_name(TABLE).index_name("by_colour").key_condition_expression("colour = :c");
    let query = query.expression_attribute_values(":c", AttributeValue::S("red".to_owned()));
    query.send().await.unwrap().items().len()
}

#[tokio::test]
async fn a_call_is_throttled_and_not_carried_out() {
    let account = account().await;
    let throttled = put(&client(&account, &Faults::seeded(1).throttled(1.0)), "a").await;
    assert!(
        matches!(throttled, Err(aws_sdk_dynamodb::Error::ProvisionedThroughputExceededException(_))),
        "{throttled:?}"
    );
    assert_eq!(red(&client(&account, &Faults::none())).await, 0);
}

/// Puts these things, each only if it is new.
async fn put_all(client: &Client, names: &[&str]) -> Result<(), aws_sdk_dynamodb::Error> {
    let of = |name: &&str| {
        let put = Put::builder().table_name(TABLE).set_item(Some(thing(name)));
        let put = put.condition_expression("attribute_not_exists(colour)").build().unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    let actions = names.iter().map(of).collect();
    client.transact_write_items().set_transact_items(Some(actions)).send().await?;
    Ok(())
}

async fn has(client: &Client, name: &str) -> bool {
    let get = client.get_item().table_name(TABLE).key("name", AttributeValue::S(name.to_owned()));
    get.consistent_read(true).send().await.unwrap().item.is_some()
}

/// The code of each action of a cancelled transaction.
fn codes(answer: Result<(), aws_sdk_dynamodb::Error>) -> Vec<String> {
    let Err(aws_sdk_dynamodb::Error::TransactionCanceledException(cancelled)) = answer else {
        panic!("expected that it was cancelled, got {answer:?}");
    };
    cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_transaction_in_conflict_says_where_and_what_else_is_in_its_way() {
    let account = account().await;
    let faults = Faults::none();
    let client = client(&account, &faults);
    put(&client, "a").await.unwrap();
    faults.conflict_at(&[1]);
    faults.conflict_at(&[0, 2]);
    faults.conflict_at(&[0]);
    let names = ["a", "b", "c"];
    let mixed = ["ConditionalCheckFailed", "TransactionConflict", "None"];
    assert_eq!(codes(put_all(&client, &names).await), mixed);
    assert_eq!(
        codes(put_all(&client, &names).await),
        ["TransactionConflict", "None", "TransactionConflict"],
        "what is held by another one tells no condition"
    );
    assert_eq!(codes(put_all(&client, &names[1..]).await), ["TransactionConflict", "None"]);
    assert_eq!(codes(put_all(&client, &names).await), ["ConditionalCheckFailed", "None", "None"]);
    put_all(&client, &names[1..]).await.unwrap();
    assert_eq!((red(&client).await, faults.calls().actions()), (3, 3 + 3 + 2 + 3 + 2));
}

/// Any action of a transaction, and a write of one item.
#[tokio::test]
async fn any_action_conflicts() {
    let account = account().await;
    let client = client(&account, &Faults::seeded(1).conflicting(1.0));
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        let codes = codes(put_all(&client, &["a", "b", "c"]).await);
        assert!(codes.iter().all(|code| code == "None" || code == "TransactionConflict"), "{codes:?}");
        seen.extend(codes.iter().position(|code| code == "TransactionConflict"));
    }
    let refused = put(&client, "a").await;
    assert!(matches!(refused, Err(aws_sdk_dynamodb::Error::TransactionConflictException(_))), "{refused:?}");
    assert_eq!(red(&self::client(&account, &Faults::none())).await, 0);
}

#[tokio::test]
async fn readers_see_some_items_of_a_transaction_before_the_others() {
    let account = account().await;
    let faults = Faults::none();
    let (slow, other) = (client(&account, &faults), client(&account, &Faults::none()));
    faults.halt_after(&[1]);
    let committing = tokio::spawn(async move { put_all(&slow, &["a", "b", "c"]).await });
    faults.halted().await;
    assert_eq!(
        [has(&other, "a").await, has(&other, "b").await, has(&other, "c").await],
        [false, true, false]
    );
    assert_eq!(
        codes(put_all(&other, &["a", "b", "d"]).await),
        ["TransactionConflict", "ConditionalCheckFailed", "None"]
    );
    let refused = put(&other, "c").await;
    assert!(matches!(refused, Err(aws_sdk_dynamodb::Error::TransactionConflictException(_))), "{refused:?}");
    let get =
        Get::builder().table_name(TABLE).key("name", AttributeValue::S("a".to_owned())).build().unwrap();
    let get = TransactGetItem::builder().get(get).build();
    let read = || other.transact_get_items().transact_items(get.clone()).send();
    assert_eq!(codes(read().await.map(drop).map_err(Into::into)), ["TransactionConflict"]);
    faults.go_on();
    committing.await.unwrap().unwrap();
    assert!(read().await.unwrap().responses()[0].item().is_some());
    assert_eq!(red(&other).await, 3);
}

/// A client that hangs up does not leave half of it behind.
#[tokio::test]
async fn a_transaction_is_carried_out_to_its_end() {
    let account = account().await;
    let faults = Faults::none();
    let slow = client(&account, &faults);
    faults.halt_after(&[0]);
    let committing = tokio::spawn(async move { put_all(&slow, &["a", "b"]).await });
    faults.halted().await;
    committing.abort();
    faults.go_on();
    faults.cut_off().await;
    assert_eq!(red(&client(&account, &Faults::none())).await, 2);
}

#[tokio::test]
async fn transactions_that_take_their_time_conflict_when_they_overlap() {
    let account = account().await;
    let faults = Faults::none().lasting(Duration::from_millis(100));
    let slow = client(&account, &faults);
    let (first, second) = tokio::join!(put_all(&slow, &["a", "b"]), put_all(&slow, &["c", "b"]));
    let (done, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    done.unwrap();
    assert_eq!(codes(refused), ["None", "TransactionConflict"]);
    let (first, second) = tokio::join!(put_all(&slow, &["d"]), put_all(&slow, &["e"]));
    first.unwrap();
    second.unwrap();
    assert_eq!(red(&slow).await, 4);
}

#[tokio::test]
async fn a_lost_answer_is_one_to_a_call_that_was_carried_out() {
    let account = account().await;
    assert!(put(&client(&account, &Faults::seeded(1).unreached(1.0)), "a").await.is_err());
    assert!(put(&client(&account, &Faults::seeded(1).failing(1.0)), "b").await.is_err());
    assert_eq!(red(&client(&account, &Faults::none())).await, 0);
    assert!(put(&client(&account, &Faults::seeded(1).lost(1.0)), "c").await.is_err());
    assert_eq!(red(&client(&account, &Faults::none())).await, 1);
}

#[tokio::test]
async fn an_index_entry_comes_late_and_stays() {
    let account = account().await;
    let plain = client(&account, &Faults::none());
    for name in ["a", "b", "c"] {
        put(&plain, name).await.unwrap();
    }
    let late = client(&account, &Faults::seeded(1).late(1.0, Duration::from_millis(200)));
    assert!(red(&late).await < 3);
    let deadline = Instant::now() + Duration::from_secs(10);
    while red(&late).await < 3 {
        assert!(Instant::now() < deadline, "they come");
    }
    assert_eq!(red(&late).await, 3);
}

#[tokio::test]
async fn keys_are_left_unprocessed_and_can_be_asked_for_again() {
    let account = account().await;
    put(&client(&account, &Faults::none()), "a").await.unwrap();
    let client = client(&account, &Faults::seeded(1).unprocessed(1.0));
    let keys = ["a", "b", "c"].map(|name| [("name".to_owned(), AttributeValue::S(name.to_owned()))].into());
    let keys = KeysAndAttributes::builder().set_keys(Some(keys.to_vec())).build().unwrap();
    let answer = client.batch_get_item().request_items(TABLE, keys).send().await.unwrap();
    let left = &answer.unprocessed_keys().unwrap()[TABLE];
    assert_eq!((answer.responses().unwrap()[TABLE].len(), left.keys().len()), (1, 1));
    let rest = client.batch_get_item().request_items(TABLE, left.clone()).send().await.unwrap();
    assert!(rest.unprocessed_keys().unwrap().is_empty());
}

/// The same seed gives the same faults in the same order.
#[tokio::test]
async fn a_seed_fixes_what_happens() {
    let account = account().await;
    let mut seen = Vec::new();
    for seed in [5, 5, 6] {
        let faults = Faults::seeded(seed).throttled(0.3).lost(0.2);
        let client = client(&account, &faults);
        let mut outcomes = Vec::new();
        for _ in 0..40 {
            outcomes.push(put(&client, "a").await.is_ok());
        }
        assert_eq!((faults.calls().of("PutItem"), faults.calls().total()), (40, 40));
        seen.push(outcomes);
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[0], seen[2]);
    let well = seen[0].iter().filter(|&&well| well).count();
    assert!((10..=30).contains(&well), "{well} of 40");
}

#[tokio::test]
async fn who_is_cut_off_reaches_nothing_any_more() {
    let account = account().await;
    let faults = Faults::none();
    let cut = client(&account, &faults);
    put(&cut, "a").await.unwrap();
    faults.cut_off().await;
    assert!(put(&cut, "b").await.is_err());
    assert_eq!(red(&client(&account, &Faults::none())).await, 1);
}

#[tokio::test]
async fn who_dies_in_a_call_makes_no_other() {
    for (moment, done) in [(Moment::BeforeTheCall, 1), (Moment::AfterTheAnswer, 2)] {
        let account = account().await;
        let faults = Faults::none().dying_at(1, moment);
        let client = client(&account, &faults);
        let lived = faults.unless_it_dies(async {
            for name in ["a", "b", "c"] {
                put(&client, name).await.unwrap();
            }
        });
        assert_eq!(lived.await, None);
        assert_eq!(red(&self::client(&account, &Faults::none())).await, done, "{moment:?}");
        assert!(put(&client, "d").await.is_err(), "nothing leaves any more");
    }
}

#[tokio::test]
async fn who_makes_fewer_calls_lives() {
    let account = account().await;
    let faults = Faults::none().dying_at(1, Moment::BeforeTheCall);
    let client = client(&account, &faults);
    assert_eq!(faults.unless_it_dies(async { put(&client, "a").await.is_ok() }).await, Some(true));
}
