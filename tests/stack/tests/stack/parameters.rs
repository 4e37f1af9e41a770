//! The parameters of the templates: what each changes, and that none changes anything unless it is given.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use ees_store::dynamodb::{Indexing, Options, Store, TableFormat, create_table};
use ees_store::{ChangesetLog, Checkpoint, Commit, EventStore, Events, Expectation, LogQuery};
use ees_test_aws::{LocalAws, Stack, synthesize};
use serde_json::{Value, json};

use crate::support::{LONG, Subscriber};

const TEMPLATE: &str = "deploy/template.yaml";
const OWN: &str = "deploy/own-projection/template.yaml";
/// What the example of a projection needs in any case.
const NEEDED: [&str; 3] = ["ChangesetsTopic=arn", "Table=log", "DatabaseUrl=postgres://host/db"];
const STREAM: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/log/stream/2026-11-29T00:00:00.000";
const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/0b1c2d3e";
const ROLES: [&str; 4] = ["ApiRole", "IndexerRole", "PublisherRole", "ProjectorRole"];

/// What the template makes without parameters.
static PLAIN: LazyLock<Value> = LazyLock::new(|| made(&[]).unwrap());

/// What the template makes of these parameters and the one that has no default.
fn made(parameters: &[&str]) -> Result<Value, String> {
    let format =
        if parameters.iter().any(|it| it.starts_with("TableFormat=")) { &[][..] } else { &["TableFormat=3"] };
    synthesize(TEMPLATE, &[format, parameters].concat())
}

/// The properties of each resource that differs from what the template makes without parameters, as
/// `RESOURCE/PROPERTY/...`, with their values. A resource that is not made is `null`.
fn changed_by(parameters: &[&str]) -> BTreeMap<String, Value> {
    let with = made(parameters).unwrap();
    let mut changed = BTreeMap::new();
    compare("", &PLAIN["Resources"], &with["Resources"], &mut changed);
    changed
}

fn compare(path: &str, plain: &Value, with: &Value, changed: &mut BTreeMap<String, Value>) {
    let (Some(these), Some(those)) = (plain.as_object(), with.as_object()) else {
        if plain != with {
            changed.insert(path.trim_start_matches('/').replace("/Properties/", "/"), with.clone());
        }
        return;
    };
    for name in these.keys().chain(those.keys().filter(|name| !these.contains_key(*name))) {
        compare(&format!("{path}/{name}"), &plain[name], &with[name], changed);
    }
}

fn expected(changes: Value) -> BTreeMap<String, Value> {
    serde_json::from_value(changes).unwrap()
}

#[test]
fn a_limit_of_requests_is_that_of_the_stage() {
    let throttled = changed_by(&["ApiRateLimit=50", "ApiBurstLimit=20"]);
    let setting = |method: &str, path: &str| {
        json!({
            "HttpMethod": method, "ResourcePath": path,
            "ThrottlingRateLimit": "50", "ThrottlingBurstLimit": "20",
        })
    };
    // Methods with settings of their own, such as that for metrics, do not have those of the stage.
    let mut commits = setting("POST", "/~1streams~1{stream_id}");
    commits["MetricsEnabled"] = json!(true);
    let settings = json!([setting("*", "/*"), commits]);
    assert_eq!(throttled, expected(json!({ "ApiStage/MethodSettings": settings })));
    for half in ["ApiRateLimit=50", "ApiBurstLimit=20"] {
        assert!(made(&[half]).unwrap_err().contains("would take no request"), "{half}");
    }
}

#[test]
fn operators_of_a_projection_of_ones_own_are_limited_when_told_so() {
    let settings = |more: &[&str]| {
        let mut made = synthesize(OWN, &[&NEEDED[..], more].concat()).unwrap();
        made["Resources"]["ApiStage"]["Properties"]["MethodSettings"].take()
    };
    assert_eq!(settings(&[]), Value::Null);
    let limit = json!({
        "HttpMethod": "*", "ResourcePath": "/*", "ThrottlingRateLimit": "5", "ThrottlingBurstLimit": "20",
    });
    assert_eq!(settings(&["ApiRateLimit=5", "ApiBurstLimit=20"]), json!([limit]));
    for half in ["ApiRateLimit=5", "ApiBurstLimit=20"] {
        let refused = synthesize(OWN, &[&NEEDED[..], &[half]].concat()).unwrap_err();
        assert!(refused.contains("would take no request"), "{half}");
    }
}

