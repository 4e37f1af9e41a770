//! A transaction on the file of a live read model, of another slot, or of both.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use super::{Database, slots};
use crate::error::BoxError;
use crate::read_model_id::{ReadModelId, Slot};

/// A transaction on a read-model file. Your statements run on its [`connection`](Tx::connection).
///
/// Statements may block: the framework runs the whole batch on a thread for blocking work. Don't `await`
/// anything slow between them. Don't end the transaction either: the framework commits, and refuses a batch
/// whose transaction was ended.
///
/// The same statements build a standby or a scratch read model: the connection is then one to the file of that
/// read model. So name your tables without a database, or as `main.NAME`.
pub struct Tx {
    pub(super) database: Database,
    /// A transaction on each file. The first is of the read model that it was begun for.
    parts: Vec<Part>,
    /// The part that the projection's statements run in.
    current: usize,
    /// The connection of [`snapshot`](crate::database::Transaction::snapshot), to all files at once.
    pub(super) snapshot: Option<slots::Snapshot>,
    is_committed: bool,
}

/// Why a transaction on the file of a slot does not go on to the main file.
const ORDER: &str = "a transaction on a live read model and another slot begins with the live one";

/// How the transaction on a file differs from others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A power loss may undo the whole transaction for some seconds after the commit.
    Ordinary,
    /// The commit survives a power loss.
    Durable,
    /// The commit survives a power loss, and foreign keys are not checked: tables are dropped without a look at
    /// their rows, and filled in any order.
    Swap,
}

/// The transaction on one file.
struct Part {
    /// The file: `None` for the main one, which has the live read models.
    slot: Option<ReadModelId>,
    held: Held,
    mode: Mode,
    /// Whether the connection checked foreign keys before.
    had_foreign_keys: bool,
    role: Role,
}

/// What the transaction means for a file.
enum Role {
    /// It changes the file.
    Changes,
    /// It creates the file.
    Creates(PathBuf),
    /// The file is deleted when the transaction is committed.
    Deletes(PathBuf),
}

/// A connection, until the transaction ends.
enum Held {
    Shared(OwnedMutexGuard<Connection>),
    Own(Connection),
}

impl Tx {
    /// Begins a transaction on the file of a read model: on the main one by default.
    pub(super) async fn begin(
        database: Database,
        model: Option<&ReadModelId>,
        mode: Mode,
    ) -> Result<Self, BoxError> {
        let mut tx = Self { database, parts: Vec::new(), current: 0, snapshot: None, is_committed: false };
        tx.open(model.and_then(of_slot), mode).await?;
        Ok(tx)
    }

    /// The connection, inside the transaction. Use `prepare_cached` for statements that run for every event.
    pub fn connection(&self) -> &Connection {
        self.parts[self.current].connection()
    }

    /// The connection to the file of a read model, inside the transaction. Without such a file, one to an empty
    /// database.
    ///
    /// A transaction on the live read model and another slot begins with the live one, and is refused otherwise. So
    /// no two transactions wait for each other.
    pub(super) async fn of(&mut self, model: &ReadModelId) -> Result<&Connection, BoxError> {
        let at = self.open(of_slot(model), Mode::Ordinary).await?;
        Ok(self.parts[at].connection())
    }

    /// From here on the projection's statements run in the file of this read model.
    pub(super) async fn enter(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        self.current = self.open(of_slot(model), Mode::Ordinary).await?;
        Ok(())
    }

    /// Two of the connections. Both are open.
    pub(super) async fn of_both(
        &mut self,
        live: &ReadModelId,
        other: &ReadModelId,
    ) -> Result<(&Connection, &Connection), BoxError> {
        let live = self.open(of_slot(live), Mode::Ordinary).await?;
        let other = self.open(of_slot(other), Mode::Ordinary).await?;
        Ok((self.parts[live].connection(), self.parts[other].connection()))
    }

    async fn open(&mut self, slot: Option<&ReadModelId>, mode: Mode) -> Result<usize, BoxError> {
        if let Some(known) = self.parts.iter().position(|part| part.is_of(slot)) {
            return Ok(known);
        }
        let held = match slot {
            // Another transaction may have the main file and wait for the other one.
            None if !self.parts.is_empty() => return Err(ORDER.into()),
            None => Held::Shared(self.database.writer.clone().lock_owned().await),
            Some(model) => match slots::path(self, model)? {
                Some(path) => Held::Shared(slots::writer(&self.database, &path)?.lock_owned().await),
                None => Held::Own(slots::nowhere()?),
            },
        };
        self.parts.push(Part::begin(slot, held, mode, Role::Changes)?);
        Ok(self.parts.len() - 1)
    }

    /// The connection to the main file, if the transaction is on it.
    pub(super) fn main(&self) -> Option<&Connection> {
        self.parts.iter().find(|part| part.slot.is_none()).map(Part::connection)
    }

    /// Creates a new file for a slot. It is gone again if the transaction is not committed.
    pub(super) async fn create_file(&mut self, model: &ReadModelId, mode: Mode) -> Result<(), BoxError> {
        self.open(None, Mode::Ordinary).await?;
        let path = slots::next_path(self, model)?;
        let held = Held::Own(slots::create(&path)?);
        let part = Part::begin(Some(model), held, mode, Role::Creates(path))?;
        match self.parts.iter().position(|part| part.is_of(Some(model))) {
            // There was no such file yet.
            Some(nowhere) => self.parts[nowhere] = part,
            None => self.parts.push(part),
        }
        Ok(())
    }

