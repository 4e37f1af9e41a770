//! How a projection begins: its row and its tables, made, found, or made anew by another version.

use ees_store::Checkpoint;

use crate::BoxError;
use crate::control::{Control, ParkedStream};
use crate::database::{Database, ParkedRows, Transaction};
use crate::partition::Split;
use crate::projection::Projection;
use crate::settings::NewVersion;
use crate::slot::Slot;
use crate::standby::{SideBySide, StandbyRole};
use crate::worker::error::{StepError, chain, uncommitted};
use crate::worker::step::Core;

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// The projection's row and what is parked. Makes both it and the tables when the projection is new, and wipes
    /// when it has become a newer version.
    pub(crate) async fn start(&self) -> Result<(Control, Vec<ParkedStream>), StepError> {
        let (name, version) = (self.key(), self.projection.version());
        let must_be_there = self.slot() != Slot::Live || self.partition().is_some();
        let mut tx = self.begin().await?;
        let old = match tx.load(name).await.map_err(StepError::Database)? {
            None if must_be_there => return Err(StepError::Absent),
            None => {
                drop(tx);
                let control = self.beginning().await?;
                return self.make(control).await;
            }
            Some(control) if control.version == version && self.is_dealt_out_as(&control) => {
                let parked = tx.parked(self.name()).await.map_err(StepError::Database)?;
                return Ok((control, self.own(parked)));
            }
            Some(control) => control,
        };
        drop(tx);
        if must_be_there {
            return Err(StepError::Absent);
        }
        if self.is_reactor() {
            return Err(StepError::Setup(format!(
                "\"{name}\" is the name of a projection, which has got somewhere: give the reactor another one"
            )));
        }
        // Asked before the transaction begins: the log may be far away.
        let head = self.log.head().await.map_err(StepError::Log)?;
        if D::SIDE_BY_SIDE && self.is_built_beside(&old, head.checkpoint).await? {
            return Err(StepError::Absent);
        }
        if old.version > version {
            return Err(StepError::Setup(format!(
                "the read model was built by version {} of the projection, and this program has version {version}: \
                 start the newer program, or rebuild the projection",
                old.version
            )));
        }
        tracing::info!(projection = name, from = old.version, to = version, "a new version: building anew");
        self.make_anew(&old, head.checkpoint).await
    }

    /// Whether this version has a read model beside the live one: because it is built there, or because it was live
    /// and somebody rolled it back. Begins to build it if that is wanted.
    async fn is_built_beside(&self, live: &Control, head: Checkpoint) -> Result<bool, StepError> {
        let standby = self.onto(Slot::Standby);
        let mut tx = self.begin().await?;
        let held = tx.lock(self.name()).await.map_err(StepError::Database)?;
        if held.as_ref().is_none_or(|held| held.version != live.version) {
            return Err(StepError::Fenced);
        }
        let known = tx.load(standby.name()).await.map_err(StepError::Database)?;
        // A newer one that is built is not pushed aside: two programs would do so in turns, for ever.
        let is_to_be = |known: &Control| {
            let is_built = known.standby.as_ref().is_some_and(|plan| plan.role == StandbyRole::Building);
            known.version == self.projection.version()
                || (is_built && known.version > self.projection.version())
        };
        if known.as_ref().is_some_and(is_to_be) {
            return Ok(true);
        }
        let NewVersion::SideBySide { verify } = self.settings.new_version else { return Ok(false) };
        if live.version > self.projection.version() {
            return Ok(false);
        }
        if held.is_some_and(|held| held.split.is_some()) {
            return Err(StepError::Setup(
                "the streams of the older version are dealt out to partitions, so that a new version can't be built \
                 beside it: set their number to 1 with the old program, or rebuild in place"
                    .to_owned(),
            ));
        }
        tracing::info!(
            projection = self.name(),
            from = live.version,
            to = self.projection.version(),
            "a new version: building it beside the old one"
        );
        let plan = SideBySide { verify, ..SideBySide::default() };
        standby.make_beside(&mut tx, plan.into(), head).await?;
        tx.commit().await.map_err(uncommitted)?;
        Ok(true)
    }

    async fn make(&self, mut control: Control) -> Result<(Control, Vec<ParkedStream>), StepError> {
        let mut tx = self.begin().await?;
        let partitions = self.settings.partitions;
        if D::PARTITIONS && self.slot() == Slot::Live && partitions > 1 {
            control.split = Some(Split::into(partitions));
        }
        if !tx.insert(self.name(), &control).await.map_err(setup::<D>)? {
            return Err(StepError::Fenced);
        }
        self.create_tables(&mut tx).await?;
        self.deal_out(&mut tx, &control).await?;
        tx.commit().await.map_err(uncommitted)?;
        Ok((control, Vec::new()))
    }

    async fn make_anew(
        &self,
        old: &Control,
        head: Checkpoint,
    ) -> Result<(Control, Vec<ParkedStream>), StepError> {
        let mut tx = self.begin().await?;
        // The old version may be at work, and be faster than whoever reads the row and then compares.
        let held = tx.lock(self.name()).await.map_err(StepError::Database)?;
        let held = held.filter(|held| held.version == old.version).ok_or(StepError::Fenced)?;
        let control = held.wiped(self.projection.version(), head);
        if !tx.replace(self.name(), held.position, &control).await.map_err(StepError::Database)? {
            return Err(StepError::Fenced);
        }
        self.wipe(&mut tx).await?;
        tx.commit().await.map_err(uncommitted)?;
        Ok((control, Vec::new()))
    }

    /// Empty tables, nothing parked.
    pub(crate) async fn wipe(&self, tx: &mut D::Tx) -> Result<(), StepError> {
        // Before the tables, as every step does.
        tx.partitions(self.name(), true).await.map_err(StepError::Database)?;
        let grants = tx.grants(self.name()).await.map_err(StepError::Database)?;
        self.projection.drop_tables(tx).await.map_err(setup::<D>)?;
        self.create_tables(tx).await?;
        if let Some(control) = tx.load(self.name()).await.map_err(StepError::Database)? {
            self.deal_out(tx, &control).await?;
        }
        tx.grant(&grants).await.map_err(StepError::Database)?;
        tx.clear_parked(self.name()).await.map_err(StepError::Database)
    }

    pub(crate) async fn create_tables(&self, tx: &mut D::Tx) -> Result<(), StepError> {
        self.projection.create_tables(tx).await.map_err(setup::<D>)
    }

    /// Whether the row is that of this partition, and not of one that has its name and other streams by now.
    fn is_dealt_out_as(&self, control: &Control) -> bool {
        let count = control.split.map(|split| split.count);
        self.partition().is_none_or(|partition| count == Some(partition.count))
    }

    /// Of the streams that wait, those this is for.
    pub(crate) fn own(&self, mut parked: Vec<ParkedStream>) -> Vec<ParkedStream> {
        if let Some(partition) = self.partition() {
            parked.retain(|stream| partition.owns(&stream.stream_id));
        }
        parked
    }

    pub(crate) async fn begin(&self) -> Result<D::Tx, StepError> {
        self.database.begin().await.map_err(StepError::Database)
    }
}

pub(crate) fn setup<D: Database>(error: BoxError) -> StepError {
    if D::is_transient(&*error) {
        return StepError::Database(error);
    }
    StepError::Setup(format!("its tables can't be made: {}", chain(&*error)))
}
