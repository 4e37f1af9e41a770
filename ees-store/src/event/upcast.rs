//! Turns events of older types and versions into today's.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::members::Members;
use crate::{Filter, json};

/// The member that holds an event's version.
const VERSION: &str = "version";

/// The error of a step of your own.
pub type StepError = Box<dyn std::error::Error + Send + Sync>;
type Change = dyn Fn(&mut Members) -> Result<(), StepError> + Send + Sync;

/// Steps that turn events of older types and versions into today's, whenever the events are read.
///
/// A step leads from one (type, version) to another; steps are applied one after the other until none is
/// left. The version of an event is its member `version`, by default 1. Stored events never change. An event
/// whose type no step names is not even parsed.
///
/// Cloning is cheap: build them once (in a `LazyLock`) and give them to every reader.
///
/// ```
/// use ees_store::event::Upcasters;
///
/// let upcasters = Upcasters::new()
///     // Renamed; its members stay.
///     .step(("account_opened", 1), ("opened", 1), |_| Ok(()))?
///     // A new member.
///     .step(("deposited", 1), ("deposited", 2), |event| Ok(event.set("currency", "EUR")?))?;
///
/// assert_eq!(upcasters.upcast(r#"{"type":"account_opened"}"#)?, r#"{"type":"opened"}"#);
/// let deposited = upcasters.upcast(r#"{"type":"deposited","cents":7}"#)?;
/// assert_eq!(deposited, r#"{"cents":7,"currency":"EUR","type":"deposited","version":2}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A committed event whose version is above 1 has to say so. The repository of `ees-aggregate` adds the
/// version by itself; elsewhere, call [`stamped`](Upcasters::stamped).
#[derive(Clone, Default)]
pub struct Upcasters {
    types: Arc<HashMap<String, OfType>>,
}

/// The versions of one type that are known.
#[derive(Clone, Default)]
struct OfType {
    /// By the version they begin at.
    steps: HashMap<u32, Step>,
    /// The versions that steps lead to.
    reached: HashSet<u32>,
}

#[derive(Clone)]
struct Step {
    to: Place,
    change: Arc<Change>,
}

/// A type and a version of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) name: String,
    version: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} version {}", self.name, self.version)
    }
}

/// A step that conflicts with the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a step from {from} to {to}: {why}")]
pub struct InvalidStep {
    from: String,
    to: String,
    why: &'static str,
}

/// An event that can't be upcast. The message says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UpcastError(String);

impl Upcasters {
    /// No steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns `true` if there are no steps.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// Adds a step from one (type, version) to another.
    ///
    /// The closure changes the members; then the framework sets type and version.
    ///
    /// # Errors
    /// [`InvalidStep`] when another step has the same origin, when the steps would form a cycle, or when a
    /// version is 0.
    pub fn step(
        mut self,
        from: (&str, u32),
        to: (&str, u32),
        change: impl Fn(&mut Members) -> Result<(), StepError> + Send + Sync + 'static,
    ) -> Result<Self, InvalidStep> {
        let place = |(name, version): (&str, u32)| Place { name: name.to_owned(), version };
        let (from, to) = (place(from), place(to));
        let refuse = |why| Err(InvalidStep { from: from.to_string(), to: to.to_string(), why });
        if from.version == 0 || to.version == 0 {
            return refuse("versions count from 1");
        }
        if self.step_from(&from).is_some() {
            return refuse("there is a step from there already");
        }
        if *self.destination(&to) == from {
            return refuse("the steps lead in a circle");
        }
        let types = Arc::make_mut(&mut self.types);
        types.entry(to.name.clone()).or_default().reached.insert(to.version);
        let step = Step { to, change: Arc::new(change) };
        types.entry(from.name).or_default().steps.insert(from.version, step);
        Ok(self)
    }

