//! Projections and reactors as text.

use ees_projector::{
    AuditEntry, EffectCounts, EventCounts, Kind, ParkedStream, PartitionStatus, Rebuild, StandbyRole,
    StandbyStatus, State, Status,
};

use crate::plural::counted;
use crate::table::{fields, table};

pub(crate) fn projections_text(projections: &[Status]) -> String {
    let rows = projections.iter().map(|status| {
        [
            status.name.clone(),
            version(status),
            state(status),
            status.checkpoint.to_string(),
            status.lag_changesets.to_string(),
            format!("{:.1} s", status.lag_seconds),
            format!("{:.0}/s", status.rate),
            status.parked_streams.to_string(),
            error(status).unwrap_or_default(),
        ]
    });
    let head = ["NAME", "VERSION", "STATE", "NEXT", "LAG", "LAG TIME", "RATE", "PARKED", "ERROR"];
    table(head, rows)
}

/// A reactor has no version: it is never rebuilt.
fn version(status: &Status) -> String {
    match status.kind {
        Kind::Projection => status.version.to_string(),
        Kind::Reactor => "reactor".to_owned(),
    }
}

pub(crate) fn status_text(status: &Status) -> String {
    let mut rows = Vec::new();
    let mut add = |name, value| rows.push((name, value));
    match status.kind {
        Kind::Projection => add("projection", format!("{} (version {})", status.name, status.version)),
        Kind::Reactor => add("reactor", status.name.clone()),
    }
    add("state", state(status));
    add("checkpoint", position(status));
    add("lag", format!("{}, {:.1} s", counted(status.lag_changesets, "changeset"), status.lag_seconds));
    add("rate", format!("{:.0} changesets/s", status.rate));
    if let Some(fingerprint) = status.fingerprint {
        add("fingerprint", format!("{}:{fingerprint}", status.checkpoint));
    }
    if let Some(owner) = &status.owner {
        add("worker", owner.clone());
    }
    for it in &status.partitions {
        add("partition", partition_text(it));
    }
    if let Some(standby) = &status.standby {
        add("standby", standby_text(standby));
    }
    if status.parked_streams > 0 {
        let given_up = match status.given_up_streams {
            0 => String::new(),
            count => format!(", {count} given up"),
        };
        add("parked", format!("{}{given_up}", counted(status.parked_streams, "stream")));
    }
    if let Some(EffectCounts { done, failed, .. }) = status.effects {
        add(
            "effects",
            format!("{done} done, {} since the worker started", counted(failed, "failed attempt")),
        );
    }
    if status.events != EventCounts::default() {
        add("events", events_text(status.events));
    }
    if !status.skipped.is_empty() {
        add("skipped", skipped_text(&status.skipped));
    }
    if let Some(error) = &status.last_error {
        let mut text = format!("{} (attempt {}, {})", error.message, error.attempts, error.at);
        if let (Some(checkpoint), Some(stream), Some(changeset)) =
            (error.checkpoint, &error.stream_id, error.changeset_id)
        {
            text += &format!("\nat checkpoint {checkpoint}: changeset {changeset} of stream {stream}");
        }
        add("error", text);
    }
    if let Some(pause) = &status.pause {
        let mut text = format!("since {}: {}", pause.since, pause.reason);
        if let Some(failed) = &pause.failure {
            text += &format!(
                "\nat checkpoint {}: changeset {} of stream {}, {}",
                failed.checkpoint,
                failed.changeset_id,
                failed.stream_id,
                counted(failed.attempts, "attempt")
            );
        }
        add("paused", text);
    }
    if let Some(stalled) = &status.stalled {
        add("stalled", stalled.clone());
    }
    fields(&rows)
}

fn partition_text(it: &PartitionStatus) -> String {
    let owner = it.owner.as_deref().unwrap_or("no worker");
    let paused = if it.pause.is_some() { ", paused" } else { "" };
    format!("{}: checkpoint {} is next, {owner}{paused}", it.partition, it.checkpoint)
}

fn standby_text(standby: &StandbyStatus) -> String {
    let StandbyStatus { version, plan, checkpoint, rate, .. } = standby;
    let role = match plan.role {
        _ if standby.state == State::Stopped => "has stopped; `discard` drops it",
        StandbyRole::Building if plan.swap => "is being built and becomes live when it has caught up",
        StandbyRole::Building => "is being built; `swap` makes it live",
        StandbyRole::Following => "was live before and stays up to date; `rollback` makes it live again",
    };
    let state = state_of(standby.state, standby.rebuild.as_ref());
    let mut text =
        format!("version {version} {role}\n{state}, checkpoint {checkpoint} is next, {rate:.0} changesets/s");
    for it in &standby.partitions {
        text += &format!("\npartition {}", partition_text(it));
    }
    if let Some(note) = &plan.note {
        text += &format!("\nnot swapped: {note}");
    }
    if !plan.left_behind.is_empty() {
        text += &format!("\nstays behind at the swap: {}", plan.left_behind.join(", "));
    }
    if let Some(error) = &standby.last_error {
        text += &format!("\n{}", error.message);
    }
    text
}

fn events_text(EventCounts { recognized, passed_over, unreadable }: EventCounts) -> String {
    let unreadable = if unreadable > 0 { format!(", {unreadable} unreadable") } else { String::new() };
    format!("{recognized} recognized, {passed_over} passed over{unreadable} since the process started")
}

