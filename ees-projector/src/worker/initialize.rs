//! The start of a projection: its row and its tables are created, found, or rebuilt for a new version.

use std::sync::atomic::Ordering::Relaxed;

use ees_store::{Checkpoint, Timestamp};

use crate::database::{Attachments, AuditRows, Database, ParkedRows, Transaction};
use crate::error::{BoxError, chain};
use crate::partition::Split;
use crate::projection::{Order, TablesChecked};
use crate::projection_state::{AuditEntry, ParkedStream, ProjectionState};
use crate::read_model_id::Slot;
use crate::settings::NewVersion;
use crate::standby::SideBySide;
use crate::status::Kind;
use crate::worker::core::Core;
use crate::worker::error::StepError;

impl<D: Database> Core<D> {
    /// Returns the projection's row and its parked streams. Creates the row and the tables of a new
    /// projection. Wipes the read model if the program has a newer version.
    pub(crate) async fn initialize(&self) -> Result<(ProjectionState, Vec<ParkedStream>), StepError> {
        let version = self.processor.version();
        let must_be_there = self.slot() != Slot::Live || self.partition().is_some();
        let mut tx = self.begin().await?;
        let old = match tx.load(self.id()).await? {
            None if must_be_there => return Err(StepError::Absent),
            None => {
                drop(tx);
                let state = self.processor.initial_state(&*self.log).await?;
                let fingerprint = self.fingerprint_of_nothing();
                return self.make(ProjectionState { fingerprint, ..state }).await;
            }
            Some(state) if state.version == version && state.is_of_the_split_of(self.partition()) => {
                if D::COPIES && !must_be_there {
                    self.require_no_copy(&mut tx).await?;
                }
                let parked = tx.parked(self.id()).await?;
                drop(tx);
                if !self.tables_checked.load(Relaxed) {
                    self.check_tables(&state).await?;
                }
                // A segment has other streams than the partition has: those of others do no harm.
                let parked = if state.segment.is_some() { parked } else { self.own(parked) };
                return Ok((state, parked));
            }
            Some(state) => state,
        };
        drop(tx);
        if must_be_there {
            return Err(StepError::Absent);
        }
        if self.processor.kind() == Kind::Reactor {
            let name = self.name();
            return Err(StepError::Setup(format!(
                "\"{name}\" is the name of a projection that has run here: give the reactor another name"
            )));
        }
        // Before the transaction begins: the log may be far away.
        let head = self.log.head().await?;
        if D::SIDE_BY_SIDE && self.has_standby(&old, head.checkpoint).await? {
            return Err(StepError::Absent);
        }
        if old.version > version {
            return Err(StepError::Setup(format!(
                "version {} of the projection built the read model, and this program has version {version}: \
                 start the newer program, or rebuild the projection",
                old.version
            )));
        }
        tracing::info!(
            projection = self.name(),
            from = old.version,
            to = version,
            "new version: rebuilding in place"
        );
        self.rebuild_in_place(&old, head.checkpoint).await
    }

    /// Compares the tables in the database with those of the program, which has the same version. Adds what may
    /// be added without a rebuild.
    async fn check_tables(&self, state: &ProjectionState) -> Result<(), StepError> {
        // The worker of the whole has compared them.
        if self.processor.kind() == Kind::Reactor || self.partition().is_some() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let others = tx.objects_of_others(self.id()).await?;
        let TablesChecked { differences, added } =
            self.processor.check_tables(&mut tx, &others).await.map_err(setup::<D>)?;
        if !differences.is_empty() {
            let found = tx.load(self.id()).await?;
            if found.is_none_or(|found| found.position.epoch != state.position.epoch) {
                // Swapped or discarded meanwhile.
                return Err(StepError::Fenced);
            }
            let (name, version, differences) = (self.name(), state.version, differences.join("; "));
            return Err(StepError::Setup(format!(
                "the tables in the database are not those that version {version} of this program makes: \
                 {differences}. Raise the version (`fn version`), and the projection is rebuilt; or start the program \
                 that made them; or rebuild it (`ees projections rebuild {name}`)"
            )));
        }
        if !added.is_empty() {
            let columns = added.join(", ");
            tracing::info!(projection = self.name(), columns, "added without a rebuild");
            tx.claim_objects(self.id(), &others).await?;
            tx.audit(
                self.id(),
                &AuditEntry {
                    at: Timestamp::now(),
                    action: "add_columns".to_owned(),
                    reason: format!("version {} of the program has more columns", state.version),
                    checkpoint: state.position.next,
                    detail: columns,
                },
            )
            .await?;
            tx.commit().await?;
        }
        self.tables_checked.store(true, Relaxed);
        Ok(())
    }

