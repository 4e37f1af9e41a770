//! `GET /settings`.

use std::sync::Arc;

use ees_store::http::{ApiKeys, Setting, SettingSource};
use ees_store::memory;
use serde_json::json;

use super::support::{TestServer, on_every_store};

fn settings() -> Vec<Setting> {
    let setting = |name: &str, value: Option<&str>, source| Setting {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        source,
    };
    vec![
        setting("api-keys", Some("***"), SettingSource::Environment),
        setting("hosts", None, SettingSource::Default),
    ]
}

#[tokio::test]
async fn settings_and_the_scopes_of_keys_are_told_to_who_may_do_everything() {
    let keys = ApiKeys::parse("boss,read+commit:worker").unwrap();
    let build = |api: ees_store::http::Api| api.with_settings(settings()).with_keys(keys);
    let server = TestServer::with(Arc::new(memory::Store::new()), build).await;
    let told = json!([
        {"name": "api-keys", "value": "***", "source": "environment"},
        {"name": "hosts", "value": null, "source": "default"},
    ]);
    let answer = server.send("GET", "/settings", &[("Authorization", "Bearer boss")], b"").await;
    answer.is(200, &json!({"settings": told, "keys": [["read", "commit", "admin"], ["read", "commit"]]}));
    let answer = server.send("GET", "/settings", &[("Authorization", "Bearer worker")], b"").await;
    answer.refuses_like(403, "FORBIDDEN", "admin");
}

#[tokio::test]
async fn without_keys_there_are_no_scopes_and_without_settings_there_is_no_endpoint() {
    let server = TestServer::with(Arc::new(memory::Store::new()), |api| api.with_settings(Vec::new())).await;
    server.get("/settings").await.is(200, &json!({"settings": []}));
    on_every_store(async |server| assert_eq!(server.get("/settings").await.status, 404)).await;
}
