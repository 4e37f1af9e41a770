//! What a SAM template makes, without making it.

use std::process::Command;

use ees_test_shared::workspace;
use serde_json::Value;

use crate::venv;

/// The resources and outputs that a template has under these parameters (`NAME=VALUE`): conditions are decided,
/// and names that only a deployment gives are empty.
///
/// # Errors
/// What a deployment would refuse: a rule of the template that the parameters break, a value that a parameter
/// does not allow.
///
/// # Panics
/// When python does not run.
pub fn synthesize(template: &str, parameters: &[&str]) -> Result<Value, String> {
    let mut python = Command::new(venv::python());
    python.args(["-c", include_str!("synthesize.py")]).arg(workspace().join(template)).args(parameters);
    let output = python.output().expect("python runs");
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).expect("JSON"));
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(told.lines().last().unwrap_or_default().to_owned())
}
