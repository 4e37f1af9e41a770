//! Events as readers see them.

use std::sync::LazyLock;

use super::reference_json::{self, Value, text};
use crate::Json;
use crate::event::{Upcasters, read_event};

#[derive(serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Account {
    Opened {
        #[serde(rename = "by")]
        _by: Option<String>,
    },
    Closed,
}

static UPCASTERS: LazyLock<Upcasters> = LazyLock::new(|| {
    let steps = Upcasters::new().step(("opened", 1), ("opened", 2), |_| Ok(()));
    steps.and_then(|steps| steps.step(("began", 1), ("opened", 2), |_| Ok(()))).unwrap_or_default()
});

/// Whose an event is follows from its type; upcasting changes type and version, and nothing else.
pub fn event(data: &[u8]) {
    let Some(json) = str::from_utf8(data).ok().and_then(|text| Json::parse(text).ok()) else { return };
    let Ok((event, _)) = reference_json::read(json.as_str()) else { return };
    let named = event.member("type").and_then(Value::as_text);
    let is_known = matches!(named.as_deref(), Some("opened" | "closed"));
    match read_event::<Account>(json.as_str()) {
        Ok(Some(Account::Opened { .. })) => assert_eq!(named.as_deref(), Some("opened")),
        Ok(Some(Account::Closed)) => assert_eq!(named.as_deref(), Some("closed")),
        Ok(None) => assert!(!is_known, "it is of a known type, and was passed over"),
        Err(_) => assert!(is_known, "it is of a foreign type, and was not passed over"),
    }
    let is_old = matches!(named.as_deref(), Some("opened" | "began"));
    let Ok(now) = UPCASTERS.upcast(json.as_str()) else {
        assert!(is_old);
        return;
    };
    let Ok((upcast, _)) = reference_json::read(&now) else { panic!("it is no JSON any more: {now}") };
    if is_old {
        assert_eq!(upcast.member("type").and_then(Value::as_text).as_deref(), Some("opened"));
        assert_eq!(upcast.member("version"), Some(&Value::Number("2".to_owned())));
        let Value::Object(members) = &event else { panic!("it has a type, and is no object") };
        for (name, _) in members.iter().filter(|(name, _)| ![text("type"), text("version")].contains(name)) {
            let name = String::from_utf16_lossy(name);
            assert_eq!(upcast.member(&name), event.member(&name), "{name}");
        }
    } else {
        assert_eq!(now, json.as_str());
    }
    let stamped = UPCASTERS.stamped(&now);
    assert_eq!(UPCASTERS.upcast(&stamped).ok().as_deref(), Some(&*stamped));
}
