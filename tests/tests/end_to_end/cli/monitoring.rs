//! The alert rules and the dashboard: that the server has what they ask for, and that each alert is explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::World;

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Annotations {
    summary: String,
    runbook: String,
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

fn rules() -> Vec<Rule> {
    let file: RuleFile = serde_saphyr::from_str(&read("deploy/prometheus/ees.rules.yaml")).unwrap();
    file.groups.into_iter().flat_map(|group| group.rules).collect()
}

/// The names of the series that a page of metrics offers, also those of which there is none yet.
fn offered(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types
        .flat_map(|(name, kind)| {
            let suffixes: &[&str] = match kind {
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
        })
        .collect()
}

/// The names of our metrics in an expression.
fn asked_for(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("ees_")).map(ToOwned::to_owned).collect()
}

/// All texts under `expr`, and the query of each variable.
fn expressions(dashboard: &Value, found: &mut Vec<String>) {
    match dashboard {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "expr" || name == "query" => found.push(text.to_owned()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| expressions(element, found)),
        _ => {}
    }
}

#[test]
fn every_metric_of_the_alerts_and_of_the_dashboard_exists() {
    let world = World::new();
    world.run(&["commit", "a", "--event", "1"]).ok();
    let page = world.get_text("/metrics");
    let offered = offered(&page);

    let mut asked: Vec<String> = rules().into_iter().map(|rule| rule.expr).collect();
    let alerts = asked.len();
    expressions(&serde_json::from_str(&read("deploy/grafana/ees.json")).unwrap(), &mut asked);
    assert!(alerts >= 10 && asked.len() >= alerts + 20, "both were read: {asked:?}");
    let asked: BTreeSet<_> = asked.iter().flat_map(|expression| asked_for(expression)).collect();
    let missing: Vec<_> = asked.difference(&offered).collect();
    assert!(missing.is_empty(), "not in /metrics: {missing:?}\n{page}");

    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        line.parse().unwrap()
    };
    let log = fs::metadata(world.data().join("log.db")).unwrap().len() as f64;
    let wal = fs::metadata(world.data().join("log.db-wal")).unwrap().len() as f64;
    assert_eq!((value("ees_log_bytes"), value("ees_log_wal_bytes")), (log, wal));
    assert!(value("ees_data_free_bytes") > 1e6);
}

#[test]
fn every_alert_says_what_to_do() {
    let guide = read("docs/operating.md");
    let sections: BTreeSet<_> = guide.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = rules();
    for rule in &alerts {
        let anchor = rule.annotations.runbook.strip_prefix("docs/operating.md#").unwrap();
        assert!(sections.contains(rule.alert.as_str()), "docs/operating.md has no section {}", rule.alert);
        assert_eq!(anchor, rule.alert.to_lowercase());
        assert!(!rule.annotations.summary.is_empty());
    }
    let named: BTreeSet<_> = alerts.iter().map(|rule| rule.alert.as_str()).collect();
    let explained: BTreeSet<_> = sections.into_iter().filter(|name| name.starts_with("Ees")).collect();
    assert_eq!(named, explained);
}

/// The value of an alert is that of the left side of `and`, and of any side of `or`.
#[test]
fn an_alert_that_prints_its_value_has_the_one_that_it_speaks_of() {
    let speaking: Vec<_> =
        rules().into_iter().filter(|rule| rule.annotations.summary.contains("$value")).collect();
    assert!(speaking.len() >= 5);
    for rule in speaking {
        let sides = rule.expr.split(" or ").flat_map(|side| side.split("\nor ")).map(|side| {
            let left = side.split(" and ").next().unwrap().split("\nand ").next().unwrap();
            left.trim().trim_start_matches('(').to_owned()
        });
        let (metrics, sides): (BTreeSet<_>, Vec<_>) = sides.map(|side| (asked_for(&side), side)).unzip();
        assert_eq!(metrics.len(), 1, "{}: one metric, whichever side is true: {sides:?}", rule.alert);
        for side in sides {
            assert!(!side.contains("=="), "{} always prints the same number: {side}", rule.alert);
            assert!(!side.contains("predict_linear"), "{} prints what is to come: {side}", rule.alert);
        }
    }
}
