//! Where a table is, and how it is reached.

use std::fmt;
use std::str::FromStr;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use url::Url;

/// A table as `dynamodb://TABLE?region=REGION&endpoint=URL` names it; what is left out comes from the environment, as for
/// every program of AWS.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Address {
    pub(crate) table: String,
    region: Option<String>,
    endpoint: Option<String>,
}

impl Address {
    pub(crate) fn new(table: String, region: Option<String>) -> Self {
        Self { table, region, endpoint: None }
    }

    /// The configuration of the SDK: credentials, region and endpoint.
    pub(crate) async fn config(&self) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest());
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        loader.load().await
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let table = url.host_str().unwrap_or_default().to_owned();
        let is_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
        if table.is_empty() || !table.chars().all(is_name) || !matches!(url.path(), "" | "/") {
            return Err("after `dynamodb://` the name of a table is expected, such as dynamodb://log?region=eu-central-1".to_owned());
        }
        let (mut region, mut endpoint) = (None, None);
        for (name, value) in url.query_pairs() {
            match &*name {
                "region" => region = Some(value.into_owned()),
                "endpoint" => endpoint = Some(value.into_owned()),
                _ => return Err(format!("`{name}` is none of its parameters: region, endpoint")),
            }
        }
        Ok(Self { table, region, endpoint })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb://{}", self.table)?;
        self.region.as_ref().map_or(Ok(()), |region| write!(f, "?region={region}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_by_a_url() {
        let address: Address = "dynamodb://My_log.2-a?region=eu-central-1".parse().unwrap();
        assert_eq!((address.table.as_str(), address.region.as_deref()), ("My_log.2-a", Some("eu-central-1")));
        assert_eq!(address.to_string(), "dynamodb://My_log.2-a?region=eu-central-1");
        for (bad, told) in [
            ("dynamodb:log", "table"),
            ("dynamodb://", "table"),
            ("dynamodb://a/b", "table"),
            ("dynamodb://a?b=c", "`b`"),
        ] {
            let error = bad.parse::<Address>().unwrap_err();
            assert!(error.contains(told), "{bad}: {error}");
        }
    }
}