    /// Upcasts an event to its current type and version.
    ///
    /// # Errors
    /// [`UpcastError`] when a step fails, or when no step begins at or leads to the event's version: a newer
    /// program wrote it, or a step is missing.
    pub fn upcast<'a>(&self, event: &'a str) -> Result<Cow<'a, str>, UpcastError> {
        match self.old(event) {
            None => Ok(Cow::Borrowed(event)),
            Some(old) => Ok(Cow::Owned(self.bring(old?)?)),
        }
    }

    /// Adds the current version to an event that is about to be committed. The event stays as it is if that
    /// version is 1, or if it has a version already.
    pub fn stamped<'a>(&self, event: &'a str) -> Cow<'a, str> {
        let newest = || -> Option<u32> {
            let of_type = self.types.get(&*json::event_type(event)?)?;
            let version = *of_type.reached.iter().max()?;
            let says_one = Members::parse(event).ok()?.contains(VERSION);
            (version > 1 && !says_one).then_some(version)
        };
        match (newest(), event.trim_start().strip_prefix('{')) {
            // It has a member at least: its type.
            (Some(version), Some(members)) => Cow::Owned(format!("{{\"{VERSION}\":{version},{members}")),
            _ => Cow::Borrowed(event),
        }
    }

    /// Adds the older types to a filter of current types, so that a reader of the log misses nothing.
    #[must_use]
    pub fn widened(&self, filter: Filter) -> Filter {
        if filter.event_types.is_empty() {
            return filter;
        }
        let is_wanted = |step: &Step| filter.event_types.contains(&self.destination(&step.to).name);
        let older = self.types.iter().filter(|(_, of_type)| of_type.steps.values().any(is_wanted));
        let mut event_types: Vec<String> = older.map(|(name, _)| name.clone()).collect();
        event_types.sort_unstable();
        event_types.retain(|name| !filter.event_types.contains(name));
        event_types.splice(0..0, filter.event_types);
        Filter { event_types, ..filter }
    }

    /// The event's type and members, if it is one that has to be changed; `None` when it is as it should be.
    pub(super) fn old(&self, event: &str) -> Option<Result<Old, UpcastError>> {
        if self.types.is_empty() {
            return None;
        }
        let name = json::event_type(event)?;
        let of_type = self.types.get(&*name)?;
        let found = Members::parse(event).and_then(|members| Ok((members.get(VERSION)?, members)));
        let (version, members): (Option<u32>, Members) = match found {
            Ok(found) => found,
            Err(error) => return Some(Err(UpcastError(error.to_string()))),
        };
        let at = Place { name: name.into_owned(), version: version.unwrap_or(1) };
        if of_type.steps.contains_key(&at.version) {
            return Some(Ok(Old { at, members }));
        }
        if of_type.reached.contains(&at.version) {
            return None;
        }
        let newest = of_type.steps.keys().chain(&of_type.reached).max().copied().unwrap_or_default();
        let why = if at.version > newest { "newer than this program" } else { "no step begins there" };
        Some(Err(UpcastError(format!("it is of {at}: {why}"))))
    }

    /// Takes the steps.
    pub(super) fn bring(&self, old: Old) -> Result<String, UpcastError> {
        let Old { mut at, mut members } = old;
        let failed = |at: &Place, to: &Place, error: &dyn fmt::Display| {
            UpcastError(format!("the step from {at} to {to} failed: {error}"))
        };
        while let Some(step) = self.step_from(&at) {
            let set = |members: &mut Members| {
                members.set("type", &step.to.name)?;
                match step.to.version {
                    1 => members.remove(VERSION),
                    version => members.set(VERSION, &version)?,
                }
                Ok::<(), StepError>(())
            };
            (step.change)(&mut members)
                .and_then(|()| set(&mut members))
                .map_err(|e| failed(&at, &step.to, &e))?;
            at = step.to.clone();
        }
        members.into_text().map_err(|e| UpcastError(e.to_string()))
    }

    /// Where the steps from a place end.
    pub(super) fn destination<'a>(&'a self, from: &'a Place) -> &'a Place {
        let mut at = from;
        while let Some(step) = self.step_from(at) {
            at = &step.to;
        }
        at
    }

    /// What events of a type have become, by the steps that are known.
    pub(super) fn names_today(&self, name: &str) -> impl Iterator<Item = &str> {
        let steps = self.types.get(name).into_iter().flat_map(|of_type| of_type.steps.values());
        steps.map(|step| self.destination(&step.to).name.as_str())
    }

    fn step_from(&self, place: &Place) -> Option<&Step> {
        self.types.get(&place.name)?.steps.get(&place.version)
    }
}

