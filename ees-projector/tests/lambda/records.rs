//! A function for the stream of a table: changesets are told from all else.

use aws_lambda_events::streams::DynamoDbEventResponse;
use serde_json::json;

use crate::support::{Bank, LONG, ReadModel, SHORT, item_of, records, within};

fn failures(response: &DynamoDbEventResponse) -> Vec<&str> {
    response.batch_item_failures.iter().filter_map(|it| it.item_identifier.as_deref()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_changesets_wake_the_projection_and_others_do_not_matter() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let (a, b) = (bank.append("a", "[1]").await, bank.append("b", "[1]").await);
        let number = |number: u64| json!({"N": number.to_string()});
        let counter = json!({"stream_id": {"S": "!!!RESERVED:GLOBAL-COUNTER!!!"}, "changeset_id": number(0)});
        let head =
            json!({"stream_id": {"S": "a"}, "changeset_id": number(0), "stream_type": {"S": "account"}});
        let mut indexed = item_of(&a);
        (indexed["page"], indexed["page_item"]) = (number(0), number(0));
        let event = records(&[counter, head, item_of(&a), indexed, item_of(&b)]);
        let response = read_model.function(&bank).on_records(&event, within(LONG)).await;
        assert_eq!(failures(&response), [""; 0]);
        assert_eq!(read_model.rows().await, ["a#1", "b#1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_record_on_that_is_not_applied_all_come_again() {
    for read_model in ReadModel::each().await {
        let bank = Bank::new();
        let (a, b) = (bank.append("a", "[1]").await, bank.append("b", "[1]").await);
        bank.end.send_replace(1);
        let event = records(&[item_of(&a), item_of(&b), item_of(&a)]);
        let response = read_model.function(&bank).on_records(&event, within(SHORT)).await;
        assert_eq!(failures(&response), ["1"]);
        assert_eq!(read_model.rows().await, ["a#1"]);
    }
}
