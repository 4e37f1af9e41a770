//! A projection that keeps no rows, and fails at some events.

use ees_projector::sqlite::Tx;
use ees_projector::{BoxError, Order, Projection, Recorded};
use serde_json::Value;

/// Applies each event by checking it. What the check returns is the error.
pub struct Checked<C = fn(&Value) -> Result<(), String>> {
    /// The name of the projection.
    pub name: &'static str,
    /// The check.
    pub check: C,
}

impl<C> Projection<Tx> for Checked<C>
where
    C: Fn(&Value) -> Result<(), String> + Send + Sync + 'static,
{
    type Event = Value;

    fn name(&self) -> &str {
        self.name
    }
    fn order(&self) -> Order {
        Order::Stream
    }
    async fn create_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn drop_tables(&self, _: &mut Tx) -> Result<(), BoxError> {
        Ok(())
    }
    async fn apply(&self, event: Recorded<'_, Value>, _: &mut Tx) -> Result<(), BoxError> {
        Ok((self.check)(event.event)?)
    }
}
