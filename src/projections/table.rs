//! Projections as text for people.

use ees_projector::reactor::Effect;
use ees_projector::{EffectCounts, Kind, ParkedStream, Rebuild, StandbyRole, StandbyStatus, State, Status};

/// Columns as wide as their widest cell.
fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    let head = head.map(ToOwned::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows).collect();
    let widths: [usize; N] = std::array::from_fn(|column| {
        lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
    });
    let text = lines.iter().map(|line| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    text.collect::<Vec<_>>().join("\n")
}

pub(super) fn of_projections(projections: &[Status]) -> String {
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
            trouble(status).unwrap_or_default(),
        ]
    });
    let head = ["NAME", "VERSION", "STATE", "CHECKPOINT", "LAG", "LAG TIME", "RATE", "PARKED", "TROUBLE"];
    table(head, rows.collect())
}

/// A reactor has none: it is never built anew.
fn version(status: &Status) -> String {
    match status.kind {
        Kind::Projection => status.version.to_string(),
        Kind::Reactor => "reactor".to_owned(),
    }
}

pub(super) fn of_one(status: &Status) -> String {
    let mut lines = vec![
        match status.kind {
            Kind::Projection => format!("projection  {} (version {})", status.name, status.version),
            Kind::Reactor => format!("reactor     {}", status.name),
        },
        format!("state       {}", state(status)),
        format!("checkpoint  {} of {}", status.checkpoint, status.head),
        format!("lag         {} changesets, {:.1} s", status.lag_changesets, status.lag_seconds),
        format!("rate        {:.0} changesets/s", status.rate),
    ];
    if let Some(owner) = &status.owner {
        lines.push(format!("worker      {owner}"));
    }
    lines.extend(status.partitions.iter().map(|partition| {
        let owner = partition.owner.as_deref().unwrap_or("no worker yet");
        let paused = if partition.pause.is_some() { ", paused" } else { "" };
        format!(
            "partition   {}: at checkpoint {}, {owner}{paused}",
            partition.partition, partition.checkpoint
        )
    }));
    if let Some(standby) = &status.standby {
        lines.extend(of_standby(standby));
    }
    if status.parked_streams > 0 {
        let given_up = match status.given_up_streams {
            0 => String::new(),
            number => format!(", {number} of them given up"),
        };
        lines.push(format!("parked      {} streams{given_up}", status.parked_streams));
    }
    if let Some(effects) = status.effects {
        let EffectCounts { done, failed } = effects;
        lines.push(format!("effects     {done} done, {failed} attempts failed, since it was started"));
    }
    if let Some(error) = &status.last_error {
        lines.push(format!("error       {} (attempt {}, {})", error.message, error.attempts, error.at));
        if let (Some(checkpoint), Some(stream), Some(changeset)) =
            (error.checkpoint, &error.stream_id, error.changeset_id)
        {
            lines.push(format!("            at checkpoint {checkpoint}: changeset {changeset} of {stream}"));
        }
    }
    if let Some(pause) = &status.pause {
        lines.push(format!("paused      since {}: {}", pause.since, pause.reason));
        if let Some(failed) = &pause.failure {
            lines.push(format!(
                "            at checkpoint {}: changeset {} of {}, tried {} times",
                failed.checkpoint, failed.changeset_id, failed.stream_id, failed.attempts
            ));
        }
    }
    if let Some(stalled) = &status.stalled {
        lines.push(format!("stalled     {stalled}"));
    }
    lines.join("\n")
}

fn of_standby(standby: &StandbyStatus) -> Vec<String> {
    let StandbyStatus { version, plan, checkpoint, rate, .. } = standby;
    let role = match plan.role {
        StandbyRole::Building if plan.swap => "is built, and takes its place when it has caught up",
        StandbyRole::Building => "is built; `swap` lets it take its place",
        StandbyRole::Following => "was live before, and follows: `rollback` brings it back",
    };
    let state = state_of(standby.state, standby.rebuild.as_ref());
    let mut lines = vec![
        format!("beside it   version {version} {role}"),
        format!("            {state}, at checkpoint {checkpoint}, {rate:.0} changesets/s"),
    ];
    lines.extend(plan.note.iter().map(|note| format!("            not swapped: {note}")));
    lines.extend(standby.last_error.iter().map(|error| format!("            {}", error.message)));
    lines
}

pub(crate) fn of_parked(parked: &[ParkedStream]) -> String {
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
    table(["STREAM", "FIRST", "WAITING", "ATTEMPTS", "NEXT ATTEMPT", "ERROR"], rows.collect())
}

pub(crate) fn of_effects(effects: &[Effect]) -> String {
    if effects.is_empty() {
        return "no such effect".to_owned();
    }
    let rows = effects.iter().map(|it| {
        [
            it.began_at.to_string(),
            it.stream_id.to_string(),
            it.changeset_id.to_string(),
            it.event_id.to_string(),
            it.effect.clone(),
            it.state.as_str().to_owned(),
            it.attempts.to_string(),
            it.error.clone().or_else(|| it.result.as_ref().map(ToString::to_string)).unwrap_or_default(),
        ]
    });
    let head = ["BEGAN", "STREAM", "CHANGESET", "EVENT", "EFFECT", "STATE", "ATTEMPTS", "ERROR OR RESULT"];
    table(head, rows.collect())
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
        State::Elsewhere => "at another worker",
        State::Absent => "another version's",
        State::Paused => "paused",
        State::Stopped => "stopped",
    };
    match rebuild {
        Some(rebuild) => format!("{name} {:.0}%", rebuild.percent),
        None => name.to_owned(),
    }
}

fn trouble(status: &Status) -> Option<String> {
    let error = status.last_error.as_ref().map(|error| &error.message);
    status.stalled.as_ref().or(error).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = vec![["ä".to_owned(), "1".to_owned()], ["long".to_owned(), String::new()]];
        assert_eq!(table(["A", "B"], rows), "A     B\nä     1\nlong");
    }
}