#[test]
fn concurrency_is_set_aside_for_the_function_that_it_is_given_for() {
    let property = "ReservedConcurrentExecutions";
    for (parameter, function) in [
        ("ApiConcurrency=7", "ApiFunction"),
        ("IndexerConcurrency=7", "IndexerFunction"),
        ("PublisherConcurrency=7", "PublisherFunction"),
    ] {
        let reserved = changed_by(&[parameter]);
        assert_eq!(reserved, expected(json!({ format!("{function}/{property}"): "7" })));
    }
    // On AWS, none would be a function that is never called.
    assert!(made(&["ApiConcurrency=0"]).is_err());
}

#[test]
fn a_cap_of_units_holds_for_each_table_and_each_index() {
    let capped = changed_by(&["MaxWriteUnits=400"]);
    let only_writes = json!({ "MaxWriteRequestUnits": "400" });
    let mut indexes = PLAIN["Resources"]["Table"]["Properties"]["GlobalSecondaryIndexes"].clone();
    for index in indexes.as_array_mut().unwrap() {
        index["OnDemandThroughput"] = only_writes.clone();
    }
    assert_eq!(
        capped,
        expected(json!({
            "Table/GlobalSecondaryIndexes": indexes,
            "Table/OnDemandThroughput": only_writes,
            "ReadModels/OnDemandThroughput": only_writes,
        }))
    );
    let both = changed_by(&["MaxWriteUnits=400", "MaxReadUnits=900"]);
    let limits = json!({ "MaxReadRequestUnits": "900", "MaxWriteRequestUnits": "400" });
    assert_eq!(both["ReadModels/OnDemandThroughput"], limits);
}

#[test]
fn fifo_topics_scale_by_their_message_groups_when_told_so() {
    let scaled = changed_by(&["FifoThroughputScope=MessageGroup"]);
    let property = "FifoThroughputScope";
    assert_eq!(
        scaled,
        expected(json!({
            format!("ChangesetsTopic/{property}"): "MessageGroup",
            format!("EventsTopic/{property}"): "MessageGroup",
        }))
    );
}

#[test]
fn a_queue_of_high_throughput_limits_each_stream_by_itself() {
    let queue = |more: &[&str]| {
        let made = synthesize(OWN, &[&NEEDED[..], more].concat()).unwrap();
        let properties = &made["Resources"]["Queue"]["Properties"];
        (properties["DeduplicationScope"].clone(), properties["FifoThroughputLimit"].clone())
    };
    assert_eq!(queue(&[]), (Value::Null, Value::Null));
    assert_eq!(queue(&["HighThroughput=true"]), (json!("messageGroup"), json!("perMessageGroupId")));
}

#[test]
fn a_key_encrypts_all_that_keeps_events_and_each_function_may_use_it() {
    let mut changed = changed_by(&[&format!("KmsKey={KEY}")]);
    let rights = changed.remove("KeyRights").unwrap();
    assert_eq!(rights["Properties"]["Roles"], json!(ROLES));
    let statement = &rights["Properties"]["PolicyDocument"]["Statement"][0];
    assert_eq!(statement["Resource"], KEY);
    assert_eq!(statement["Condition"]["StringEquals"]["kms:ViaService"].as_array().unwrap().len(), 3);

    let mut keyed = BTreeMap::new();
    for table in ["Table", "ReadModels"] {
        keyed.insert(format!("{table}/SSESpecification/SSEType"), json!("KMS"));
        keyed.insert(format!("{table}/SSESpecification/KMSMasterKeyId"), json!(KEY));
    }
    for (resource, document) in PLAIN["Resources"].as_object().unwrap() {
        match document["Type"].as_str().unwrap() {
            "AWS::SNS::Topic" => {}
            // A queue has one kind of encryption or the other.
            "AWS::SQS::Queue" => {
                keyed.insert(format!("{resource}/SqsManagedSseEnabled"), Value::Null);
            }
            _ => continue,
        }
        keyed.insert(format!("{resource}/KmsMasterKeyId"), json!(KEY));
    }
    assert_eq!(changed, keyed);
}

