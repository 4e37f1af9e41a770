//! What a server was started with, for those who operate it.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::keys::{ApiKeys, Scopes};

/// Where the value of a [`Setting`] came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SettingSource)]
pub enum SettingSource {
    /// An option on the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File,
    /// Nobody set it.
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A setting of a server. Never with a secret: [`Setting::value`] is what may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Setting {
    /// Its name, as in the configuration file.
    pub name: String,
    /// Its value, with secrets masked; `null` if it has none.
    #[schema(required)]
    pub value: Option<String>,
    /// Where it came from.
    pub source: SettingSource,
}

/// What a server was started with.
pub(super) struct Started {
    pub(super) settings: Vec<Setting>,
    pub(super) keys: Option<ApiKeys>,
}

impl Started {
    /// What of it may be shown.
    pub(super) fn shown(&self) -> ServerSettings {
        let scopes = |keys: &ApiKeys| keys.scopes().into_iter().map(Scopes::names).collect();
        ServerSettings { settings: self.settings.clone(), keys: self.keys.as_ref().map(scopes) }
    }
}

/// What `GET /settings` tells.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
#[schema(example = json!({"settings": [{"name": "listen", "value": "127.0.0.1:7070", "source": "default"}],
    "keys": [["read", "commit"]]}))]
pub(super) struct ServerSettings {
    /// The settings, by name.
    settings: Vec<Setting>,
    /// The scopes of each API key, in the order of the keys; absent on a server without keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    keys: Option<Vec<Vec<&'static str>>>,
}
