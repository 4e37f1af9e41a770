//! The rights of each function, on an emulator that enforces policies: sufficient, and no more.
//!
//! The emulator does not enforce everything: not the conditions on keys (`dynamodb:LeadingKeys`), nor the
//! rights to read a stream or to write logs and traces. For these, the test reads the policies themselves.

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Instant;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use ees_projector::postgres::{self, sqlx};
use ees_store::client::Client;
use ees_store::{Commit, EventStore, Events, Expectation};
use ees_test_aws::{Identity, LocalAws, Stack};
use ees_test_postgres::TestDatabase;
use serde_json::json;

use crate::support::{CALLER, LONG, Subscriber};

const COMMITS: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_are_enough() {
    let account = LocalAws::guarded_account().await;
    let stack = Stack::event_store(&account).await;
    let subscriber = Subscriber::of(&stack, "EventsTopic", "events").await;
    let postgres = TestDatabase::new().await;
    stack.own_projection(postgres.url()).await;

    // Tries each form of a commit: with and without a key, with and without a type.
    let ada = account.user(CALLER).await.sdk_config();
    let store = Client::builder(&stack.url()).with_sigv4(&ada).build().unwrap();
    for last in 0..COMMITS {
        let commit = |stream_id: &str| {
            let events = Events::parse(r#"[{"type": "changed", "blob": "b"}]"#).unwrap();
            Commit::new(stream_id.parse().unwrap(), Expectation::LastChangeset(last.into()), events)
        };
        store.commit(commit("untyped")).await.unwrap();
        store.commit(commit("typed").with_stream_type("account".parse().unwrap())).await.unwrap();
    }
    let plain = reqwest::Client::new().post(format!("{}/streams/plain", stack.url()));
    let plain = plain.header("Authorization", stack.authorization()).body(r#"{"events":[1]}"#);
    assert_eq!(plain.send().await.unwrap().status(), 200);

    // Checks publishing, the function that a queue wakes, and the function that runs every minute.
    let all = 2 * COMMITS + 1;
    let told = subscriber.receive(usize::try_from(all).unwrap(), LONG).await.by_stream;
    assert_eq!((told["typed"].len(), told["untyped"].len(), told["plain"].len()), (5, 5, 1));
    let files = postgres::Database::connect(postgres.url()).await.unwrap();
    let deadline = Instant::now() + LONG;
    loop {
        let applied = "SELECT checkpoint FROM ees.projections WHERE name = 'files'";
        let applied: Option<i64> =
            sqlx::query_scalar(applied).fetch_optional(files.pool()).await.ok().flatten();
        let counted = store.statistics().await.unwrap().total_changesets;
        if applied == i64::try_from(all).ok() && counted == all {
            break;
        }
        assert!(Instant::now() < deadline, "{applied:?} applied, {counted} counted of {all}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

/// Whether the policies allowed the call. AWS reports other faults of a call only after it has checked them.
fn may<T, E, R>(called: Result<T, SdkError<E, R>>) -> bool
where
    E: ProvideErrorMetadata + Error,
{
    const NO: [&str; 3] = ["AccessDenied", "AccessDeniedException", "AuthorizationError"];
    !called.is_err_and(|error| error.code().is_some_and(|code| NO.contains(&code)))
}

/// Tries actions on the stack as an identity.
async fn tried(stack: &Stack, who: &Identity) -> Vec<(&'static str, bool)> {
    let (text, number) = (|it: &str| AttributeValue::S(it.into()), |it: &str| AttributeValue::N(it.into()));
    let config = who.sdk_config();
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let (log, rows) = (stack.output("Table"), stack.output("ReadModels"));
    let (topic, letters) = (stack.output("ChangesetsTopic"), stack.output("DeadLetters"));
    let get =
        dynamodb.get_item().table_name(log).key("stream_id", text("a")).key("changeset_id", number("1"));
    let update = dynamodb.update_item().table_name(log).key("stream_id", text("a"));
    let update = update.key("changeset_id", number("1")).update_expression("REMOVE x");
    let delete = dynamodb.delete_item().table_name(log).key("stream_id", text("a"));
    let query = dynamodb.query().table_name(log).index_name("EnumerationIndex");
    let query = query.key_condition_expression("stripe = :p").expression_attribute_values(":p", number("0"));
    let put = dynamodb.put_item().table_name(log).item("stream_id", text("!!!RESERVED:test"));
    let row = dynamodb.get_item().table_name(rows).key("ees_partition", text("a")).key("ees_key", text("a"));
    let put_row = dynamodb.put_item().table_name(rows).item("ees_partition", text("a"));
    let delete_row = dynamodb.delete_item().table_name(rows).key("ees_partition", text("a"));
    let publish = sns.publish().topic_arn(topic).message("{}").message_group_id("test");
    let endpoint = "arn:aws:sqs:eu-central-1:123456789012:elsewhere";
    let subscribe = sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(endpoint);
    vec![
        ("read the log", may(get.send().await)),
        ("read the log by its order", may(query.send().await)),
        ("scan the log", may(dynamodb.scan().table_name(log).send().await)),
        ("write to the log", may(put.item("changeset_id", number("1")).send().await)),
        ("change the log", may(update.send().await)),
        ("delete from the log", may(delete.key("changeset_id", number("1")).send().await)),
        ("delete the log", may(dynamodb.delete_table().table_name(log).send().await)),
        ("read a row", may(row.send().await)),
        ("write a row", may(put_row.item("ees_key", text("a")).send().await)),
        ("delete a row", may(delete_row.key("ees_key", text("a")).send().await)),
        ("delete the rows", may(dynamodb.delete_table().table_name(rows).send().await)),
        ("publish", may(publish.send().await)),
        ("subscribe", may(subscribe.send().await)),
        ("delete a topic", may(sns.delete_topic().topic_arn(topic).send().await)),
        ("leave a dead letter", may(sqs.send_message().queue_url(letters).message_body("{}").send().await)),
        ("take a dead letter", may(sqs.receive_message().queue_url(letters).send().await)),
    ]
}

/// What keeps the log's read models.
const READ_MODELS: &[&str] = &[
    "read the log",
    "read the log by its order",
    "scan the log",
    "write to the log",
    "read a row",
    "write a row",
    "delete a row",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_function_is_refused_what_it_does_not_need() {
    let account = LocalAws::guarded_account().await;
    let stack = Stack::event_store(&account).await;
    // Deployed only for its role.
    let own = stack.own_projection("postgres://nowhere").await;
    for (stack_of_role, role, rights) in [
        (&own, "ProjectionRole", &["read the log", "read the log by its order", "scan the log"][..]),
        (&stack, "ApiRole", &[READ_MODELS, &["publish", "take a dead letter"]].concat()[..]),
        // These two write the store's own items, by a condition that the emulator always takes as true.
        (&stack, "IndexerRole", &["read the log", "scan the log", "write to the log", "change the log"]),
        (&stack, "ProjectorRole", READ_MODELS),
        (&stack, "PublisherRole", &["publish", "leave a dead letter"]),
    ] {
        let tried = tried(&stack, &stack_of_role.role(role).await).await;
        let allowed: Vec<_> = tried.into_iter().filter_map(|(what, may)| may.then_some(what)).collect();
        assert_eq!(allowed, rights, "{role}");
    }

    assert_eq!(rights(&stack).await, listed());
}

/// All rights of the policies, one per line, including those that the emulator does not enforce.
async fn rights(stack: &Stack) -> BTreeSet<String> {
    let shown = |right: ees_test_aws::Right| {
        let ees_test_aws::Right { role, action, resource, condition } = right;
        let resource = ["Table", "ReadModels"].iter().fold(resource, |resource, name| {
            resource.replace(&format!("/{}", stack.output(name)), &format!("/{name}"))
        });
        // Removes what the deployment adds to the names of streams and queues.
        let resource = match (resource.split_once("/stream/2"), resource.rsplit_once('-')) {
            (Some((table, _)), _) => format!("{table}/stream"),
            (_, Some((name, _))) if action.starts_with("sqs:") => name.to_owned(),
            _ => resource,
        };
        let resource = resource.rsplit(':').find(|part| *part != "*").unwrap_or("*");
        let when = condition.map(|condition| {
            let own = json!({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": "!!!RESERVED:*"}});
            if condition == own { " where it is the store's own".to_owned() } else { condition.to_string() }
        });
        format!("{role} {action} {resource}{}", when.unwrap_or_default())
    };
    // The emulator needs one more right for what is `sns:Publish` on AWS.
    stack.rights().await.into_iter().filter(|right| right.action != "sns:PublishBatch").map(shown).collect()
}

fn listed() -> BTreeSet<String> {
    const TABLE: &str = "\
ApiRole dynamodb: DescribeTable GetItem Query Scan PutItem | table/Table
ApiRole dynamodb: Query | table/Table/index/*
ApiRole dynamodb: GetItem BatchGetItem Query PutItem DeleteItem BatchWriteItem UpdateItem ConditionCheckItem | table/ReadModels
ApiRole sqs: ReceiveMessage DeleteMessage ChangeMessageVisibility | ees-PublisherDeadLetters
ApiRole sns: Publish | ees-changesets.fifo
ApiRole sns: Publish | ees-events.fifo
ApiRole sns: Publish | ees-notifications
ApiRole logs: CreateLogStream PutLogEvents | /aws/lambda/ees-api
IndexerRole dynamodb: DescribeTable GetItem BatchGetItem Query Scan UpdateItem | table/Table
IndexerRole dynamodb: PutItem | table/Table where it is the store's own
IndexerRole dynamodb: DescribeStream GetRecords GetShardIterator | table/Table/stream
IndexerRole dynamodb: ListStreams | table/Table/stream/*
IndexerRole sqs: SendMessage | ees-FailedCalls
IndexerRole logs: CreateLogStream PutLogEvents | /aws/lambda/ees-indexer
PublisherRole sns: Publish | ees-changesets.fifo
PublisherRole sns: Publish | ees-events.fifo
PublisherRole sns: Publish | ees-notifications
PublisherRole sqs: SendMessage | ees-PublisherDeadLetters
PublisherRole sqs: SendMessage | ees-FailedCalls
PublisherRole dynamodb: DescribeStream GetRecords GetShardIterator | table/Table/stream
PublisherRole dynamodb: ListStreams | table/Table/stream/*
PublisherRole logs: CreateLogStream PutLogEvents | /aws/lambda/ees-publisher
ProjectorRole dynamodb: DescribeTable GetItem Query Scan | table/Table
ProjectorRole dynamodb: Query | table/Table/index/*
ProjectorRole dynamodb: PutItem | table/Table where it is the store's own
ProjectorRole dynamodb: GetItem BatchGetItem Query PutItem DeleteItem BatchWriteItem UpdateItem ConditionCheckItem | table/ReadModels
ProjectorRole logs: CreateLogStream PutLogEvents | /aws/lambda/ees-projector";
    let mut all = BTreeSet::new();
    for line in TABLE.lines() {
        let (what, resource) = line.split_once(" | ").unwrap();
        let (who, actions) = what.split_once(": ").unwrap();
        all.extend(actions.split(' ').map(|action| format!("{who}:{action} {resource}")));
    }
    // A policy can't name resources for traces.
    for role in ["ApiRole", "IndexerRole", "PublisherRole", "ProjectorRole"] {
        for action in ["PutTraceSegments", "PutTelemetryRecords"] {
            all.insert(format!("{role} xray:{action} *"));
        }
    }
    all
}
