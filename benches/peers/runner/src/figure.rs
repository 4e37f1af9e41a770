//! What is measured, as lines of JSON.

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::peers::Part;
use crate::verdict::Verdict;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    Machine(Machine),
    Figure(Figure),
    /// A peer of which nothing was measured, and why.
    LeftOut {
        peer: String,
        why: String,
    },
    /// A figure that could not be measured, and why.
    Failed {
        peer: String,
        usage: String,
        part: Part,
        why: String,
    },
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) peer: String,
    pub(crate) usage: String,
    pub(crate) part: Part,
    pub(crate) clients: usize,
    pub(crate) round: usize,
    /// The idle share of the machine before the turn of this peer, in percent.
    pub(crate) idle: Option<f64>,
    pub(crate) verdict: Verdict,
    pub(crate) report: Report,
}

/// What a driver prints (`workload/src/report.rs`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(crate) events: usize,
    pub(crate) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) appended: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) balance: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) view: Option<View>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) calls: Option<usize>,
}

/// The sums over a read model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) rows: i64,
    pub(crate) events: i64,
    pub(crate) balance: i64,
}

/// All lines of a run, or of several.
#[derive(Default)]
pub(crate) struct Results {
    lines: Vec<Line>,
}

impl Results {
    pub(crate) fn add(&mut self, line: Line) {
        self.lines.push(line);
    }

    pub(crate) fn text(&self) -> crate::Result<String> {
        let lines: Result<Vec<String>, _> = self.lines.iter().map(serde_json::to_string).collect();
        lines.map(|lines| lines.join("\n") + "\n").map_err(|error| error.to_string())
    }

    pub(crate) fn machines(&self) -> impl Iterator<Item = &Machine> {
        self.lines
            .iter()
            .filter_map(|line| if let Line::Machine(machine) = line { Some(machine) } else { None })
    }

    pub(crate) fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.lines.iter().filter_map(|line| if let Line::Figure(figure) = line { Some(figure) } else { None })
    }

    pub(crate) fn left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().filter_map(|line| {
            if let Line::LeftOut { peer, why } = line { Some((peer.as_str(), why.as_str())) } else { None }
        })
    }

    pub(crate) fn failed(&self) -> impl Iterator<Item = (&str, &str, Part, &str)> {
        self.lines.iter().filter_map(|line| {
            let Line::Failed { peer, usage, part, why } = line else { return None };
            Some((peer.as_str(), usage.as_str(), *part, why.as_str()))
        })
    }
}
