//! Metrics that a function writes into its log, from where CloudWatch takes them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// Returns a count as a line of a function's log that CloudWatch turns into a metric of the namespace `ees`: its
/// [embedded metric format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
/// Print it as one line.
///
/// ```
/// # use ees_projector::lambda::metric;
/// println!("{}", metric("OrdersWaiting", &[("Function", "orders")], 7));
/// ```
pub fn metric(name: &str, dimensions: &[(&str, &str)], value: u64) -> Value {
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
        let mut line = metric("ProjectionLag", &[("Stack", "s"), ("Projection", "p")], 7);
        assert!(line["_aws"]["Timestamp"].take().as_u64() > Some(1_600_000_000_000));
        let told = json!({
            "Namespace": "ees", "Dimensions": [["Stack", "Projection"]],
            "Metrics": [{ "Name": "ProjectionLag", "Unit": "Count" }],
        });
        let told = json!({ "Timestamp": null, "CloudWatchMetrics": [told] });
        assert_eq!(line, json!({ "_aws": told, "Stack": "s", "Projection": "p", "ProjectionLag": 7 }));
    }
}
