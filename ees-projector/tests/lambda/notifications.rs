//! Notifications as a function gets them from its queue.

use ees_projector::lambda::{acknowledge_all_but, notifications};

use crate::support::{failures, messages};

#[test]
fn notifications_are_converted_and_those_that_failed_come_again() {
    let id = "9f86d081-884c-4d65-9a2f-eaa0c55ad015";
    let body = |revision: u64| {
        format!(r#"{{"StreamId":"{id}","StreamType":"account","StreamRevision":"{revision}"}}"#)
    };
    let envelope = serde_json::json!({"Type": "Notification", "Message": body(18)}).to_string();
    let all = notifications(&messages(&[("a", body(17)), ("a", envelope), ("a", "hello".to_owned())]));
    let revisions: Vec<_> =
        all.iter().map(|it| it.message.as_ref().ok().map(|it| it.revision.get())).collect();
    assert_eq!(revisions, [Some(17), Some(18), None]);
    let first = all[0].message.as_ref().unwrap();
    assert_eq!((first.stream_id.to_string().as_str(), first.stream_type.as_str()), (id, "account"));
    let answer = acknowledge_all_but(all.iter().filter(|it| it.message.is_err()));
    assert_eq!(failures(&answer), ["2"]);
}
