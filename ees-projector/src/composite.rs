//! Several folds as one projection.

use std::collections::BTreeSet;
use std::fmt::{self, Debug};

use serde::de::DeserializeOwned;

use crate::lookup_fold::LookupFold;
use crate::read_model::InvalidTable;
use crate::stage::{Stage, StageOf};
use crate::{MultiFold, Order, Subscription, Table};

/// Several folds as one projection: one name, one checkpoint, and a table for each fold.
///
/// Choose it when the tables of several folds must agree with each other at every moment, or when a fold
/// looks up rows of another one ([`LookupFold`]). All stages apply a batch in the same transaction. They are
/// rebuilt, swapped, verified, paused and parked as one.
///
/// The stages have the same type of events, and each gets all of them. They run in the order in which they
/// were added. Tables are created and rows are written in this order, and deleted in the reverse one, so that
/// the table of a stage may [refer](Table::with_reference) to that of an earlier one.
///
/// The composite needs the global order, unless all stages declare [`Order::Stream`]. Raise its version when
/// any stage changes: the names, versions and subscriptions of stages don't count.
///
/// Register it as a fold: [`Projector::fold`](crate::Projector::fold). An example is at [`LookupFold`].
pub struct Composite<E> {
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) subscription: Subscription,
    pub(crate) stages: Vec<Box<dyn Stage<E>>>,
    /// Whether it was made of one fold, whose name, version and subscription it has.
    is_one_fold: bool,
}

impl<E: DeserializeOwned + Send + Sync + 'static> Composite<E> {
    /// A composite without stages. The name is that of the projection: see
    /// [`Projection::name`](crate::Projection::name).
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: 1,
            subscription: Subscription::default(),
            stages: Vec::new(),
            is_one_fold: false,
        }
    }

    /// Adds a stage: a [`Fold`](crate::Fold), a [`MultiFold`] or a [`LookupFold`].
    #[must_use]
    pub fn stage<F: LookupFold<Event = E>>(mut self, fold: F) -> Self {
        self.stages.push(Box::new(StageOf::new(fold)));
        self
    }

    /// Sets the version. See [`Projection::version`](crate::Projection::version). Default: 1.
    #[must_use]
    pub fn with_version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Sets which changesets the stages get, and how their events are read. Default: all changesets.
    #[must_use]
    pub fn with_subscription(self, subscription: Subscription) -> Self {
        Self { subscription, ..self }
    }
}

impl<E> Composite<E> {
    /// Returns the order that it needs: the strongest of its stages.
    pub(crate) fn order(&self) -> Order {
        let in_streams = self.stages.iter().all(|stage| stage.order() == Order::Stream);
        if in_streams { Order::Stream } else { Order::Log }
    }

    /// Returns the stage that another one looks up: the earlier one whose fold has that type.
    pub(crate) fn lookup_of(&self, stage: usize) -> Option<usize> {
        let (wanted, _) = self.stages.get(stage)?.lookup_type()?;
        self.stages.iter().take(stage).position(|earlier| earlier.fold_type() == wanted)
    }

    /// Checks the stages and their tables.
    pub(crate) fn check(&self) -> Result<(), InvalidComposite> {
        let refuse = |stage: &str, reason: String| {
            let (composite, stage) = (self.name.clone(), stage.to_owned());
            Err(InvalidComposite::Stage(InvalidStage { composite, stage, reason }))
        };
        let mut earlier: Vec<&Table> = Vec::new();
        let mut names = BTreeSet::new();
        for (number, stage) in self.stages.iter().enumerate() {
            let table = stage.table();
            // The name of a fold is checked as that of the projection.
            if !(self.stages.len() == 1 && table.is_document() && table.name == self.name) {
                table.check()?;
            }
            if !names.insert(&table.name) {
                return refuse(
                    stage.name(),
                    format!("an earlier stage has the table \"{}\" too", table.name),
                );
            }
            if !self.is_one_fold && !stage.subscription().is_default() {
                let reason =
                    "a stage gets all events of the composite: give its subscription to the composite";
                return refuse(stage.name(), format!("{reason} (`Composite::with_subscription`)"));
            }
            table.check_references(&earlier)?;
            earlier.push(table);
            let Some((wanted, name)) = stage.lookup_type() else { continue };
            match self.stages.iter().take(number).filter(|earlier| earlier.fold_type() == wanted).count() {
                1 => {}
                0 => {
                    return refuse(
                        stage.name(),
                        format!(
                            "it looks up rows of `{name}`, which is no earlier stage: add that stage before"
                        ),
                    );
                }
                _ => {
                    return refuse(
                        stage.name(),
                        format!("it looks up rows of `{name}`, and several earlier stages have that type"),
                    );
                }
            }
        }
        if self.stages.is_empty() {
            return refuse("", "a composite has at least one stage (`Composite::stage`)".to_owned());
        }
        Ok(())
    }
}

/// A stage of a composite does not fit the others. The message says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the composite \"{composite}\", stage \"{stage}\": {reason}")]
pub struct InvalidStage {
    composite: String,
    stage: String,
    reason: String,
}

/// Why a fold or a composite can't run.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) enum InvalidComposite {
    Table(#[from] InvalidTable),
    Stage(InvalidStage),
}

impl<E> Debug for Composite<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<&str> = self.stages.iter().map(|stage| stage.name()).collect();
        f.debug_struct("Composite")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("stages", &stages)
            .finish_non_exhaustive()
    }
}

