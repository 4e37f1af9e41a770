//! A DynamoDB table as a URL, and how the SDK reaches it.

use std::fmt;
use std::str::FromStr;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use url::Url;

/// A table, written `dynamodb://TABLE?region=REGION&endpoint=URL`. By default, region and endpoint come from
/// the environment, as in every AWS tool.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct DynamoDbTable {
    pub(crate) name: String,
    region: Option<String>,
    endpoint: Option<String>,
}

impl DynamoDbTable {
    pub(crate) fn new(name: String, region: Option<String>) -> Self {
        Self { name, region, endpoint: None }
    }

    /// Credentials, region and endpoint for an SDK client.
    pub(crate) async fn sdk_config(&self) -> SdkConfig {
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

impl FromStr for DynamoDbTable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let name = url.host_str().unwrap_or_default().to_owned();
        let is_name = |it: char| it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(is_name) || !matches!(url.path(), "" | "/") {
            return Err("expected the name of a table, as in dynamodb://log?region=eu-central-1".to_owned());
        }
        let (mut region, mut endpoint) = (None, None);
        for (parameter, value) in url.query_pairs() {
            match &*parameter {
                "region" => region = Some(value.into_owned()),
                "endpoint" => endpoint = Some(value.into_owned()),
                _ => {
                    return Err(format!(
                        "unknown parameter `{parameter}`; the parameters are region and endpoint"
                    ));
                }
            }
        }
        Ok(Self { name, region, endpoint })
    }
}

impl fmt::Display for DynamoDbTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dynamodb://{}", self.name)?;
        self.region.as_ref().map_or(Ok(()), |region| write!(f, "?region={region}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_table() {
        let table: DynamoDbTable = "dynamodb://My_log.2-a?region=eu-central-1".parse().unwrap();
        assert_eq!((table.name.as_str(), table.region.as_deref()), ("My_log.2-a", Some("eu-central-1")));
        assert_eq!(table.to_string(), "dynamodb://My_log.2-a?region=eu-central-1");
        for (bad, expected) in [
            ("dynamodb:log", "table"),
            ("dynamodb://", "table"),
            ("dynamodb://a/b", "table"),
            ("dynamodb://a?b=c", "`b`"),
        ] {
            let error = bad.parse::<DynamoDbTable>().unwrap_err();
            assert!(error.contains(expected), "{bad}: {error}");
        }
    }
}