#[test]
fn a_domain_has_the_api_at_its_root_and_a_record_where_a_zone_is_given() {
    let certificate = "CertificateArn=arn:aws:acm:us-east-1:000000000000:certificate/1";
    let with = |more: &[&str]| changed_by(&[&["DomainName=log.example.com", certificate], more].concat());
    let domain = with(&[]);
    assert_eq!(Vec::from_iter(domain.keys()), ["Domain", "DomainMapping"]);
    assert_eq!(domain["DomainMapping"]["Properties"]["BasePath"], Value::Null);
    let in_zone = with(&["HostedZoneId=Z1"]);
    assert_eq!(Vec::from_iter(in_zone.keys()), ["Domain", "DomainMapping", "DomainRecord"]);
    let told = made(&["DomainName=log.example.com", certificate]).unwrap();
    assert_eq!(told["Outputs"]["DomainEndpoint"], "https://log.example.com");
    let refused = made(&["DomainName=log.example.com"]).unwrap_err();
    assert!(refused.contains("CertificateArn must be"), "{refused}");
}

#[test]
fn an_existing_table_takes_the_place_of_the_stacks_own_everywhere() {
    let parameters = ["ExistingTable=log", &format!("ExistingTableStream={STREAM}")];
    let with = made(&parameters).unwrap();
    let resources = &with["Resources"];
    assert_eq!(resources["Table"], Value::Null);
    for (name, resource) in resources.as_object().unwrap() {
        let properties = &resource["Properties"];
        match resource["Type"].as_str().unwrap() {
            "AWS::Lambda::Function" => {
                assert_eq!(properties["Environment"]["Variables"]["EES_TABLE"], "log", "{name}");
            }
            "AWS::Lambda::EventSourceMapping" => assert_eq!(properties["EventSourceArn"], STREAM, "{name}"),
            _ => {}
        }
    }
    let table = "arn:aws:dynamodb:us-east-1:000000000000:table/log";
    for role in ROLES {
        let statements = &resources[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
        for statement in statements.as_array().unwrap() {
            let resource = statement["Resource"].as_str().unwrap_or_default();
            let actions = statement["Action"].to_string();
            if !actions.contains("dynamodb:") || resource.is_empty() {
                continue; // The read models.
            }
            let parts = ["", "/index/*", "/stream/*"].map(|part| format!("{table}{part}"));
            assert!(parts.contains(&resource.to_owned()), "{role} {actions} {resource}");
        }
    }
    assert_eq!(with["Outputs"]["Table"], "log");
    for half in parameters {
        let refused = made(&[half]).unwrap_err();
        assert!(refused.contains("must be the"), "{refused}");
    }
}

/// CloudFormation makes a new table when the local indexes of a table differ, and so a stack must not get another format
/// because a default has changed: there is none.
#[test]
fn the_format_of_a_table_is_always_given_and_changes_nothing_else() {
    let refused = synthesize(TEMPLATE, &[]).unwrap_err();
    assert!(refused.contains("TableFormat"), "{refused}");
    let attribute = |name: &str, kind: &str| json!({ "AttributeName": name, "AttributeType": kind });
    let index = |name: &str, sort: &str| {
        let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
        let keys = [key("stream_id", "HASH"), key(sort, "RANGE")];
        json!({ "IndexName": name, "Projection": { "ProjectionType": "KEYS_ONLY" }, "KeySchema": keys })
    };
    let mut attributes = json!([
        attribute("stream_id", "S"),
        attribute("changeset_id", "N"),
        attribute("idempotency_key", "B"),
        attribute("last_event_id", "N"),
        attribute("stripe", "N"),
        attribute("page_item", "N"),
        attribute("stream_type", "S"),
        attribute("updated_at", "S"),
    ]);
    let table = &PLAIN["Resources"]["Table"]["Properties"];
    assert_eq!(table["AttributeDefinitions"], attributes);
    let by_key = index("IdempotencyKey", "idempotency_key");
    assert_eq!(table["LocalSecondaryIndexes"], json!([by_key, index("LastEventId", "last_event_id")]));

    attributes[2] = attribute("first_event_id", "N");
    attributes[4] = attribute("page", "N");
    let mut globals = table["GlobalSecondaryIndexes"].clone();
    assert_eq!(globals[0]["KeySchema"][0]["AttributeName"], "stripe");
    globals[0]["KeySchema"][0]["AttributeName"] = json!("page");
    assert_eq!(
        changed_by(&["TableFormat=2"]),
        expected(json!({
            "Table/AttributeDefinitions": attributes,
            "Table/GlobalSecondaryIndexes": globals,
            "Table/LocalSecondaryIndexes":
                [index("FirstEventId", "first_event_id"), index("LastEventId", "last_event_id")],
        }))
    );
}

/// Each format of the template's table is one that the store knows.
#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_a_stack_has_the_format_that_was_chosen() {
    for (parameter, format) in [("TableFormat=2", TableFormat::V2), ("TableFormat=3", TableFormat::V3)] {
        let account = LocalAws::account().await;
        let stack = Stack::event_store_with(&account, vec![parameter.to_owned()]).await;
        assert_eq!(TableFormat::of(&account.sdk_config(), stack.output("Table")).await.unwrap(), format);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_goes_on_with_the_log_of_an_existing_table() {
    let account = LocalAws::account().await;
    let config = account.sdk_config();
    create_table(&config, "before", false).await.unwrap();
    let options = Options { indexing: Indexing::Elsewhere, ..Options::default() };
    let log = Store::open_with(&config, "before", options).await.unwrap();
    let id = "account-1".parse().unwrap();
    log.commit(Commit::new(id, Expectation::NewStream, Events::parse("[1]").unwrap())).await.unwrap();

    let described = Client::new(&config).describe_table().table_name("before").send().await.unwrap();
    let stream = described.table.unwrap().latest_stream_arn.unwrap();
    let parameters = vec!["ExistingTable=before".to_owned(), format!("ExistingTableStream={stream}")];
    let stack = Stack::event_store_with(&account, parameters).await;
    assert_eq!(stack.output("Table"), "before");
    let subscriber = Subscriber::of(&stack, "ChangesetsTopic", "existing").await;
    let post =
        reqwest::Client::new().post(format!("{}/streams/account-1?expected_last_changeset=1", stack.url()));
    let post = post.header("authorization", stack.authorization());
    let answer = post.body(r#"{"events": [2]}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);

    // What was there before the stack has its place before what came through it.
    let mut page = log.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    let deadline = Instant::now() + LONG;
    while page.changesets.len() < 2 {
        assert!(Instant::now() < deadline, "{} of 2", page.changesets.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
        page = log.read(LogQuery::from(Checkpoint::START, 10)).await.unwrap();
    }
    let ids: Vec<_> = page.changesets.iter().map(|it| it.changeset_id.get()).collect();
    assert_eq!(ids, [1, 2]);
    let told = subscriber.receive(1, LONG).await;
    assert!(told.by_stream.contains_key("account-1"));
}

/// The properties of the function of own-projection, and the statements of its role.
fn own(parameters: &[&str]) -> (Value, Vec<Value>) {
    let mut made = synthesize(OWN, &[&["ChangesetsTopic=arn", "Table=log"], parameters].concat()).unwrap();
    let role = &made["Resources"]["ProjectionRole"]["Properties"]["Policies"][0]["PolicyDocument"];
    let statements = role["Statement"].as_array().unwrap().clone();
    (made["Resources"]["Projection"]["Properties"].take(), statements)
}

#[test]
fn a_projection_of_ones_own_gets_into_a_vpc_with_the_rights_that_this_takes() {
    let url = "DatabaseUrl=postgres://host/db";
    let (plain, rights) = own(&[url]);
    assert_eq!(plain["VpcConfig"], Value::Null);
    let (inside, more) = own(&[url, "SubnetIds=subnet-1,subnet-2", "SecurityGroupIds=sg-1"]);
    let vpc = json!({ "SubnetIds": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"] });
    assert_eq!(inside["VpcConfig"], vpc);
    let added: Vec<_> = more.iter().filter(|right| !rights.contains(right)).collect();
    assert_eq!(added.len(), 1);
    assert!(added[0]["Action"].as_array().unwrap().contains(&json!("ec2:CreateNetworkInterface")));
}

#[test]
fn a_projection_of_ones_own_reads_the_one_secret_that_it_is_given() {
    let secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf";
    let (_, rights) = own(&["DatabaseUrl=postgres://host/db", &format!("DatabaseSecret={secret}")]);
    let right = json!({ "Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret });
    assert!(rights.contains(&right));
    let refused = synthesize(OWN, &["ChangesetsTopic=arn", "Table=log"]).unwrap_err();
    assert!(refused.contains("DatabaseUrl must say"), "{refused}");
}

#[test]
fn each_function_logs_json_and_access_is_logged_without_paths_when_asked() {
    for (template, parameters) in [(TEMPLATE, &["TableFormat=3"][..]), (OWN, &NEEDED[..])] {
        let made = synthesize(template, parameters).unwrap();
        for (name, resource) in made["Resources"].as_object().unwrap() {
            if resource["Type"] == "AWS::Lambda::Function" {
                assert_eq!(resource["Properties"]["LoggingConfig"]["LogFormat"], "JSON", "{name}");
            }
        }
    }
    let logged = changed_by(&["AccessLogs=true"]);
    assert_eq!(Vec::from_iter(logged.keys()), ["AccessLog", "ApiStage/AccessLogSetting"]);
    let format = logged["ApiStage/AccessLogSetting"]["Format"].as_str().unwrap();
    let line: BTreeMap<String, String> = serde_json::from_str(format).unwrap();
    assert!(!line.values().any(|value| value == "$context.path"), "{format}");
    assert_eq!(line["request_id"], "$context.requestId");
}

#[test]
fn the_dashboard_is_json_and_can_be_left_out() {
    let without = changed_by(&["Dashboard=false"]);
    assert_eq!(without, expected(json!({ "StackDashboard": null })));
    let body = PLAIN["Resources"]["StackDashboard"]["Properties"]["DashboardBody"].as_str().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert!(body["widgets"].as_array().unwrap().iter().all(|it| !it["properties"]["metrics"].is_null()));
}

#[test]
fn traces_are_recorded_unless_told_otherwise() {
    let silent = changed_by(&["Tracing=PassThrough"]);
    let mut expected = BTreeMap::from([("ApiStage/TracingEnabled".to_owned(), json!(false))]);
    for function in ["Api", "Indexer", "Publisher", "Projector"] {
        expected.insert(format!("{function}Function/TracingConfig/Mode"), json!("PassThrough"));
    }
    assert_eq!(silent, expected);
}

#[test]
fn the_alarm_of_slow_commits_has_the_limit_that_it_is_given() {
    let changed = changed_by(&["CommitLatencyAlarm=500"]);
    assert_eq!(changed, expected(json!({ "CommitsSlowAlarm/Threshold": "500" })));
}

#[test]
fn a_projection_of_ones_own_uses_the_key_for_its_queues_and_its_table() {
    let key = format!("KmsKey={KEY}");
    let parameters = ["ChangesetsTopic=arn", "Table=log", "Database=dynamodb", &key];
    let made = synthesize(OWN, &parameters).unwrap();
    let properties = |name: &str| &made["Resources"][name]["Properties"];
    for queue in ["Queue", "DeadLetters"] {
        assert_eq!(properties(queue)["KmsMasterKeyId"], KEY, "{queue}");
        assert_eq!(properties(queue)["SqsManagedSseEnabled"], Value::Null, "{queue}");
    }
    assert_eq!(properties("ReadModels")["SSESpecification"]["KMSMasterKeyId"], KEY);
    let (_, rights) = own(&parameters[2..]);
    let right = rights.iter().find(|right| right["Resource"] == KEY).unwrap();
    assert!(right["Action"].as_array().unwrap().contains(&json!("kms:Decrypt")));
}