/// What [`Projector::fold`](crate::Projector::fold) takes: a [`Fold`](crate::Fold), a [`MultiFold`] or a
/// [`Composite`] of several. A single fold is a composite of one stage.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a fold",
    note = "implement `Fold` (an event changes one row), or `MultiFold` (it changes any number of rows)",
    note = "a `LookupFold` needs the stage that it looks up: put both into a `Composite`"
)]
pub trait IntoComposite {
    /// The type of the events.
    type Event: DeserializeOwned + Send + Sync + 'static;

    /// Returns it as a composite.
    fn into_composite(self) -> Composite<Self::Event>;
}

impl<E: DeserializeOwned + Send + Sync + 'static> IntoComposite for Composite<E> {
    type Event = E;

    fn into_composite(self) -> Self {
        self
    }
}

impl<F: MultiFold> IntoComposite for F {
    type Event = F::Event;

    fn into_composite(self) -> Composite<F::Event> {
        let composite = Composite::new(MultiFold::name(&self))
            .with_version(self.version())
            .with_subscription(MultiFold::subscription(&self))
            .stage(self);
        Composite { is_one_fold: true, ..composite }
    }
}

#[cfg(test)]
mod tests {
    use ees_store::Filter;
    use serde_json::Value;

    use super::*;
    use crate::read_model::{Column, ColumnType};
    use crate::{Fold, Found, Reading, Recorded};

    #[derive(Clone)]
    struct Seen {
        order: Order,
        table: Table,
        subscription: Subscription,
    }

    fn seen(table: &'static str) -> Seen {
        Seen { order: Order::Stream, table: Table::document(table), subscription: Subscription::default() }
    }

    impl Fold for Seen {
        type Event = Value;
        type Key = String;
        type State = u64;
        fn name(&self) -> &str {
            &self.table.name
        }
        fn table(&self) -> Table {
            self.table.clone()
        }
        fn order(&self) -> Order {
            self.order
        }
        fn subscription(&self) -> Subscription {
            self.subscription.clone()
        }
        fn key(&self, _: Recorded<'_, Value>) -> Option<String> {
            None
        }
        fn fold(&self, row: Option<u64>, _: Recorded<'_, Value>) -> Option<u64> {
            row
        }
    }

    struct Looking;

    impl LookupFold for Looking {
        type Event = Value;
        type Key = String;
        type State = u64;
        type Lookup = Seen;
        fn name(&self) -> &str {
            "looking"
        }
        fn asks(&self, _: Recorded<'_, Value>) -> impl IntoIterator<Item = String> {
            None
        }
        fn keys(&self, _: Recorded<'_, Value>, _: Found<'_, Seen>) -> impl IntoIterator<Item = String> {
            None
        }
        fn fold(
            &self,
            _: &String,
            row: Option<u64>,
            _: Recorded<'_, Value>,
            _: Found<'_, Seen>,
        ) -> Option<u64> {
            row
        }
    }

    fn composite() -> Composite<Value> {
        Composite::new("all")
    }

    fn refused(composite: &Composite<Value>, why: &str) {
        let error = composite.check().map_err(|error| error.to_string());
        assert!(error.as_ref().is_err_and(|error| error.contains(why)), "{error:?}");
    }

    #[test]
    fn stages_that_do_not_fit_are_refused() {
        refused(&composite(), "at least one stage");
        refused(&composite().stage(seen("a")).stage(seen("a")), "has the table \"a\" too");
        refused(&composite().stage(Looking), "which is no earlier stage");
        refused(&composite().stage(Looking).stage(seen("a")), "which is no earlier stage");
        refused(&composite().stage(seen("a")).stage(seen("b")).stage(Looking), "several earlier stages");
        refused(&composite().stage(seen("Not a name")), "the name is not allowed");
        composite().stage(seen("a")).stage(Looking).check().unwrap();
    }

    #[test]
    fn a_stage_with_a_subscription_of_its_own_is_refused() {
        let refusing = Subscription::default().with_reading(Reading::refusing_unknown());
        for subscription in [Subscription::to(Filter::event_types(["paid"])), refusing] {
            let stage = Seen { subscription: subscription.clone(), ..seen("b") };
            refused(&composite().stage(stage.clone()), "give its subscription to the composite");
            refused(
                &composite().stage(seen("a")).stage(stage.clone()),
                "give its subscription to the composite",
            );
            composite().with_subscription(subscription).stage(seen("a")).check().unwrap();
            stage.into_composite().check().unwrap();
        }
    }

    #[test]
    fn references_that_lead_nowhere_are_refused() {
        let referring = |column: &'static str, to: &'static str| Seen {
            table: Table::new("b", Column::new("id", ColumnType::BigInt))
                .with_column(Column::new("text", ColumnType::Text))
                .with_reference(column, to),
            ..seen("b")
        };
        let with = |column, to| composite().stage(seen("a")).stage(referring(column, to));
        with("text", "a").check().unwrap();
        with("text", "a(key)").check().unwrap();
        refused(&with("text", "a(id)"), "the key of that table is \"key\"");
        refused(&with("text", "a(key"), "not the table of an earlier stage");
        refused(&with("nothing", "a"), "there is no such column");
        refused(&with("text", "nothing"), "not the table of an earlier stage");
        refused(&with("text", "b"), "not the table of an earlier stage");
        refused(
            &with("id", "a"),
            "the column \"id\" is BigInt and refers to the key of \"a\", which is Text",
        );
        refused(&referring("text", "a").into_composite(), "not the table of an earlier stage");
    }

    #[test]
    fn a_composite_needs_the_strongest_order_of_its_stages() {
        let in_log = Seen { order: Order::Log, ..seen("b") };
        assert_eq!(composite().stage(seen("a")).stage(seen("b")).order(), Order::Stream);
        assert_eq!(composite().stage(seen("a")).stage(in_log).order(), Order::Log);
    }
}