    /// Returns `true` if this version runs in the standby: it is being built there, or was live and was
    /// rolled back. Starts to build it if the settings say so.
    async fn has_standby(&self, live: &ProjectionState, head: Checkpoint) -> Result<bool, StepError> {
        let standby = self.onto(Slot::Standby);
        let mut tx = self.begin().await?;
        let held = tx.lock(self.id()).await?;
        let mut held = held.filter(|held| held.version == live.version).ok_or(StepError::Fenced)?;
        let known = tx.load(standby.id()).await?;
        // Never replace a newer version that is being built: two programs would replace each other's standby
        // for ever.
        let is_to_be = |known: &ProjectionState| {
            known.version == self.processor.version()
                || (known.is_being_built() && known.version > self.processor.version())
        };
        if known.as_ref().is_some_and(is_to_be) {
            return Ok(true);
        }
        let NewVersion::SideBySide { verify } = self.settings.new_version else { return Ok(false) };
        if live.version > self.processor.version() {
            return Ok(false);
        }
        if held.split.is_some() && self.processor.order() == Order::Log {
            return Err(StepError::Setup(
                "the older version is split into partitions, and the new version needs the global order \
                 (Order::Log), so that it can't be built side by side: set the number of partitions to 1 with \
                 the old program, or rebuild in place"
                    .to_owned(),
            ));
        }
        self.know_skips(&mut tx, &mut held).await?;
        tracing::info!(
            projection = self.name(),
            from = live.version,
            to = self.processor.version(),
            "new version: building it side by side"
        );
        let keeps_skips = self.settings.keep_skips;
        let plan = SideBySide { verify, keep_skips: Some(keeps_skips), ..SideBySide::default() };
        let skips = if keeps_skips { held.skips.clone() } else { Vec::new() };
        let split = Split::for_rebuild(held.partitions(), held.partitions());
        standby.make_standby(&mut tx, plan.into(), head, skips, split, false).await?;
        self.announce_skips(&held);
        let detail = format!("side by side, up to {head}{}", held.skips_in_words(keeps_skips));
        tx.audit(self.id(), &self.new_version(&held, detail)).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn make(
        &self,
        mut state: ProjectionState,
    ) -> Result<(ProjectionState, Vec<ParkedStream>), StepError> {
        let mut tx = self.begin().await?;
        let partitions = self.settings.partitions;
        if D::PARTITIONS && self.slot() == Slot::Live && partitions > 1 {
            state.split = Some(Split::into(partitions));
        }
        if !tx.insert(self.id(), &state).await.map_err(setup::<D>)? {
            return Err(StepError::Fenced);
        }
        self.create_tables(&mut tx).await?;
        self.create_partitions(&mut tx, &state).await?;
        tx.commit().await?;
        Ok((state, Vec::new()))
    }

    async fn rebuild_in_place(
        &self,
        old: &ProjectionState,
        head: Checkpoint,
    ) -> Result<(ProjectionState, Vec<ParkedStream>), StepError> {
        let mut tx = self.begin().await?;
        // Lock the row: the old version may be running, and would be faster than a caller that reads and then
        // compares.
        let held = tx.lock(self.id()).await?;
        let mut held = held.filter(|held| held.version == old.version).ok_or(StepError::Fenced)?;
        self.know_skips(&mut tx, &mut held).await?;
        let keeps_skips = self.settings.keep_skips;
        let version = self.processor.version();
        let mut state = held.wiped(version, head, keeps_skips, self.fingerprint_of_nothing());
        if self.processor.order() == Order::Log {
            state.split = None;
        }
        self.announce_skips(&held);
        if !tx.replace(self.id(), held.position, &state).await? {
            return Err(StepError::Fenced);
        }
        // Nobody is there to ask whether it may be dropped.
        let wiped = self.report_wiped(&self.wipe(&mut tx).await?);
        let detail = format!("in place, up to {head}{}{wiped}", held.skips_in_words(keeps_skips));
        tx.audit(self.id(), &self.new_version(&held, detail)).await?;
        tx.commit().await?;
        Ok((state, Vec::new()))
    }

    /// The entry of the audit for a rebuild that no operator asked for.
    fn new_version(&self, old: &ProjectionState, detail: String) -> AuditEntry {
        AuditEntry {
            at: Timestamp::now(),
            action: "new_version".to_owned(),
            reason: format!("version {} instead of {}", self.processor.version(), old.version),
            checkpoint: old.position.next,
            detail,
        }
    }

    /// Says what a new version does about what operators skipped.
    fn announce_skips(&self, old: &ProjectionState) {
        let keeps = self.settings.keep_skips;
        let again = if keeps { "leaves out again" } else { "tries again" };
        for skipped in &old.skips {
            let (projection, checkpoint) = (self.name(), skipped.checkpoint.get());
            tracing::warn!(projection, checkpoint, "the new version {again} what was skipped");
        }
    }

    /// Warns of what others added to the tables, and what a rebuild did with it. Returns the words for the
    /// audit.
    pub(crate) fn report_wiped(&self, Wiped { dropped, before_replay }: &Wiped) -> String {
        let projection = self.name();
        let mut words = String::new();
        if !before_replay.is_empty() {
            let before_replay = before_replay.join(", ");
            tracing::warn!(
                projection,
                before_replay,
                "what others added was made again before the replay, and sees every row that it writes"
            );
            words += &format!("; made again before the replay: {before_replay}");
        }
        if !dropped.is_empty() {
            let dropped = dropped.join(", ");
            tracing::warn!(
                projection,
                dropped,
                "the rebuilt tables no longer have what others added to the old ones"
            );
            words += &format!("; dropped: {dropped}");
        }
        words
    }

    /// Empties the tables and removes everything that is parked. Makes again what others added to the tables.
    pub(crate) async fn wipe(&self, tx: &mut D::Tx) -> Result<Wiped, StepError> {
        // Before the tables: every step locks in this order.
        tx.partitions(self.id(), true).await?;
        let attachments = tx.attachments(self.id()).await?;
        self.processor.drop_tables(tx).await.map_err(setup::<D>)?;
        self.create_tables(tx).await?;
        if let Some(state) = tx.load(self.id()).await? {
            self.create_partitions(tx, &state).await?;
        }
        let dropped = tx.attach(self.id(), &attachments).await.map_err(setup::<D>)?;
        tx.clear_parked(self.id()).await?;
        let Attachments { additions, objects, .. } = attachments;
        let runs = |name: &String| name.starts_with("trigger ") || name.starts_with("rule ");
        let made_again = |name: &String| objects.contains(name) && !dropped.contains(name);
        let names = additions.into_iter().map(|addition| addition.name);
        let before_replay = names.filter(|name| runs(name) && made_again(name)).collect();
        Ok(Wiped { dropped, before_replay })
    }

    pub(crate) async fn create_tables(&self, tx: &mut D::Tx) -> Result<(), StepError> {
        let others = tx.objects_of_others(self.id()).await?;
        self.processor.create_tables(tx).await.map_err(setup::<D>)?;
        Ok(tx.claim_objects(self.id(), &others).await?)
    }
}

/// What a rebuild in place did with what others added to the tables.
pub(crate) struct Wiped {
    /// What could not be made again.
    pub(crate) dropped: Vec<String>,
    /// The triggers and rules that were made again: those that are enabled see every row that the replay
    /// writes.
    before_replay: Vec<String>,
}

pub(crate) fn setup<D: Database>(error: BoxError) -> StepError {
    if D::is_transient(&*error) {
        return error.into();
    }
    StepError::Setup(format!("the tables can't be created: {}", chain(&*error)))
}
