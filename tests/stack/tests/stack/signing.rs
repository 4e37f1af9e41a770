//! Calls that the client signs. The emulator verifies them with its own code.

use std::io::{BufRead as _, BufReader};
use std::pin::pin;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use aws_smithy_async::time::StaticTimeSource;
use aws_types::SdkConfig;
use ees_store::client::Client;
use ees_store::{
    ChangesetLog, Checkpoint, Commit, Error, EventStore, Events, Expectation, LogQuery, StreamQuery, pages,
};
use ees_test_aws::{LocalAws, Stack};
use ees_tests::{Killed, ees, run};
use futures::StreamExt;

use crate::support::CALLER;

fn signing(stack: &Stack, config: &SdkConfig) -> Client {
    Client::builder(&stack.url()).with_sigv4(config).retries(0).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_call_gets_through_whatever_is_in_it() {
    let account = LocalAws::guarded_account().await;
    let stack = Stack::event_store(&account).await;
    let ada = account.user(CALLER).await;
    let store = signing(&stack, &ada.sdk_config());

    let opened = Events::parse(r#"[{"type": "opened", "by": "Ada Ö."}]"#).unwrap();
    let commit = Commit::new("ö b+c:~*'".parse().unwrap(), Expectation::NewStream, opened)
        .with_stream_type("an account".parse().unwrap())
        .with_idempotency_key("a-key".parse().unwrap());
    let committed = store.commit(commit.clone()).await.unwrap();
    assert_eq!(store.commit(commit.clone()).await.unwrap().changeset_id, committed.changeset_id);
    let query = StreamQuery::changesets(commit.stream_id.clone(), 1.into(), Some(1.into()));
    let page = store.read_stream(query).await.unwrap();
    assert_eq!(page.changesets[0].events.as_json(), commit.events.as_json());

    // Routes that wait on the server.
    let mut followed = pin!(pages::follow(&store, LogQuery::from(Checkpoint::START, 10)));
    assert_eq!(followed.next().await.unwrap().unwrap().changesets[0].stream_id, commit.stream_id);
    assert_eq!(store.head().await.unwrap().checkpoint.get(), 1);
    store.statistics().await.unwrap();

    // The `ees` command.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.jsonl");
    std::fs::write(&file, "{\"stream_id\":\"b\",\"events\":[1]}\n{\"stream_id\":\"b\",\"events\":[2]}\n")
        .unwrap();
    let url = stack.url();
    let command = |arguments: &[&str]| {
        let mut command = ees(arguments);
        command.env("EES_URL", &url).env("EES_SIGV4", "true").envs(ada.environment());
        command
    };
    let imported = run(&mut command(&["import", file.to_str().unwrap(), "--json"])).json();
    assert_eq!(imported[0]["imported"], 2);
    assert_eq!(run(&mut command(&["read", "b", "--json"])).json().len(), 2);
    let mallory = ada.clone().with_wrong_secret();
    let refused = run(command(&["read", "b"]).envs(mallory.environment())).failed(7);
    assert!(refused.contains("secret key"), "{refused}");

    // The console, which asks for its page what the command may ask.
    let console = |environment| async {
        let mut command = command(&["console", "--json"]);
        command.envs::<Vec<_>, _, _>(environment).stdout(Stdio::piped());
        let mut process = Killed(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let (root, key) = told["console"].as_str().unwrap().split_once("/console/#key=").unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let read = format!("{root}/streams/%C3%B6%20b%2Bc%3A~%2A%27/changesets");
        let answer = http.get(read).bearer_auth(key).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, read) = console(ada.environment()).await;
    assert!(status == 200 && read.contains("Ada Ö."), "{status} {read}");
    let (status, refused) = console(mallory.environment()).await;
    assert!(status == 502 && refused.contains("the secret key is not"), "{status} {refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_refused_says_what_to_do() {
    let account = LocalAws::guarded_account().await;
    let stack = Stack::event_store(&account).await;
    let ada = account.user(CALLER).await;
    let at = |time| ada.sdk_config().into_builder().time_source(StaticTimeSource::new(time)).build();
    let (now, hour) = (SystemTime::now(), Duration::from_secs(3_600));
    let without_rights = stack.role("ApiRole").await;
    for (what, config, told) in [
        ("a wrong secret", ada.clone().with_wrong_secret().sdk_config(), "the secret key is not"),
        ("a clock that is slow", at(now - hour), "the clock of this machine is wrong"),
        ("a clock that is fast", at(now + hour), "the clock of this machine is wrong"),
        ("temporary credentials without the right", without_rights.sdk_config(), "`execute-api:Invoke`"),
    ] {
        match signing(&stack, &config).head().await {
            Err(Error::Forbidden(why)) => assert!(why.contains(told), "{what}: {why}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}
