//! Errors of the pool.

use std::io;
use std::path::PathBuf;

use crate::base::{DecodeError, NameError, Nature};
use crate::block::BlockError;
use crate::disk::DiskError;
use crate::journal::JournalError;
use crate::tree::TreeError;
use crate::volume::FsError;
use crate::volume::ops::RestoreError;

/// Result of a call on a pool.
pub type PoolResult<T> = Result<T, PoolError>;

/// A call on a pool failed.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The folder holds no pool.
    #[error("'{path}' is not a volfs pool: it has no pool.toml")]
    NotAPool {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("cannot create a pool in '{path}': the folder is not empty (it has '{found}')")]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of its entries.
        found: String,
    },
    /// Made by a newer volfs.
    #[error(
        "pool '{path}' has format version {found}, this volfs reads up to {known}: \
         use a newer volfs"
    )]
    TooNew {
        /// The pool.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest known version.
        known: u32,
    },
    /// Another process owns it.
    #[error("pool '{path}' is in use by process {pid}")]
    Locked {
        /// The pool.
        path: PathBuf,
        /// The owner, 0 if unknown.
        pid: u32,
    },
    /// The folder cannot be used.
    #[error("pool '{path}': cannot {action}")]
    Folder {
        /// The pool.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// `pool.toml` cannot be understood.
    #[error("pool '{path}': pool.toml is not valid: {problem}")]
    Settings {
        /// The pool.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No superblock slot is valid.
    #[error("pool '{path}': both superblock slots are damaged ({first}; {second})")]
    Superblock {
        /// The pool.
        path: PathBuf,
        /// What is wrong with slot 0.
        first: String,
        /// What is wrong with slot 1.
        second: String,
    },
    /// No such volume.
    #[error("no such volume: '{name}'")]
    NoVolume {
        /// The name.
        name: String,
    },
    /// No such snapshot.
    #[error("no such snapshot: '{volume}@{name}'")]
    NoSnapshot {
        /// The volume.
        volume: String,
        /// The snapshot.
        name: String,
    },
    /// The name is taken.
    #[error("{what} '{name}' exists already")]
    Exists {
        /// "volume" or "snapshot".
        what: &'static str,
        /// The name.
        name: String,
    },
    /// In use within this process.
    #[error("volume '{name}' is in use")]
    Busy {
        /// The volume.
        name: String,
    },
    /// The user has said to keep it.
    #[error("volume '{name}' is protected")]
    Protected {
        /// The volume.
        name: String,
    },
    /// The user has said to keep them.
    #[error("held, and must not be removed: {names}")]
    SnapshotsHeld {
        /// `volume@snapshot`, several with commas.
        names: String,
    },
    /// Nothing of this name was removed, or it is gone for good.
    #[error("the trash has no volume '{name}'")]
    NotInTrash {
        /// The name.
        name: String,
    },
    /// A limit that the volume is beyond already.
    #[error("volume '{name}' holds {used} bytes already: a limit of {limit} bytes is below that")]
    LimitBelowUse {
        /// The volume.
        name: String,
        /// What was asked for, in bytes.
        limit: u64,
        /// What its blocks take, in bytes.
        used: u64,
    },
    /// A name that is not allowed.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An argument that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A record of the catalog cannot be decoded.
    #[error("the pool's catalog is damaged at {what}")]
    Catalog {
        /// Which record.
        what: String,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// A volume that cannot be sealed keeps the journal, and with it old states.
    #[error(
        "garbage cannot be collected while a volume cannot be sealed: `volfs volume ls` names it, \
         the daemon's log says why"
    )]
    Held,
    /// The journal is damaged below what was durable.
    #[error("the journal is damaged: {problem}")]
    JournalDamaged {
        /// What is wrong, and where.
        problem: String,
    },
    /// An error of a volume.
    #[error("volume '{name}': {source}")]
    Volume {
        /// Its name.
        name: String,
        /// What failed.
        #[source]
        source: FsError,
    },
    /// A state is needed as a tree, and cannot be made one.
    #[error(
        "volume '{name}': its changes cannot be sealed: the daemon's log says why, and `volfs \
         volume inspect` whether it takes changes"
    )]
    Unsealed {
        /// The volume.
        name: String,
    },
    /// Files of a snapshot were not put back.
    #[error("volume '{name}': {source}")]
    Restore {
        /// The volume.
        name: String,
        /// Why.
        #[source]
        source: Box<RestoreError>,
    },
    /// The medium failed.
    #[error("the medium under the pool failed")]
    Disk(#[from] DiskError),
    /// The block store failed.
    #[error("the block store failed")]
    Block(#[from] BlockError),
    /// The catalog's tree failed.
    #[error("the catalog's tree failed")]
    Tree(#[from] TreeError),
    /// The journal failed.
    #[error("the journal failed")]
    Journal(#[from] JournalError),
    /// The pool was closed.
    #[error("the pool is closed")]
    Closed,
    /// Nobody waits for the result any more.
    #[error("broken off before its end")]
    BrokenOff,
}

impl PoolError {
    /// Whether the host's disk is full.
    pub fn is_no_space(&self) -> bool {
        match self {
            PoolError::Volume { source, .. } => source.is_no_space(),
            PoolError::Restore { source, .. } => source.is_no_space(),
            PoolError::Disk(error) => error.is_no_space(),
            PoolError::Journal(error) => error.is_no_space(),
            PoolError::Block(error) | PoolError::Tree(TreeError::Block(error)) => {
                error.is_no_space()
            }
            PoolError::Folder { source, .. } => source.kind() == io::ErrorKind::StorageFull,
            _ => false,
        }
    }

    /// What kind of trouble this is.
    pub fn nature(&self) -> Nature {
        match self {
            PoolError::NotAPool { .. }
            | PoolError::NotEmpty { .. }
            | PoolError::TooNew { .. }
            | PoolError::Locked { .. }
            | PoolError::NoVolume { .. }
            | PoolError::NoSnapshot { .. }
            | PoolError::Exists { .. }
            | PoolError::Busy { .. }
            | PoolError::Protected { .. }
            | PoolError::SnapshotsHeld { .. }
            | PoolError::NotInTrash { .. }
            | PoolError::LimitBelowUse { .. }
            | PoolError::Name(_)
            | PoolError::Invalid(_) => Nature::Refused,
            PoolError::Superblock { .. }
            | PoolError::Catalog { .. }
            | PoolError::JournalDamaged { .. } => Nature::Corrupt,
            PoolError::Folder { .. }
            | PoolError::Settings { .. }
            | PoolError::Closed
            | PoolError::Held
            | PoolError::Unsealed { .. }
            | PoolError::BrokenOff => Nature::Environment,
            PoolError::Volume { source, .. } => source.nature(),
            PoolError::Restore { source, .. } => source.nature(),
            PoolError::Disk(error) => error.nature(),
            PoolError::Block(error) => error.nature(),
            PoolError::Tree(error) => error.nature(),
            PoolError::Journal(error) => error.nature(),
        }
    }
}
