//! The pages for operators: each alarm has its section, and the commands are those of a shell.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use ees_test_aws::synthesize;

const TEMPLATES: [(&str, &[&str]); 3] = [
    ("deploy/template.yaml", &["TableFormat=3"]),
    (
        "deploy/own-projection/template.yaml",
        &["ChangesetsTopic=arn", "Table=log", "DatabaseUrl=postgres://host/db", "OnFailure=park"],
    ),
    (
        "examples/shop/template.yaml",
        &["ChangesetsTopic=arn", "Table=log", "Webhook=https://host", "WebhookSecret=secret"],
    ),
];

fn page(name: &str) -> String {
    fs::read_to_string(format!("{}/../../docs/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

#[test]
fn each_alarm_of_the_templates_has_its_section_and_each_section_its_alarm() {
    let mut alarms = BTreeSet::new();
    for (template, parameters) in TEMPLATES {
        let made = synthesize(template, parameters).unwrap();
        for (name, resource) in made["Resources"].as_object().unwrap() {
            if resource["Type"] == "AWS::CloudWatch::Alarm" {
                alarms.insert(format!("{template} {name}"));
            }
        }
    }
    let (mut sections, mut template) = (BTreeSet::new(), "");
    let page = page("aws-alarms.md");
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            template = title;
        } else if let Some(alarm) = line.strip_prefix("### ") {
            sections.insert(format!("{template} {alarm}"));
        }
    }
    assert_eq!(sections, alarms);
}

#[test]
fn the_commands_for_operators_can_be_pasted() {
    let pages = ["aws-alarms.md", "aws-restore.md", "aws-first-day.md", "aws.md"].map(page);
    let blocks = pages.iter().flat_map(|page| page.split("```sh\n").skip(1));
    let blocks: Vec<_> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() > 20);
    for block in &blocks {
        let read = Command::new("bash").args(["-n", "-c", block]).output().unwrap();
        assert!(read.status.success(), "{block}\n{}", String::from_utf8_lossy(&read.stderr));
    }
    // What they ask the stacks for is there.
    let outputs =
        TEMPLATES.map(|(template, parameters)| synthesize(template, parameters).unwrap()["Outputs"].clone());
    for rest in blocks.iter().flat_map(|block| block.split("$(output ").skip(1)) {
        let (output, stack) = match rest.split(')').next().unwrap().split_once(' ') {
            Some((output, "\"$own\"")) => (output, &outputs[1]),
            Some((_, other)) => panic!("which stack is {other}?"),
            None => (rest.split(')').next().unwrap(), &outputs[0]),
        };
        assert!(stack[output].is_string(), "{output}");
    }
}
