//! A function on a schedule applies what no message told of.

use serde_json::json;

use crate::support::{Bank, LONG, ReadModel, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_function_applies_all_there_is() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let function = read_model.function(&bank);
        for stream in ["a", "b"] {
            bank.append(stream, "[1]").await;
            let scheduled = function.on_schedule(within(LONG)).await.unwrap();
            assert_eq!((scheduled.name.as_str(), scheduled.drained.as_str()), ("journal", "CaughtUp"));
        }
        assert_eq!(read_model.rows().await, ["a#1", "b#1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_projection_makes_the_function_fail_so_that_somebody_notices() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        bank.append("a", r#"["bad"]"#).await;
        let error = read_model.function(&bank).on_schedule(within(LONG)).await.unwrap_err();
        assert!(error.to_string().contains("\"journal\" is paused"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_a_queue_may_be_called_by_a_schedule_too() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let function = read_model.function(&bank);
        bank.append("a", "[1]").await;
        let call = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}});
        let answer = function.on_messages_or_schedule(call, within(LONG)).await.unwrap();
        assert_eq!(answer, json!({"name": "journal", "drained": "CaughtUp", "error": null}));
        assert_eq!(read_model.rows().await, ["a#1"]);
        let none = function.on_messages_or_schedule(json!({"Records": []}), within(LONG)).await.unwrap();
        assert_eq!(none, json!({"batchItemFailures": []}));
    }
}
