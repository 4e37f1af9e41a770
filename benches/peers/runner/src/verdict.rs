//! Whether the state that was left is the one that the workload makes.

use serde::{Deserialize, Serialize};

use crate::figure::{Report, View};
use crate::peers::Part;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Right,
    /// The time was over before all was done; what was done is right.
    Unfinished,
    Wrong(String),
}

/// All of the workload, of which a catch-up makes a read model.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) events: usize,
    pub(crate) streams: usize,
}

impl Whole {
    fn view(self) -> View {
        // As `workload/src/workload.rs` has the amounts.
        let balance = (0..self.events as i64).map(|seq| seq * 37 % 1_000 - 300).sum();
        View { rows: self.streams as i64, events: self.events as i64, balance }
    }
}

pub(crate) fn verdict(part: Part, whole: Whole, took_all_the_time: bool, report: &Report) -> Verdict {
    let Report { events, appended, stored, view, balance, .. } = report;
    let wrong = |what: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        Verdict::Wrong(format!("{what} {found:?}, not {wanted:?}"))
    };
    let of_view = |events: usize| match (view, balance) {
        (Some(view), Some(balance)) if (view.events, view.balance) != (events as i64, *balance) => {
            Some(wrong("the view has events and balance", &(view.events, view.balance), &(events, balance)))
        }
        _ => None,
    };
    match part {
        Part::Append if *stored != Some(*events) => wrong("stored events", &stored.unwrap_or(0), events),
        Part::Append => of_view(*events).unwrap_or(Verdict::Right),
        Part::Live => match appended {
            Some(appended) if appended == events => of_view(*appended).unwrap_or(Verdict::Right),
            _ => wrong("visible events", events, &appended.unwrap_or(0)),
        },
        Part::CatchUp if *view == Some(whole.view()) => Verdict::Right,
        Part::CatchUp | Part::Enumerate if *events < whole.events && took_all_the_time => Verdict::Unfinished,
        Part::CatchUp => wrong("the view is", view, &whole.view()),
        Part::Enumerate if *events != whole.events => wrong("read events", events, &whole.events),
        // A driver stops at a stream that is not whole.
        Part::Enumerate | Part::Read => Verdict::Right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Whole = Whole { events: 4, streams: 2 };
    const VIEW: View = View { rows: 2, events: 4, balance: -978 };

    fn caught_up(view: View) -> Report {
        Report { events: view.events as usize, view: Some(view), ..Report::default() }
    }

    #[test]
    fn a_read_model_of_the_whole_log_is_right() {
        assert_eq!(verdict(Part::CatchUp, WHOLE, false, &caught_up(VIEW)), Verdict::Right);
    }

    #[test]
    fn a_read_model_that_lacks_an_event_is_unfinished_only_if_the_time_was_over() {
        let report = caught_up(View { events: 3, ..VIEW });
        assert_eq!(verdict(Part::CatchUp, WHOLE, true, &report), Verdict::Unfinished);
        assert!(matches!(verdict(Part::CatchUp, WHOLE, false, &report), Verdict::Wrong(_)));
    }

    #[test]
    fn a_read_model_with_an_event_twice_is_wrong_whatever_the_time() {
        let report = caught_up(View { events: 5, ..VIEW });
        assert!(matches!(verdict(Part::CatchUp, WHOLE, true, &report), Verdict::Wrong(_)));
    }

    #[test]
    fn a_store_that_has_less_than_it_acknowledged_is_wrong() {
        let report = Report { events: 4, stored: Some(2), ..Report::default() };
        assert!(matches!(verdict(Part::Append, WHOLE, true, &report), Verdict::Wrong(_)));
    }

    #[test]
    fn an_inline_view_with_another_balance_than_was_appended_is_wrong() {
        let report =
            Report { events: 4, stored: Some(4), balance: Some(-978), view: Some(VIEW), ..Report::default() };
        assert_eq!(verdict(Part::Append, WHOLE, true, &report), Verdict::Right);
        let other = Report { balance: Some(0), ..report };
        assert!(matches!(verdict(Part::Append, WHOLE, true, &other), Verdict::Wrong(_)));
    }

    #[test]
    fn an_append_that_never_became_visible_is_wrong() {
        let report = Report { events: 2, appended: Some(4), ..Report::default() };
        assert!(matches!(verdict(Part::Live, WHOLE, true, &report), Verdict::Wrong(_)));
    }
}
