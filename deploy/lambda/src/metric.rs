//! Metrics that a function writes into its log, from where CloudWatch takes them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// A count in CloudWatch's embedded metric format, in the namespace `ees`. Print it as one line.
pub(crate) fn count(name: &str, dimensions: &[(&str, &str)], value: u64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let names: Vec<_> = dimensions.iter().map(|(name, _)| *name).collect();
    let metrics = json!([{ "Name": name, "Unit": "Count" }]);
    let told = json!({ "Namespace": "ees", "Dimensions": [names], "Metrics": metrics });
    let mut line =
        json!({ "_aws": { "Timestamp": now.as_millis() as u64, "CloudWatchMetrics": [told] }, name: value });
    for (name, value) in dimensions {
        line[*name] = Value::from(*value);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_names_what_it_is_about() {
        let mut line = count("ProjectionLag", &[("Stack", "s"), ("Projection", "p")], 7);
        assert!(line["_aws"]["Timestamp"].take().as_u64() > Some(1_600_000_000_000));
        let told = json!({
            "Namespace": "ees", "Dimensions": [["Stack", "Projection"]],
            "Metrics": [{ "Name": "ProjectionLag", "Unit": "Count" }],
        });
        let told = json!({ "Timestamp": null, "CloudWatchMetrics": [told] });
        assert_eq!(line, json!({ "_aws": told, "Stack": "s", "Projection": "p", "ProjectionLag": 7 }));
    }
}