/// An event that steps lead on from.
pub(super) struct Old {
    pub(super) at: Place,
    members: Members,
}

impl fmt::Debug for Upcasters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.types.iter().flat_map(|(name, of_type)| {
            let from = move |&version: &u32| Place { name: name.clone(), version };
            of_type.steps.iter().map(move |(version, step)| format!("{} -> {}", from(version), step.to))
        });
        f.debug_set().entries(steps).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upcasters() -> Upcasters {
        Upcasters::new()
            .step(("paid", 2), ("paid", 3), |event| Ok(event.set("three", &3)?))
            .and_then(|it| it.step(("paid", 1), ("paid", 2), |event| Ok(event.set("two", &2)?)))
            .and_then(|it| {
                it.step(("payment", 1), ("paid", 2), |event| {
                    event.remove("old");
                    Ok(())
                })
            })
            .and_then(|it| {
                it.step(("refund", 1), ("refunded", 1), |event| Ok(event.take("why").map(|_: String| ())?))
            })
            .unwrap()
    }

    #[test]
    fn steps_are_taken_one_after_the_other() {
        for (stored, now) in [
            (r#"{"type":"paid"}"#, r#"{"three":3,"two":2,"type":"paid","version":3}"#),
            (r#"{"type":"paid","version":2,"x":1.0}"#, r#"{"three":3,"type":"paid","version":3,"x":1.0}"#),
            (r#"{"type":"payment","old":1,"n":1e400}"#, r#"{"n":1e400,"three":3,"type":"paid","version":3}"#),
            (r#"{"type":"refund","why":"late"}"#, r#"{"type":"refunded"}"#),
        ] {
            assert_eq!(upcasters().upcast(stored).unwrap(), now);
        }
    }

    #[test]
    fn what_is_of_today_or_of_no_concern_is_not_touched() {
        for same in [
            r#"{"version":3,"type":"paid"}"#,
            r#"{"type":"refunded", "b":1, "a":2}"#,
            r#"{"type":"else","version":"x"}"#,
            r#"{"version":1}"#,
            "7",
        ] {
            assert!(matches!(upcasters().upcast(same), Ok(Cow::Borrowed(text)) if text == same), "{same}");
        }
    }

    #[test]
    fn what_can_not_be_brought_up_to_date_says_why() {
        for (stored, why) in [
            (r#"{"type":"paid","version":4}"#, "newer than this program"),
            (r#"{"type":"payment","version":0}"#, "no step begins there"),
            (r#"{"type":"paid","version":"x"}"#, "version"),
            (r#"{"type":"refund"}"#, r#"no member "why""#),
        ] {
            let told = upcasters().upcast(stored).unwrap_err().to_string();
            assert!(told.contains(why), "{stored}: {told}");
        }
    }

    #[test]
    fn steps_that_contradict_each_other_are_refused() {
        let circle = upcasters().step(("paid", 3), ("payment", 1), |_| Ok(())).unwrap_err();
        assert!(circle.to_string().contains("circle"), "{circle}");
        assert!(upcasters().step(("a", 1), ("a", 1), |_| Ok(())).is_err());
        assert!(upcasters().step(("paid", 1), ("paid", 9), |_| Ok(())).is_err());
        assert!(upcasters().step(("b", 0), ("b", 1), |_| Ok(())).is_err());
    }

    #[test]
    fn a_filter_is_widened_by_what_its_types_were_called() {
        let paid = upcasters().widened(Filter::event_types(["paid", "other"]));
        assert_eq!(paid.event_types, ["paid", "other", "payment"]);
        assert_eq!(
            upcasters().widened(Filter::event_types(["refunded"])).event_types,
            ["refunded", "refund"]
        );
        assert!(upcasters().widened(Filter::default()).is_all());
    }

    #[test]
    fn an_event_is_stamped_with_the_version_of_today() {
        assert_eq!(upcasters().stamped(r#"{"type":"paid"}"#), r#"{"version":3,"type":"paid"}"#);
        for same in [r#"{"type":"paid","version":2}"#, r#"{"type":"refunded"}"#, r#"{"type":"x"}"#, "7"] {
            assert_eq!(upcasters().stamped(same), same);
        }
    }
}
