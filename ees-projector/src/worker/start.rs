//! How a projection begins: its row and its tables, made, found, or made anew by another version.

use ees_store::Checkpoint;

use crate::BoxError;
use crate::control::{Control, ParkedStream};
use crate::database::{Database, Transaction};
use crate::projection::Projection;
use crate::worker::step::{Core, StepError, chain};

impl<P, D> Core<P, D>
where
    D: Database,
    P: Projection<D::Tx>,
{
    /// The projection's row and what is parked. Makes both it and the tables when the projection is new, and wipes
    /// when it has become a newer version.
    pub(crate) async fn start(&self) -> Result<(Control, Vec<ParkedStream>), StepError> {
        let (name, version) = (self.name(), self.projection.version());
        let mut tx = self.begin().await?;
        let old = match tx.load(name).await.map_err(StepError::Database)? {
            None => return self.make(tx).await,
            Some(control) if control.version == version => {
                let parked = tx.parked(name).await.map_err(StepError::Database)?;
                return Ok((control, parked));
            }
            Some(control) => control,
        };
        drop(tx);
        if old.version > version {
            return Err(StepError::Setup(format!(
                "the read model was built by version {} of the projection, and this program has version {version}: \
                 start the newer program, or rebuild the projection",
                old.version
            )));
        }
        tracing::info!(projection = name, from = old.version, to = version, "a new version: building anew");
        // Asked before the transaction begins: the log may be far away.
        let head = self.log.head().await.map_err(StepError::Log)?;
        self.make_anew(&old, head.checkpoint).await
    }

    async fn make(&self, mut tx: D::Tx) -> Result<(Control, Vec<ParkedStream>), StepError> {
        let control = Control::new(self.projection.version());
        if !tx.insert(self.name(), &control).await.map_err(StepError::Database)? {
            return Err(StepError::Fenced);
        }
        self.projection.create_tables(&mut tx).await.map_err(setup::<D>)?;
        tx.commit().await.map_err(StepError::Database)?;
        Ok((control, Vec::new()))
    }

    async fn make_anew(
        &self,
        old: &Control,
        head: Checkpoint,
    ) -> Result<(Control, Vec<ParkedStream>), StepError> {
        let control = old.wiped(self.projection.version(), head);
        let mut tx = self.begin().await?;
        if !tx.replace(self.name(), old.position, &control).await.map_err(StepError::Database)? {
            return Err(StepError::Fenced);
        }
        self.wipe(&mut tx).await?;
        tx.commit().await.map_err(StepError::Database)?;
        Ok((control, Vec::new()))
    }

    /// Empty tables, nothing parked.
    pub(crate) async fn wipe(&self, tx: &mut D::Tx) -> Result<(), StepError> {
        self.projection.drop_tables(tx).await.map_err(setup::<D>)?;
        self.projection.create_tables(tx).await.map_err(setup::<D>)?;
        tx.clear_parked(self.name()).await.map_err(StepError::Database)
    }

    async fn begin(&self) -> Result<D::Tx, StepError> {
        self.database.begin().await.map_err(StepError::Database)
    }
}

fn setup<D: Database>(error: BoxError) -> StepError {
    if D::is_transient(&*error) {
        return StepError::Database(error);
    }
    StepError::Setup(format!("its tables can't be made: {}", chain(&*error)))
}