    /// Deletes the file of a slot, if there is one, when the transaction is committed. A worker that has the
    /// file open then finds no row in it.
    pub(super) async fn delete_file(&mut self, model: &ReadModelId) -> Result<(), BoxError> {
        self.open(None, Mode::Ordinary).await?;
        let Some(path) = slots::path(self, model)? else { return Ok(()) };
        let at = self.open(of_slot(model), Mode::Ordinary).await?;
        self.parts[at].connection().execute("DELETE FROM ees_projections", [])?;
        self.parts[at].role = Role::Deletes(path);
        slots::forget(self, model)
    }

    /// The file of a slot that is deleted when the transaction is committed.
    pub(super) fn deleted(&self, model: &ReadModelId) -> Option<&Path> {
        self.parts.iter().find_map(|part| match &part.role {
            Role::Deletes(path) if part.slot.as_ref() == Some(model) => Some(&**path),
            _ => None,
        })
    }

    /// Ends the transaction, and reads what is committed now, in all files as of one moment.
    pub(super) fn look(&mut self) -> Result<(), BoxError> {
        let nowhere = Part::begin(None, Held::Own(slots::nowhere()?), Mode::Ordinary, Role::Changes)?;
        (self.parts, self.current) = (vec![nowhere], 0);
        self.snapshot = Some(slots::Snapshot::open(&self.database)?);
        Ok(())
    }

    /// A commit is whole for one file only. So what the main file refers to is committed before it, and what it
    /// no longer refers to is deleted after it.
    pub(super) fn end(mut self) -> Result<(), BoxError> {
        if self.parts.iter().any(|part| part.connection().is_autocommit()) {
            return Err(
                "the projection ended the framework's transaction: it must not COMMIT or ROLLBACK".into()
            );
        }
        let is_gone = |part: &&Part| matches!(part.role, Role::Deletes(_));
        let is_new = |part: &&Part| part.slot.is_some() && !is_gone(part);
        for part in self.parts.iter().filter(is_new) {
            part.commit()?;
        }
        for part in self.parts.iter().filter(|part| part.slot.is_none()) {
            part.commit()?;
        }
        self.is_committed = true;
        for part in self.parts.iter().filter(is_gone) {
            // The main file no longer refers to it.
            if let Err(error) = part.commit() {
                tracing::debug!(%error, "a file that is deleted was not changed before");
            }
        }
        Ok(())
    }
}

/// The read model that has a file of its own: `None` for a live one.
fn of_slot(model: &ReadModelId) -> Option<&ReadModelId> {
    Some(model).filter(|model| model.slot() != Slot::Live)
}

impl Drop for Tx {
    fn drop(&mut self) {
        // The main file last: the transaction that has it may delete and create the others.
        for mut part in self.parts.drain(..).rev() {
            let role = std::mem::replace(&mut part.role, Role::Changes);
            // Closed before the file goes.
            drop(part);
            match role {
                Role::Creates(path) if !self.is_committed => slots::remove(&self.database, &path),
                Role::Deletes(path) if self.is_committed => slots::remove(&self.database, &path),
                Role::Changes | Role::Creates(_) | Role::Deletes(_) => {}
            }
        }
    }
}

impl Part {
    fn begin(slot: Option<&ReadModelId>, held: Held, mode: Mode, role: Role) -> Result<Self, BoxError> {
        let mut part = Self { slot: slot.cloned(), held, mode, had_foreign_keys: false, role };
        if mode == Mode::Swap {
            let asked = "SELECT foreign_keys FROM pragma_foreign_keys";
            part.had_foreign_keys = part.connection().query_row(asked, [], |row| row.get(0))?;
            part.connection().pragma_update(None, "foreign_keys", false)?;
        }
        if mode != Mode::Ordinary {
            part.connection().pragma_update(None, "synchronous", "FULL")?;
        }
        part.connection().prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(part)
    }

    fn connection(&self) -> &Connection {
        match &self.held {
            Held::Shared(connection) => connection,
            Held::Own(connection) => connection,
        }
    }

    /// Whether it is this file, and the file stays.
    fn is_of(&self, slot: Option<&ReadModelId>) -> bool {
        self.slot.as_ref() == slot && !matches!(self.role, Role::Deletes(_))
    }

    fn commit(&self) -> Result<(), BoxError> {
        self.connection().prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Makes the connection as it was before the transaction.
    fn restore(&self) -> rusqlite::Result<()> {
        let connection = self.connection();
        if self.mode == Mode::Swap {
            connection.pragma_update(None, "foreign_keys", self.had_foreign_keys)?;
            slots::detach(connection)?;
        }
        if self.mode != Mode::Ordinary {
            connection.pragma_update(None, "synchronous", "NORMAL")?;
        }
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.connection().is_autocommit()
            && let Err(error) = self.connection().execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
        if let Err(error) = self.restore() {
            tracing::warn!(%error, "a connection could not be made as it was before the transaction");
        }
    }
}