fn skipped_text(skipped: &[u64]) -> String {
    let checkpoints: Vec<_> = skipped.iter().map(u64::to_string).collect();
    let noun = if skipped.len() == 1 { "checkpoint" } else { "checkpoints" };
    format!("{noun} {}; a rebuild leaves them out again", checkpoints.join(", "))
}

pub(crate) fn parked_text(parked: &[ParkedStream]) -> String {
    if parked.is_empty() {
        return "no stream is parked".to_owned();
    }
    let rows = parked.iter().map(|it| {
        [
            it.stream_id.to_string(),
            it.first.to_string(),
            it.changesets.to_string(),
            it.attempts.to_string(),
            it.retry_at.map_or_else(|| "given up".to_owned(), |at| at.to_string()),
            it.error.clone(),
        ]
    });
    table(["STREAM", "FIRST", "WAITING", "ATTEMPTS", "NEXT ATTEMPT", "ERROR"], rows)
}

fn state(status: &Status) -> String {
    state_of(status.state, status.rebuild.as_ref())
}

fn state_of(state: State, rebuild: Option<&Rebuild>) -> String {
    let name = match state {
        State::Starting => "starting",
        State::Following => "following",
        State::CatchingUp => "catching up",
        State::Rebuilding => "rebuilding",
        State::Retrying => "retrying",
        State::Elsewhere => "on another worker",
        State::Absent => "another version is live",
        State::Paused => "paused",
        State::Stopped => "stopped",
    };
    // Rounded down: what is not finished is not at 100%.
    match (rebuild, state) {
        (Some(rebuild), State::Rebuilding) => format!("{name} {:.0}%", rebuild.percent.floor()),
        (Some(rebuild), _) => format!("{name}, rebuild at {:.0}%", rebuild.percent.min(99.0).floor()),
        (None, _) => name.to_owned(),
    }
}

/// The checkpoint that is applied next, and the last one that the log has.
fn position(Status { checkpoint, head, .. }: &Status) -> String {
    match head.get().checked_sub(1) {
        None => format!("{checkpoint} is next; the log is empty"),
        Some(last) => format!("{checkpoint} is next; the log ends at {last}"),
    }
}

pub(crate) fn audit_text(audit: &[AuditEntry]) -> String {
    if audit.is_empty() {
        return "no operator has changed anything".to_owned();
    }
    let rows = audit.iter().map(|it| {
        [
            it.at.to_string(),
            it.action.clone(),
            it.checkpoint.to_string(),
            it.detail.clone(),
            it.reason.clone(),
        ]
    });
    table(["TIME", "ACTION", "CHECKPOINT", "DETAIL", "REASON"], rows)
}

fn error(status: &Status) -> Option<String> {
    let error = status.last_error.as_ref().map(|error| &error.message);
    status.stalled.as_ref().or(error).cloned()
}

#[cfg(test)]
mod tests {
    use ees_store::Checkpoint;

    use super::*;

    #[test]
    fn what_is_not_finished_is_not_at_100_percent() {
        let rebuild = |percent| Rebuild { until: Checkpoint::new(1_000), percent, seconds_left: None };
        for (state, percent, text) in [
            (State::Rebuilding, 99.9, "rebuilding 99%"),
            (State::Paused, 100.0, "paused, rebuild at 99%"),
            (State::Paused, 45.6, "paused, rebuild at 45%"),
        ] {
            assert_eq!(state_of(state, Some(&rebuild(percent))), text);
        }
        assert_eq!(state_of(State::Paused, None), "paused");
    }

    #[test]
    fn what_was_made_of_the_events_and_what_is_left_out_is_told() {
        let status = |more: serde_json::Value| {
            let mut status = serde_json::json!({
                "name": "p", "version": 1, "state": "following", "checkpoint": 9, "head": 9, "owner": null,
                "lag_changesets": 0, "lag_seconds": 0.0, "rate": 0.0, "last_error": null, "pause": null,
                "parked_streams": 0, "rebuild": null, "partitions": [], "standby": null, "stalled": null,
            });
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            status_text(&serde_json::from_value(status).unwrap())
        };
        let text = status(serde_json::json!({}));
        for name in ["events", "skipped", "stays behind"] {
            assert!(!text.contains(name), "{text}");
        }
        let text = status(serde_json::json!({
            "events": {"recognized": 5, "passed_over": 2, "unreadable": 1},
            "skipped": [3, 7],
            "standby": {
                "version": 2, "state": "following", "checkpoint": 9, "epoch": 1, "rate": 0.0, "rebuild": null,
                "last_error": null, "pause": null, "owner": null,
                "plan": {"role": "building", "swap": true, "verify": false, "force": false, "note": null,
                         "left_behind": ["index by_owner", "view totals"]},
                "partitions": [{"partition": 0, "checkpoint": 9, "owner": null, "pause": null}],
            },
        }));
        for told in [
            "5 recognized, 2 passed over, 1 unreadable since the process started",
            "checkpoints 3, 7; a rebuild leaves them out again",
            "stays behind at the swap: index by_owner, view totals",
            "partition 0: checkpoint 9 is next, no worker",
        ] {
            assert!(text.contains(told), "{told} is not in {text}");
        }
    }
}
