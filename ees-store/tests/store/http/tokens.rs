//! Every token comes back as it was sent.

use super::support::on_every_store;

const TOKENS: &str = r#"{"b":1,"a":1.0,"a":1e400,"":-0.0,"n":123456789012345678901234567890,"s":"\u0000\ud800\" \\ \/é🦀","x":[true,null,[],{}]}"#;

#[tokio::test]
async fn every_token_comes_back_as_it_was_sent() {
    on_every_store(async |server| {
        let body = format!("{{\"metadata\": {TOKENS}, \"events\": [{TOKENS}, \"\\ud800\", 1.0]}}");
        assert_eq!(server.post("/streams/s", &body).await.status, 200);
        let changeset = format!("\"changeset_id\":1,\"events\":[{TOKENS},\"\\ud800\",1.0],\"metadata\":{TOKENS}");
        for (target, answer) in [
            ("/streams/s/changesets", format!("{{\"stream_id\":\"s\",\"changesets\":[{{{changeset}}}]}}")),
            (
                "/changesets",
                format!(
                    "{{\"checkpoint\":0,\"limit\":10,\"changesets\":[{{\"stream_id\":\"s\",{changeset},\"checkpoint\":0}}],\
                     \"next_checkpoint\":1}}"
                ),
            ),
            (
                "/streams/s/events",
                format!(
                    "{{\"stream_id\":\"s\",\"events\":[{{\"id\":1,\"data\":{TOKENS}}},{{\"id\":2,\"data\":\"\\ud800\"}},\
                     {{\"id\":3,\"data\":1.0}}]}}"
                ),
            ),
        ] {
            assert_eq!(server.get(target).await.text(), answer);
        }
        let conflict = server.post("/streams/s", "{\"events\":[1]}").await;
        assert!(conflict.text().contains(&changeset), "{}", conflict.text());
    })
    .await;
}

#[tokio::test]
async fn white_space_between_tokens_goes_and_pretty_printing_reads_no_values() {
    on_every_store(async |server| {
        let body = "{ \"events\" : [ { \"a\" :\t[ 1.0 ,\r\n 1e400 ] } ] }";
        assert_eq!(server.post("/streams/s", body).await.status, 200);
        let pretty = server.get("/streams/s/events?pp=true").await;
        let want = "{\n    \"stream_id\": \"s\",\n    \"events\": [\n        {\n            \"id\": 1,\n            \
                    \"data\": {\n                \"a\": [\n                    1.0,\n                    1e400\n                \
                    ]\n            }\n        }\n    ]\n}";
        assert_eq!(pretty.text(), want);
        let compact = "{\"stream_id\":\"s\",\"events\":[{\"id\":1,\"data\":{\"a\":[1.0,1e400]}}]}";
        for other in ["", "?pp=", "?pp=1", "?pp=TRUE", "?pp=true&pp=false"] {
            assert_eq!(server.get(&format!("/streams/s/events{other}")).await.text(), compact);
        }
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_answer_can_be_pretty_printed() {
    on_every_store(async |server| {
        for (target, start) in [
            ("/streams?pp=true", "{\n    \"error\": \"STATISTICS_NOT_FOUND\","),
            ("/version?pp=true", "{\n    \"version\": "),
            ("/nowhere?pp=true", "{\n    \"message\": \"Invalid endpoint\"\n}"),
            ("/streams/s/events?pp=true", "{\n    \"error\": \"STREAM_NOT_FOUND\","),
            ("/openapi.json?pp=true", "{\n    \"openapi\": "),
        ] {
            assert!(server.get(target).await.text().starts_with(start), "{target}");
        }
        let committed = server.post("/streams/s?pp=true", "{\"events\":[1]}").await;
        assert_eq!(committed.text(), "{\n    \"stream_id\": \"s\",\n    \"changeset_id\": 1\n}");
        assert_eq!(committed.header("content-length"), Some(&*committed.body.len().to_string()));
    })
    .await;
}

#[tokio::test]
async fn an_event_may_nest_128_levels_deep_and_no_deeper() {
    on_every_store(async |server| {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let object = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let deep = format!("{{\"events\":[{}],\"metadata\":{}}}", nested(128), object(128));
        assert_eq!(server.post("/streams/s", &deep).await.status, 200);
        assert!(server.get("/streams/s/events").await.text().contains(&nested(128)));
        for body in [
            format!("{{\"events\":[{}]}}", nested(129)),
            format!("{{\"events\":[1],\"metadata\":{}}}", object(129)),
            format!("{{\"events\":[{}]}}", nested(100_000)),
        ] {
            server.post("/streams/t", &body).await.refuses_like(400, "INVALID_BODY", "deep");
        }
    })
    .await;
}
